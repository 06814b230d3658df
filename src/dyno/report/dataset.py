"""Every measured point and every start of studies as two tables, for fitting, searching and spreadsheets."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from dyno.bench.record import Load
from dyno.bench.scenarios import OF_ONE_LOAD, plan_load
from dyno.engine.facts import StartFacts
from dyno.errors import InputError
from dyno.study.journal import Journal, read_journal
from dyno.study.spec import StudySpec
from dyno.study.store import spec_of
from dyno.study.trial import Step
from dyno.workload import LONG_OUTPUT, Workload

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
    "prefix_len": "tokens at a prompt's beginning that others share; 0: no prompt repeats",
    "prefixes": "different beginnings of prompts that are shared; 0: none is",
    "completed": "requests answered; empty where a void test did not keep it",
    "failed": "requests that failed; empty where a void test did not keep it",
    "ttft_ms": "median time to the first token",
    "ttft_mean_ms": "mean of the same; of context, this and all but medians is kept of the longest prompts alone",
    "ttft_p95_ms": "95th percentile",
    "ttft_p99_ms": "99th percentile",
    "tpot_ms": "median time per output token after the first",
    "tpot_p95_ms": "95th percentile",
    "itl_mean_ms": "mean gap between tokens, weighted by tokens",
    "e2el_ms": "median time of a whole answer",
    "output_throughput": "output tokens a second over the whole load",
    "request_throughput": "answers a second",
    "kv_usage_peak": "largest share of the KV cache in use, as the server told once a second; empty where it was not "
    "asked, or, in a load of a second or two, only while nothing was under way",
    "device_peak_bytes": "largest use of the card's memory during the test, of all its loads",
    "temperature_peak_c": "highest temperature of the card during the test, of all its loads",
    "duration_s": "of the load",
    "void": "why it proves nothing; empty where it counts",
}

STARTS: Mapping[str, str] = _WHO | {
    "state": "complete, failed or interrupted",
    "cause": "why it failed",
    "started_at": "UTC",
    "took_s": "until it was ready, or had failed; empty where it was interrupted",
    "at_once": "the most engines that were starting at one moment meanwhile, this one among them: above 1 they shared "
    "processors, disk and card, so that seconds and what is read off the card's memory (graphs, in use) are no measure "
    "of this configuration alone",
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
    "graph_bytes": "of CUDA graphs, by what the card had free before and after; empty where the log does not tell",
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
    beside = _at_once(journal)
    for step in journal.steps:
        if step.facts or (step.scenario == "startup" and step.state != "complete"):
            facts = asdict(step.facts) if step.facts else {item.name: None for item in fields(StartFacts)}
            cached = facts.pop("compile_cached")
            yield _who(journal, step, name) | facts | {
                "state": step.state, "cause": str(step.failure.cause) if step.failure else "",
                "started_at": step.started_at, "took_s": step.duration_s or None,
                "at_once": beside.get(_start(step), 1),
                "compile_cached": None if cached is None else int(cached),
            }  # fmt: skip


def _at_once(journal: Journal) -> dict[tuple[int, int], int]:
    """Of every start that warmed: the most that were under way when it began or another did meanwhile."""
    known = [step for step in journal.steps if step.phase == "warm" and step.scenario == "startup" and step.started_at]
    spans = [(step, begin := datetime.fromisoformat(step.started_at).timestamp(), begin + step.duration_s - _CLOCK_S)
             for step in known]  # fmt: skip
    found = {}
    for step, begin, end in spans:
        here = [span for span in spans if span[0].block == step.block]
        moments = [moment for _, moment, _ in here if begin <= moment <= end]
        found[_start(step)] = max([1, *(sum(first <= at <= last for _, first, last in here) for at in moments)])
    return found


_CLOCK_S = 1.0  # starts are dated to the second


def _start(step: Step) -> tuple[int, int]:
    return step.block, step.launch


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
        yield from _lengths(step)
        return
    load = spec.loads.get(step.scenario, spec.workload)
    asked: Load | Workload = plan_load(kind, load, 0, max_model_len) if kind in OF_ONE_LOAD else load
    of_load: Row = {"input_len": asked.input_len, "output_len": asked.output_len, "prefix_len": asked.prefix_len,
                    "prefixes": asked.prefixes if asked.prefix_len else 0}  # fmt: skip
    if kind == "concurrency" and (curve := _curve(step, folder)):
        for probe in curve:
            void = {"void": "; ".join(probe["void"])} if probe.get("void") else {}
            measured = _measured(probe["figures"] | _of_test(step) | {"failed": probe.get("failed")})
            yield of_load | {"concurrency": probe["concurrency"]} | measured | void
        return
    clients = step.figures.get("capacity_concurrency") or step.figures.get("knee_concurrency")
    yield of_load | {"concurrency": clients or asked.concurrency} | _measured(step.figures)


def _lengths(step: Step) -> Iterator[Row]:
    """Prompts of every length; as many of each, and where the test counts none failed. Means are of the longest."""
    lengths = sorted({int(name.partition(".")[0]) for name in step.figures if name[:1].isdecimal()})
    known = {"completed": step.figures.get("completed"), "failed": 0} if step.state == "complete" else {}
    for length in lengths:
        every = step.figures if length == lengths[-1] else known | _of_test(step)
        named = {f"{name}.p50": f"{length}.{name}" for name in ("ttft_ms", "tpot_ms", "e2el_ms")}
        of_length = {to: step.figures.get(name) for to, name in named.items()}
        usage = {"kv_usage_peak": step.figures.get(f"{length}.kv_usage")}
        yield {"concurrency": 1, "input_len": length, "output_len": LONG_OUTPUT, "prefix_len": 0,
               "prefixes": 0} | _measured({**every, **of_length, **usage, **known})  # fmt: skip


def _of_test(step: Step) -> dict[str, float | None]:
    """What was watched over all loads of a test."""
    return {name: step.figures.get(name) for name in ("device_peak_bytes", "temperature_peak_c")}


def _measured(figures: Mapping[str, float | None]) -> Row:
    """The columns that one load's figures fill. A KV cache in which nothing was ever seen was read at other moments."""
    named = {"ttft_ms": "ttft_ms.p50", "ttft_mean_ms": "ttft_ms.mean", "ttft_p95_ms": "ttft_ms.p95",
             "ttft_p99_ms": "ttft_ms.p99", "tpot_ms": "tpot_ms.p50", "tpot_p95_ms": "tpot_ms.p95",
             "itl_mean_ms": "itl_ms.mean", "e2el_ms": "e2el_ms.p50"}  # fmt: skip
    same = ("completed", "failed", "output_throughput", "request_throughput", "device_peak_bytes",
            "temperature_peak_c", "duration_s")  # fmt: skip
    return (
        {column: figures.get(figure) for column, figure in named.items()}
        | {name: figures.get(name) for name in same}
        | {"kv_usage_peak": figures.get("kv_usage_peak") or None}
    )


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
