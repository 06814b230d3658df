"""A plan as one JSON object; the field names are stable."""

from dataclasses import asdict
from typing import Any

from dyno.plan.record import Candidate, Plan

SCHEMA_VERSION = 1
_MEMORY = ("weights_bytes", "kv_bytes_per_token", "kv_cache_bytes", "kv_cache_tokens", "max_concurrency",
           "activation_bytes", "graph_bytes", "device_used_bytes", "low_bytes", "high_bytes", "requested_bytes",
           "other_bytes", "warm_kv_cache_bytes", "device_spread_bytes", "graphs_budgeted", "blocks", "block_bytes",
           "block_size")  # fmt: skip


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
        "notes": list(plan.notes),
    }  # fmt: skip


def _candidate(each: Candidate) -> dict[str, Any]:
    setup = each.setup
    return {
        "name": each.name,
        "args": list(each.args.argv()[1:]),
        "env": dict(each.args.env),
        "setup": {"max_model_len": setup.max_model_len, "max_num_batched_tokens": setup.max_num_batched_tokens,
                  "max_num_seqs": setup.max_num_seqs, "gpu_memory_utilization": setup.utilization},
        "memory": {name: getattr(each.memory, name) for name in _MEMORY},
        "latency": None,
        "rejected": list(each.rejected),
    }  # fmt: skip
