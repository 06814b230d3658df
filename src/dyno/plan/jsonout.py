"""A plan as one JSON object; the field names are stable."""

from dataclasses import asdict
from typing import Any

from dyno.plan.record import Candidate, Plan
from dyno.predict.latency import Latency
from dyno.workload import LATENCIES

SCHEMA_VERSION = 1
_MEMORY = ("weights_bytes", "kv_bytes_per_token", "kv_cache_bytes", "kv_cache_tokens", "max_concurrency",
           "activation_bytes", "graph_bytes", "device_used_bytes", "low_bytes", "high_bytes", "requested_bytes",
           "other_bytes", "cold_kv_cache_bytes", "warm_kv_cache_bytes", "device_spread_bytes", "graphs_budgeted",
           "blocks", "block_bytes", "block_size")  # fmt: skip


def as_json(plan: Plan) -> dict[str, Any]:
    """The first candidate at the top, the others under `candidates`."""
    model, card = plan.model, plan.card
    return {
        "schema_version": SCHEMA_VERSION,
        "model": {"source": model.source, "architecture": model.architecture, "parameters": model.parameters,
                  "active_parameters": model.active_parameters},
        "gpu": None if card is None else {**asdict(card), "capability": list(card.capability)},
        "engine_version": ".".join(map(str, plan.asked.setup.release)),
        **_candidate(plan.asked),
        "largest": asdict(plan.largest),
        "offload": None if plan.offload is None else asdict(plan.offload),
        "candidates": [_candidate(each) for each in plan.candidates[1:]],
        "grid": [asdict(cell) for cell in plan.grid],
        "boots": plan.boots,
        "constants_on": list(plan.asked.latency.constants_on) if plan.asked.latency else [],
        "notes": list(plan.notes),
    }  # fmt: skip


def _candidate(each: Candidate) -> dict[str, Any]:
    setup = each.setup
    return {
        "name": each.name,
        "args": list(each.args.argv()[1:]),
        "env": dict(each.args.env),
        "setup": {"max_model_len": setup.max_model_len, "max_num_batched_tokens": setup.max_num_batched_tokens,
                  "max_num_seqs": setup.max_num_seqs, "gpu_memory_utilization": setup.utilization,
                  "kv_cache_dtype": setup.kv_dtype},
        "memory": {name: max(0, getattr(each.memory, name)) for name in _MEMORY},  # what lacks is in `rejected`
        "latency": None if each.latency is None else _latency(each.latency),
        "rejected": list(each.rejected),
    }  # fmt: skip


def _latency(latency: Latency) -> dict[str, Any]:
    """`calibrated` once points measured on such a card are behind it; without, its rates are generic."""
    spreads = {f"{name}_ms": latency.of(name) for name in LATENCIES if name != "itl"}
    return {
        **{name: None if spread is None else asdict(spread) for name, spread in spreads.items()},
        "output_throughput": latency.output_throughput,
        "output_throughput_low": latency.output_throughput_low,
        "output_throughput_high": latency.output_throughput_high,
        "request_throughput": latency.request_throughput,
        "preemptions": latency.preemptions,
        "calibrated": bool(latency.fitted_on),
        "fitted_on": list(latency.fitted_on),
    }
