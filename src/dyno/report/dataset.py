"""Every measured point and every start of studies as two tables, for fitting, searching and spreadsheets."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from dyno.bench.scenarios import OF_ONE_LOAD, plan_load
from dyno.engine.facts import StartFacts
from dyno.errors import InputError
from dyno.study.journal import Journal, read_journal
from dyno.study.spec import StudySpec
from dyno.study.store import spec_of
from dyno.study.trial import Step
from dyno.workload import LONG_OUTPUT

Row = dict[str, Any]

_WHO = {
    "study": "the study's name",
    "model": "the model, as the study names it",
    "engine": "vLLM's release and platform",
    "gpu": "the card of the block, else the processor",
    "config": "the configuration's name",
    "args": "its variables and flags, without the model",
    "block": "one machine and one uninterrupted time; compare within a block, or by ratios to its own baseline",
    "launch": "place in the study's order; below 0: only warmed",
    "phase": "warm, screen or confirm",
    "round": "of the confirmation, from 0",
}

POINTS: Mapping[str, str] = _WHO | {
    "scenario": "the test; throughput@NAME is the load of the workload NAME, context and concurrency have a row a load",
    "concurrency": "requests under way at a time",
    "input_len": "tokens of a prompt, as asked for",
    "output_len": "tokens of an answer, as asked for",
    "completed": "requests answered; empty where only latencies are kept",
    "failed": "requests that failed",
    "ttft_ms": "median time to the first token",
    "ttft_mean_ms": "mean of the same",
    "ttft_p95_ms": "95th percentile",
    "ttft_p99_ms": "99th percentile",
    "tpot_ms": "median time per output token after the first",
    "itl_mean_ms": "mean gap between tokens, weighted by tokens",
    "e2el_ms": "median time of a whole answer",
    "output_throughput": "output tokens a second over the whole load",
    "request_throughput": "answers a second",
    "kv_usage_peak": "largest share of the KV cache in use, as the server told",
    "device_peak_bytes": "largest use of the card's memory meanwhile",
    "temperature_peak_c": "highest temperature of the card meanwhile",
    "duration_s": "of the load",
    "void": "why it proves nothing; empty where it counts",
}

STARTS: Mapping[str, str] = _WHO | {
    "state": "complete or failed",
    "cause": "why it failed",
    "started_at": "UTC",
    "took_s": "until it was ready, or had failed",
    "ready_s": "from the process's start to the first token of a canary request",
    "weights_load_s": "loading the weights",
    "compile_s": "compiling, or loading what was compiled",
    "graph_capture_s": "capturing CUDA graphs",
    "init_s": "vLLM's own sum: profile, KV cache, warm-up",
    "compile_cached": "1: all compiled code came from the caches, 0: some was compiled, empty: nothing is",
    "weights_bytes": "of the weights on the card",
    "kv_cache_bytes": "of the KV cache; a warming start has the smallest that works, whatever its flags say",
    "kv_cache_tokens": "the same in tokens",
    "max_concurrency": "requests of full length that fit",
    "max_model_len": "tokens",
    "block_size": "tokens of a KV block",
    "graph_bytes": "of CUDA graphs",
    "attention_backend": "as the log names it",
    "device_used_bytes": "the card's memory in use when ready, that of others included",
    "rss_bytes": "resident memory of the engine's processes when ready",
}


def write_dataset(studies: Sequence[Path], folder: Path) -> tuple[Path, Path]:
    """`points.csv` and `starts.csv` of these studies in a folder. The same studies make the same bytes.

    InputError for what is no study, or a folder that cannot be written.
    """
    read = [(path, read_journal(path)) for path in studies]
    points = [row for path, journal in read for row in points_of(journal, path)]
    starts = [row for path, journal in read for row in starts_of(journal, path.absolute().name)]
    made = (folder / "points.csv", folder / "starts.csv")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, columns, rows in zip(made, (POINTS, STARTS), (points, starts), strict=True):
            path.write_text(_csv(columns, rows), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); name another folder") from error
    return made


def points_of(journal: Journal, folder: Path) -> Iterator[Row]:
    """One row for every load of which figures are kept; the probes of `concurrency` come from its raw folder."""
    spec = spec_of(journal)
    lengths = {step.launch: step.facts.max_model_len for step in journal.steps if step.facts}
    for step in journal.steps:
        if step.figures and step.scenario not in ("startup", "memory"):
            who = _who(journal, step, folder.absolute().name)
            for point in _loads(step, spec, lengths.get(step.launch), folder):
                yield who | {"scenario": step.scenario, "void": "; ".join(step.void)} | point


def starts_of(journal: Journal, name: str) -> Iterator[Row]:
    """One row for every start."""
    for step in journal.steps:
        if step.facts or (step.failure and step.scenario == "startup"):
            facts = asdict(step.facts) if step.facts else {item.name: None for item in fields(StartFacts)}
            cached = facts.pop("compile_cached")
            yield _who(journal, step, name) | facts | {
                "state": step.state, "cause": str(step.failure.cause) if step.failure else "",
                "started_at": step.started_at, "took_s": step.duration_s,
                "compile_cached": None if cached is None else int(cached),
            }  # fmt: skip


def columns_table(columns: Mapping[str, str]) -> str:
    """The columns with what they hold, in markdown."""
    return "\n".join(
        ["| column | what it is |", "|---|---|", *(f"| {name} | {text} |" for name, text in columns.items())]
    )


def _who(journal: Journal, step: Step, name: str) -> Row:
    candidate = next(each for each in journal.study.candidates if each.name == step.candidate)
    engines = {engine.name: engine for engine in (journal.study.engine, *journal.study.engines)}
    engine = engines.get(candidate.engine or "", journal.study.engine)
    hardware = next((block.hardware for block in journal.blocks if block.block == step.block), journal.study.hardware)
    return {"study": name, "model": Path(journal.study.model.source).name, "config": step.candidate,
            "engine": f"vLLM {engine.version} on {engine.platform}", "gpu": hardware.kind,
            "args": candidate.args.changes(), "block": step.block, "launch": step.launch, "phase": step.phase,
            "round": step.pair}  # fmt: skip


def _loads(step: Step, spec: StudySpec, max_model_len: int | None, folder: Path) -> Iterator[Row]:
    """The loads of a test: what was asked for, and what was measured."""
    kind = step.scenario.partition("@")[0]
    if kind == "context":
        for length in sorted({int(name.partition(".")[0]) for name in step.figures if name[:1].isdecimal()}):
            of_length = {name.partition(".")[2]: value for name, value in step.figures.items()
                         if name.startswith(f"{length}.")}  # fmt: skip
            yield {"concurrency": 1, "input_len": length, "output_len": LONG_OUTPUT,
                   "kv_usage_peak": of_length.pop("kv_usage", None)} | of_length  # fmt: skip
        return
    load = spec.loads.get(step.scenario, spec.workload)
    lengths: Row = {"input_len": load.input_len, "output_len": load.output_len}
    if kind == "concurrency" and (curve := _curve(step, folder)):
        for probe in curve:
            void = {"void": "; ".join(probe["void"])} if probe.get("void") else {}
            yield lengths | {"concurrency": probe["concurrency"]} | _measured(probe["figures"]) | void
        return
    if kind in OF_ONE_LOAD:
        planned = plan_load(kind, load, 0, max_model_len)
        lengths = {"input_len": planned.input_len, "output_len": planned.output_len}
    clients = step.figures.get("capacity_concurrency") or step.figures.get("knee_concurrency")
    default = planned.concurrency if kind in OF_ONE_LOAD else load.concurrency
    yield lengths | {"concurrency": clients or default} | _measured(step.figures)


def _measured(figures: Mapping[str, float | None]) -> Row:
    """The columns that one load's figures fill."""
    named = {"ttft_ms": "ttft_ms.p50", "ttft_mean_ms": "ttft_ms.mean", "ttft_p95_ms": "ttft_ms.p95",
             "ttft_p99_ms": "ttft_ms.p99", "tpot_ms": "tpot_ms.p50", "itl_mean_ms": "itl_ms.mean",
             "e2el_ms": "e2el_ms.p50"}  # fmt: skip
    same = ("completed", "failed", "output_throughput", "request_throughput", "kv_usage_peak", "device_peak_bytes",
            "temperature_peak_c", "duration_s")  # fmt: skip
    return {column: figures.get(figure) for column, figure in named.items()} | {
        name: figures.get(name) for name in same
    }


def _curve(step: Step, folder: Path) -> list[Row]:
    """The probes of a search, as it kept them; none where the raw folder is gone."""
    path = folder / Path(step.raw[0]).parent / "concurrency.json" if step.raw else folder / "none"
    try:
        found: list[Row] = json.loads(path.read_bytes())["curve"]
    except (OSError, ValueError, KeyError):
        return []
    return found


def _csv(columns: Mapping[str, str], rows: Sequence[Row]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """Whole numbers whole, others to seven figures."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else f"{value:.7g}"
    return "" if value is None else value
