"""A running server put to tests, one after the other."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dyno.bench.load import get
from dyno.bench.loadgen import Progress
from dyno.bench.record import ScenarioResult, Target
from dyno.bench.scenarios import SCENARIOS, run_scenario
from dyno.errors import DynoError, InputError, nearest
from dyno.workload import Workload

OF_A_LAUNCH = ("startup", "memory")


@dataclass(frozen=True, slots=True)
class ServerBench:
    """What came out, by scenario, None for what only a launch can tell; the target and the seed as they were used."""

    target: Target
    seed: int
    results: Mapping[str, ScenarioResult | None]


def bench_server(target: Target, workload: Workload, scenarios: Sequence[str], seed: int | None,
                 raw_folder: Path | None, on_progress: Progress | None) -> ServerBench:  # fmt: skip
    """Measures a running server; without a seed prompts are fresh ones.

    DynoError when it cannot be reached or takes no request at all.
    """
    known = (*SCENARIOS, *OF_A_LAUNCH)
    if unknown := [name for name in scenarios if name not in known]:
        raise InputError(*(f"--scenario: {name!r} is not known{nearest(name, known)}" for name in unknown))
    if not set(scenarios) & set(SCENARIOS):
        raise InputError("--scenario: startup and memory are facts of a launch; with --url name others too")
    lengths = _listed(target)
    if not target.model and len(lengths) != 1:
        raise InputError(f"--model: the server lists {', '.join(lengths) or 'no models'}; name the one to measure")
    target = target if target.model else replace(target, model=next(iter(lengths)))
    max_model_len = lengths.get(target.model)
    seed = secrets.randbits(32) if seed is None else seed
    results: dict[str, ScenarioResult | None] = dict.fromkeys(scenarios)
    for name in (name for name in results if name in SCENARIOS):
        try:
            results[name] = run_scenario(name, target, workload, seed, max_model_len, raw_folder, on_progress)
        except DynoError as error:  # one test that a server refuses does not undo the others
            if isinstance(error, InputError) or not any(results.values()):
                raise
            results[name] = ScenarioResult(name, {}, (str(error),))
    return ServerBench(target, seed, results)


def cpu_us_per_token(output_tokens: float | None) -> float | None:
    """User and system time of this process since its start, over the output tokens; an engine's is never in it."""
    return time.process_time() * 1e6 / output_tokens if output_tokens else None


def _listed(target: Target) -> dict[str, int | None]:
    """The models a server lists, each with its `max_model_len` where it tells; nothing when it lists none."""
    try:
        cards = json.loads(get(target, "/v1/models") or b"{}")["data"]
        return {str(card["id"]): card.get("max_model_len") for card in cards}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
