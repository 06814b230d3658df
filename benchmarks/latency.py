"""How far `dyno plan` is off in latency and throughput, on points that were measured.

    python benchmarks/latency.py [--each] [--fit] [FILE.csv | OBSERVED.json ...]

Without files: the H200 study (docs/evidence/h200/points.csv) and benchmarks/points/. Every (model, dtype) is tested in
its turn, a model being its shape, by whatever name. It is predicted three times: with what others have published of
such cards ("published"); with constants fitted on points of other models alone, in whatever dtype ("uncalibrated"); and
with at most twelve of other (model, dtype) besides ("calibrated"). A test point that is among the training points, by
its id or by its load and figures (two that agree are enough), ends the run with an error. Prints what the gate asks
for; exit code 1 where it is missed. `--each` prints a line a point, `--fit` src/dyno/predict/measured.py from all
points together.
"""

import csv
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from math import dist, exp, log, log2
from pathlib import Path
from statistics import fmean, median, stdev

from held_out import model_name, model_of, same

from dyno.engine.args import EngineArgs
from dyno.hardware.gpus import Card, find_card
from dyno.plan.flags import parse_words
from dyno.plan.observed import parse_release
from dyno.predict.calibrate import MOST_POINTS, Point, calibrate
from dyno.predict.latency import Run, closed_loop, predict_latency
from dyno.predict.memory import predict_memory
from dyno.predict.rates import LAUNCHES, Calibration, constants, published
from dyno.predict.setup import Release, Setup, resolve
from dyno.workload import Workload

ROOT = Path(__file__).parents[1]
RECORDED = (ROOT / "docs/evidence/h200/points.csv", *sorted((ROOT / "benchmarks/points").glob("*.json")))
MOST_CALIBRATING = 12
LIMITS = (  # of the mean error: way of knowing, figure, share, whether only with more than one client
    ("uncalibrated", "tpot", 0.15, False), ("uncalibrated", "output_throughput", 0.15, False),
    ("calibrated", "tpot", 0.08, False), ("calibrated", "output_throughput", 0.08, False),
    ("calibrated", "ttft", 0.20, True),
)  # fmt: skip
SURE = 1.96  # standard deviations of launches of one configuration, beyond which two differ
FEWEST_CONFIGS = 4
COVERED, FEWEST = (0.70, 0.90), 100
ALIKE = 5e-4  # a share: what rounding to four digits leaves of a figure
HEAD = ('"""Rates as they were measured on one card, and the points they were fitted on: '
        '`python benchmarks/latency.py --fit`."""\n')  # fmt: skip
FIGURES = ("tpot", "output_throughput", "ttft")


@dataclass(frozen=True)
class Measured:
    """A point, what it belongs to, and the configuration it was measured on."""

    point: Point
    group: tuple[str, str]  # model by its shape, dtype of the weights
    config: str
    load: str

    @property
    def loaded(self) -> bool:
        return (self.point.run.demand.clients or 2) > 1


@dataclass(frozen=True)
class Off:
    """One figure of one point: logarithm of measured over predicted, and whether low and high held it."""

    measured: Measured
    figure: str
    off: float
    predicted: float
    within: bool

    @property
    def share(self) -> float:
        """Error as a share of what was measured."""
        return abs(self.predicted / self.measured.point.told[self.figure] - 1)


def read(file: Path) -> list[Measured]:
    """A study's points.csv, or observations as `--observed` takes them."""
    if file.suffix == ".csv":
        with file.open(newline="") as lines:
            return _told_apart(measured for row in csv.DictReader(lines) if (measured := _row(row)))
    return [measured for number, entry in enumerate(json.loads(file.read_text()))
            for measured in _entry(entry, entry.get("id", f"{file.stem}[{number}]"))]  # fmt: skip


def _told_apart(points: Iterable[Measured]) -> list[Measured]:
    """A load that a launch was put to again has an id of its own."""
    seen: Counter[str] = Counter()
    found = []
    for each in points:
        seen[each.point.id] += 1
        again = seen[each.point.id]
        found.append(each if again == 1 else replace(each, point=replace(each.point, id=f"{each.point.id}#{again}")))
    return found


def _row(row: dict[str, str]) -> Measured | None:
    if row["void"] or not row["tpot_ms"] or "cuda" not in row["engine"]:
        return None
    if "-offload" in row["study"]:  # beginnings that leave the KV cache and come back are not predicted
        return None
    input_len, output_len, clients = (int(row[name]) for name in ("input_len", "output_len", "concurrency"))
    number = int(row["completed"] or 3)
    prefix = {name: int(row[name]) for name in ("prefix_len", "prefixes") if int(row.get(name) or 0)}
    load = Workload(row["scenario"], input_len, output_len, clients, number, **prefix)
    told = {name: float(row[column]) for name, column in (("ttft", "ttft_ms"), ("tpot", "tpot_ms"),
            ("output_throughput", "output_throughput")) if row[column]}  # fmt: skip
    name = f"{row['study']}/{row['block']}.{row['launch']}/{row['config']}/{row['scenario']}-{input_len}x{clients}"
    return measured(name, (row["model"], row["gpu"], row["engine"].split()[1]), row["args"].split(), load, told,
                    row["config"])  # fmt: skip


def _entry(entry: dict, name: str) -> Iterable[Measured]:
    for point in entry["points"]:
        clients = point["concurrency"]
        load = Workload("observed", point["input_len"], point["output_len"], clients, 4 * clients)
        told = {figure: point[column] for figure, column in (("ttft", "ttft_ms"), ("tpot", "tpot_ms"),
                ("output_throughput", "output_throughput")) if point.get(column)}  # fmt: skip
        where = f"{name}/{load.input_len}+{load.output_len}x{clients}"
        yield measured(where, (entry["model"], entry["gpu"], entry["engine_version"]), entry["args"], load, told, name)


def measured(name: str, what: tuple, words: Sequence[str], load: Workload, told: dict, config: str) -> Measured:
    model, gpu, version = what
    setup = setup_of(model, gpu, version, words)
    run = Run(setup, predict_memory(setup).blocks, closed_loop(load))
    group = model_name(setup.model), dtype_of(setup)
    return Measured(Point(name, run, told), group, config, f"{load.input_len}+{load.output_len}x{load.concurrency}")


def setup_of(model: str | dict, gpu: str, version: str, words: Sequence[str]) -> Setup:
    card: Card = find_card(gpu)
    release: Release = parse_release(version)
    spec = model_of(model)
    flags = parse_words(list(words), spec.source)
    return resolve(spec, EngineArgs(spec.source, flags.flags), release, card)


def dtype_of(setup: Setup) -> str:
    """Of the weights; those of 16 bits are as fast as one another."""
    dtype = setup.online or (setup.model.quantized.method if setup.model.quantized else setup.model.dtype)
    return "bfloat16" if dtype == "float16" else dtype


def training(test: tuple[str, str], points: Sequence[Measured]) -> list[Measured]:
    """All points of other (model, dtype)."""
    return [each for each in points if each.group != test]


def copied(one: Measured, other: Measured) -> bool:
    """Whether they tell one measurement: two figures agree in four digits, or one in all of more than five."""
    a, b = one.point.told, other.point.told
    exact = [name for name, value in a.items() if b.get(name) == value != float(f"{value:.5g}")]
    return one.load == other.load and (a == b or bool(exact) or same(a, b, ALIKE))


def checked(test: Sequence[Measured], known: Calibration, points: Sequence[Measured] = ()) -> Calibration:
    """The calibration, once nothing that is tested is among what it was fitted on, by its id or by its content in
    `points`. SystemExit otherwise.
    """
    fitted = {*known.fitted_on, *known.constants_on}
    trained = [each for each in points if each.point.id in fitted]
    for each in test:
        if each.point.id in fitted or any(copied(each, other) for other in trained):
            raise SystemExit(f"{each.point.id}: is among the points it is to be predicted from")
    return known


def designed(points: Sequence[Measured], most: int = MOST_CALIBRATING) -> list[Measured]:
    """At most so many points, as unlike as can be: each time of the load farthest from all taken, of every (model,
    dtype) as many. Launches of one configuration count once.
    """
    by_load: dict[str, list[Measured]] = defaultdict(list)
    for each in {(each.load, each.group, each.config): each for each in reversed(points)}.values():
        by_load[each.load].insert(0, each)
    times: Counter[str] = Counter()
    taken: Counter[tuple[str, str]] = Counter()
    chosen: list[Measured] = []
    while len(chosen) < most and (left := [load for load, waiting in by_load.items() if waiting]):
        fewest = min(times[load] for load in left)
        others = [_place(load) for load in times if times[load] > fewest]
        load = max((load for load in left if times[load] == fewest),
                   key=lambda load: min((dist(_place(load), other) for other in others), default=0.0))  # fmt: skip
        point = min(by_load[load], key=lambda each: taken[each.group])
        by_load[load].remove(point)
        times[load] += 1
        taken[point.group] += 1
        chosen.append(point)
    return chosen


def _place(load: str) -> tuple[float, ...]:
    """Where a load stands among others: doublings of its lengths and of its clients."""
    return tuple(log2(int(number)) for number in re.findall(r"\d+", load))


def offs_of(test: Sequence[Measured], known: Calibration) -> list[Off]:
    """Every figure that the points tell."""
    found = []
    for each in test:
        told = each.point.told
        latency = predict_latency(each.point.run, known)
        if latency is None:
            continue
        bounds = {"ttft": (latency.ttft_ms.p50, latency.ttft_ms.low, latency.ttft_ms.high),
                  "output_throughput": (latency.output_throughput, latency.output_throughput_low,
                                        latency.output_throughput_high)}  # fmt: skip
        if latency.tpot_ms:
            bounds["tpot"] = (latency.tpot_ms.p50, latency.tpot_ms.low, latency.tpot_ms.high)
        found += [Off(each, name, log(told[name] / value), value, low <= told[name] <= high)
                  for name, (value, low, high) in bounds.items() if name in told]  # fmt: skip
    return found


def score(points: Sequence[Measured]) -> dict[str, list[Off]]:
    """What each way of knowing is off by, over all (model, dtype) in their turn."""
    found: dict[str, list[Off]] = {"published": [], "uncalibrated": [], "calibrated": []}
    for group in sorted({each.group for each in points}):
        test = [each for each in points if each.group == group]
        unseen = published(test[0].point.run.setup.card)
        others = designed([each for each in points if each.group[0] != group[0]], MOST_POINTS)
        fitted = calibrate([each.point for each in others], unseen)
        before = constants(fitted.rates, fitted.fitted_on, same=True)
        after = calibrate([each.point for each in designed(training(group, points))], before)
        for name, known in (("published", unseen), ("uncalibrated", before), ("calibrated", after)):
            found[name] += offs_of(test, checked(test, known, points))
    return found


def fitted_module(points: Sequence[Measured]) -> str:
    """src/dyno/predict/measured.py, from points of all models."""
    card = points[0].point.run.setup.card
    known = calibrate([each.point for each in designed(points, MOST_POINTS)], published(card))
    lines = [f'    "{name}": {value:.3g},' for name, value in asdict(known.rates).items()]
    ids = [f'    "{name}",' for name in sorted(known.fitted_on)]
    return "\n".join((HEAD, f'CARD = "{card.name}"', "RATES = {", *lines, "}", "POINTS = (", *ids, ")"))


def mape(offs: Iterable[Off], figure: str, loaded: bool = False) -> float | None:
    shares = [each.share for each in offs if each.figure == figure and (each.measured.loaded or not loaded)]
    return fmean(shares) if shares else None


@dataclass(frozen=True)
class Candidate:
    """A configuration under a load: its throughput over all launches, logarithms, and how sure that is."""

    told: float
    guessed: float
    launches: int


@dataclass(frozen=True)
class Order:
    """Of the configurations under one load: Spearman's rank correlation as they are, and with those that measuring does
    not tell apart on one rank; pairs that it does, and those of them that are predicted in that order; and what the
    first choice reaches of the best.
    """

    raw: float
    tied: float
    pairs: int
    right: int
    reached: float


def orders(offs: Sequence[Off]) -> list[Order]:
    """One a load with four configurations and more under it."""
    by_load: dict[tuple, dict[tuple, list[Off]]] = defaultdict(lambda: defaultdict(list))
    for each in offs:
        if each.figure == "output_throughput" and each.measured.loaded:
            where = by_load[each.measured.group[0], each.measured.load]
            where[each.measured.group[1], each.measured.config].append(each)
    return [_order(list(configs.values())) for configs in by_load.values() if len(configs) >= FEWEST_CONFIGS]


def _order(configs: Sequence[Sequence[Off]]) -> Order:
    told = [[log(each.measured.point.told["output_throughput"]) for each in launches] for launches in configs]
    found = [Candidate(fmean(logs), fmean(log(each.predicted) for each in launches), len(logs))
             for logs, launches in zip(told, configs, strict=True)]  # fmt: skip
    often = max(told, key=len)
    noise = max(stdev(often) if len(often) > 1 else 0.0, LAUNCHES["output_throughput"])

    def alike(one: Candidate, other: Candidate) -> float:
        return SURE * noise * (1 / one.launches + 1 / other.launches) ** 0.5

    apart = [(one, other) for one in found for other in found if one.told - other.told > alike(one, other)]
    first = max(found, key=lambda each: each.guessed)
    return Order(_agreement(found, lambda *_: 0.0), _agreement(found, alike), len(apart),
                 sum(one.guessed > other.guessed for one, other in apart),
                 exp(first.told - max(each.told for each in found)))  # fmt: skip


def _agreement(found: Sequence[Candidate], limit: Callable[[Candidate, Candidate], float]) -> float:
    return _correlation(_ranks(found, "told", limit), _ranks(found, "guessed", limit))


def _ranks(found: Sequence[Candidate], name: str, limit: Callable[[Candidate, Candidate], float]) -> list[float]:
    """How many are less, and half of those within the limit."""

    def less(one: Candidate, other: Candidate) -> float:
        by = getattr(one, name) - getattr(other, name)
        return 0.5 if abs(by) <= limit(one, other) else float(by > 0)

    return [sum(less(one, other) for other in found) for one in found]


def _correlation(one: Sequence[float], other: Sequence[float]) -> float:
    a, b = fmean(one), fmean(other)
    top = sum((x - a) * (y - b) for x, y in zip(one, other, strict=True))
    below = (sum((x - a) ** 2 for x in one) * sum((y - b) ** 2 for y in other)) ** 0.5
    return top / below if below else 0.0


def show(found: dict[str, list[Off]]) -> None:
    print(f"{'':26}{'tpot':>8}{'throughput':>12}{'ttft':>8}{'loaded':>8}{'within':>8}{'figures':>9}")
    for name, offs in found.items():
        print(_line(name, offs))
        for group in sorted({each.measured.group for each in offs}):
            label = f"{group[0][:12]}, {group[1]}"
            print(_line(f"  {label}", [each for each in offs if each.measured.group == group]))


def _line(label: str, offs: Sequence[Off]) -> str:
    shares = [mape(offs, "tpot"), mape(offs, "output_throughput"), mape(offs, "ttft"), mape(offs, "ttft", True),
              fmean(each.within for each in offs) if offs else None]  # fmt: skip
    cells = ("-" if share is None else f"{share:.1%}" for share in shares)
    text = "".join(f"{cell:>{width}}" for cell, width in zip(cells, (8, 12, 8, 8, 8), strict=True))
    return f"{label[:26]:26}{text}{len(offs):>9}"


def show_each(offs: Iterable[Off]) -> None:
    for each in offs:
        told = each.measured.point.told[each.figure]
        print(f"{each.measured.point.id:70} {each.figure:18} {told:10.3f} {each.predicted:10.3f} {-each.off:+7.1%}"
              f"{'' if each.within else '  outside'}")  # fmt: skip


def gate(found: dict[str, list[Off]]) -> list[str]:
    """What is missed."""
    missed = []
    for name, figure, limit, loaded in LIMITS:
        off = mape(found[name], figure, loaded)
        if off is None or off > limit:
            told = "nothing measured" if off is None else f"{off:.1%} off"
            missed.append(f"{name} {figure}: {told}, {limit:.0%} allowed")
    offs = found["calibrated"]
    points = {each.measured.point.id for each in offs}
    share = fmean(each.within for each in offs) if offs else 0.0
    if not COVERED[0] <= share <= COVERED[1] or len(points) < FEWEST:
        missed.append(f"intervals hold {share:.0%} of {len(points)} points, {COVERED[0]:.0%} to {COVERED[1]:.0%} of at "
                      f"least {FEWEST} asked for")  # fmt: skip
    return missed


def beyond(found: dict[str, list[Off]]) -> list[str]:
    """Each (model, dtype) that alone is further off than the mean over all may be."""
    groups = sorted({each.measured.group for offs in found.values() for each in offs})
    return [f"{name} {figure} of {', '.join(group)} alone: {off:.1%} off, {limit:.0%} allowed over all"
            for name, figure, limit, loaded in LIMITS for group in groups
            if (off := mape([each for each in found[name] if each.measured.group == group], figure, loaded) or 0.0)
            > limit]  # fmt: skip


def main(words: Sequence[str]) -> int:
    files = [Path(word) for word in words if not word.startswith("--")] or list(RECORDED)
    points = [each for file in files for each in read(file)]
    if "--fit" in words:
        print(fitted_module(points))
        return 0
    found = score(points)
    if "--each" in words:
        show_each(found["calibrated"])
    show(found)
    if told := orders(found["calibrated"]):
        raw, tied = median(each.raw for each in told), median(each.tied for each in told)
        pairs, right = sum(each.pairs for each in told), sum(each.right for each in told)
        print(f"rank of predicted against measured throughput (Spearman, median of {len(told)} loads): {raw:.2f}, and "
              f"{tied:.2f} where what launches do not tell apart shares a rank")  # fmt: skip
        print(f"in the measured order: {right} of {pairs} pairs that launches tell apart ({right / pairs:.0%})")
        print(f"the first choice reaches {min(each.reached for each in told):.1%} of the best measured, at least")
    for text in beyond(found):
        print(text)
    missed = gate(found)
    for text in missed:
        print(f"missed: {text}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
