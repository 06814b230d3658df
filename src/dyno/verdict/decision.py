"""The weighted decision matrix: criteria, their weights, and scores that come from measurements or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dyno.verdict.limits import limit_figure
from dyno.workload import THROUGHPUTS


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion. `weight` is its share of what was given; it counts for nothing where nobody measured it."""

    name: str
    weight: float
    measured: bool


@dataclass(frozen=True, slots=True)
class Option:
    """One configuration: a score a criterion, 100 for the best measured; `total` None when one is missing."""

    name: str
    scores: tuple[float | None, ...]
    total: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """Options by total, the best first. `lead` is what the first has over the second, in points of 100."""

    criteria: tuple[Criterion, ...]
    options: tuple[Option, ...]
    lead: float | None


def decide(weights: Sequence[tuple[str, float]], figures: Mapping[str, Mapping[str, float | None]]) -> Decision:
    """Score every option by its ratio to the best of each criterion, and weigh the criteria that were measured.

    `figures` are those of each option; a criterion is a limit's or an objective's name. A figure that is not above 0
    counts as not measured, as it has no ratio. A ratio keeps what a rank would lose: how close the runner-up is.
    """
    given = sum(weight for _, weight in weights)
    columns = [_scores(name, figures) for name, _ in weights]
    criteria = tuple(Criterion(name, weight / given, any(score is not None for score in column.values()))
                     for (name, weight), column in zip(weights, columns, strict=True))  # fmt: skip
    options = [_option(name, criteria, tuple(column[name] for column in columns)) for name in figures]
    ranked = sorted(options, key=lambda option: -1.0 if option.total is None else option.total, reverse=True)
    totals = [option.total for option in ranked if option.total is not None]
    return Decision(criteria, tuple(ranked), totals[0] - totals[1] if len(totals) > 1 else None)


def _scores(criterion: str, figures: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    known = {
        name: value for name, each in figures.items() if (value := each.get(limit_figure(criterion))) and value > 0
    }
    if not known:
        return dict.fromkeys(figures)
    best = max(known.values()) if criterion in THROUGHPUTS else min(known.values())
    ratios = {name: value / best if criterion in THROUGHPUTS else best / value for name, value in known.items()}
    return {name: 100 * ratios[name] if name in ratios else None for name in figures}


def _option(name: str, criteria: Sequence[Criterion], scores: tuple[float | None, ...]) -> Option:
    counted = [(criterion.weight, score) for criterion, score in zip(criteria, scores, strict=True)
               if criterion.measured]  # fmt: skip
    known = [(weight, score) for weight, score in counted if score is not None]
    if not known or len(known) < len(counted):
        return Option(name, scores, None)
    return Option(name, scores, sum(weight * score for weight, score in known) / sum(weight for weight, _ in known))
