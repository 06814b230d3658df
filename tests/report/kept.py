"""What a study of a throttling card would keep beside its journal."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.hardware.replay import samples

from dyno.bench.counters import Gauges
from dyno.bench.raw import save_raw, save_samples
from dyno.bench.stats import Records
from dyno.study.outcome import Outcome

SECOND = 1_000_000_000
CLIENTS = 8


def closed_loop(seconds: int, tokens_before: int, tokens_after: int, change_s: int) -> Records:
    """Eight clients with a request a second, whose answers hold fewer tokens after the change."""
    starts = np.repeat(np.arange(seconds), CLIENTS) * SECOND + np.tile(np.arange(CLIENTS), seconds) * 1_000_000
    noise = np.random.default_rng(7).integers(-2, 3, len(starts))
    counts = np.where(starts < change_s * SECOND, tokens_before, tokens_after) + noise
    stamps = np.concatenate([start + np.linspace(2e7, 9.8e8, n).astype(np.int64)
                             for start, n in zip(starts, counts, strict=True)])  # fmt: skip
    return Records(starts, starts, starts + 20_000_000, starts + 990_000_000, np.full(len(starts), 64), counts, counts,
                   stamps, ("",) * len(starts))  # fmt: skip


def keep(folder: Path, outcome: Outcome) -> Outcome:
    """Writes raw records of two configurations' throughput, capacity, sustained load and soak; names them in steps."""
    extra, last = [], {}
    for step in outcome.steps:
        if step.candidate in ("baseline", "all-cores") and step.phase == "screen" and step.scenario == "throughput":
            last[step.candidate] = step
    for name, step in last.items():
        faster = 60 if name == "all-cores" else 40
        longer = {
            "concurrency": _curve(folder, step.launch, faster),
            "sustained": _sustained(8.0 * faster),
            "soak": SOAK,
        }
        for test, figures in longer.items():
            raw = (f"raw/{step.launch:03d}-{test}/{test}.npz",)
            extra.append(replace(step, scenario=test, figures=figures, raw=raw))
        _load(folder, step.launch, "sustained", closed_loop(60, faster, faster // 2, 30))
        _soak(folder, step.launch)
    steps = tuple(_with_load(folder, step) for step in outcome.steps)
    rows = tuple(replace(row, metrics=row.metrics | {step.scenario: step.figures for step in extra
                                                     if step.candidate == row.candidate.name})
                 for row in outcome.rows)  # fmt: skip
    return replace(outcome, steps=(*steps, *extra), rows=rows)


def _sustained(burst):
    return {"burst_throughput": burst, "sustained_throughput": burst / 2, "sustained_share": 0.5, "change_s": 30.0,
            "temperature_peak_c": 88.0}  # fmt: skip


SOAK = {"duration_s": 7200.0, "completed": 900, "failed": 0, "rss_bytes_per_h.slope": 3e6, "rss_bytes_per_h.low": 1e6,
        "rss_bytes_per_h.high": 5e6}  # fmt: skip


def _with_load(folder, step):
    if step.scenario != "throughput" or step.state != "complete" or step.candidate not in ("baseline", "all-cores"):
        return step
    _load(folder, step.launch, "throughput", closed_loop(25, 40, 40, 25))
    return replace(step, raw=(f"raw/{step.launch:03d}-throughput/throughput.npz",))


def _load(folder, launch, test, records):
    seconds = int(records.last_byte_ns.max() // SECOND) + 1
    at_s = np.arange(seconds)
    gauges = Gauges(at_s * SECOND, at_s / seconds, np.full(seconds, 8.0), np.zeros(seconds))
    place = folder / "raw" / f"{launch:03d}-{test}"
    save_raw(place / f"{test}.npz", records, {}, gauges)
    rising = 60 + 28 * (1 - np.exp(-np.arange(seconds + 1) / 12))
    save_samples(place, test, samples(seconds, card__temperature_c=rising, card__power_w=640 - rising,
                                      card__sm_clock_mhz=np.where(rising > 85, 1200, 1980),
                                      engine__rss_bytes=3e9, card__energy_j=600.0))  # fmt: skip


def _curve(folder, launch, faster):
    points = [{"concurrency": clients, "failed": 0, "over_saturated": clients > 8, "void": [], "raw": "x.npz",
               "figures": {"output_throughput": min(clients, 8) * faster,
                           **{f"{name}_ms.p{q}": 100 * clients * q / 99 for name in ("ttft", "tpot")
                              for q in (50, 95, 99)}}} for clients in (1, 2, 4, 8, 16)]  # fmt: skip
    kept = {"limits": {"ttft_p95": 1000.0}, "capacity_concurrency": 8, "knee_concurrency": 4, "curve": points}
    place = folder / "raw" / f"{launch:03d}-concurrency"
    place.mkdir(parents=True)
    (place / "concurrency.json").write_text(json.dumps(kept))
    return points[3]["figures"] | {"capacity_concurrency": 8, "capacity_output_throughput": 8.0 * faster,
                                   "knee_concurrency": 4, "kv_usage_peak": 0.031, "queue_ms": 5.0, "prefill_ms": 15.0,
                                   "queue_efficiency": 0.75}  # fmt: skip


def _soak(folder, launch):
    read = [[second, 3_000_000_000 + 800 * second] for second in range(0, 7200)]
    place = folder / "raw" / f"{launch:03d}-soak"
    place.mkdir(parents=True)
    (place / "soak-memory.json").write_text(json.dumps({"rss_bytes": read}))
