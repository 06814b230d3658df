"""What an engine would refuse is found before it is launched: lint with the engine's own flags, card and model."""

from collections.abc import Iterable

from dyno.engine.args import EngineArgs
from dyno.engine.catalog import Catalog, parse_changes
from dyno.engine.environment import Environment, load_catalog, load_environment
from dyno.errors import InputError
from dyno.hardware.gpus import Card
from dyno.hardware.spec import Gpu
from dyno.lint.case import ModelFacts
from dyno.lint.check import Judge
from dyno.lint.launch import engine_judge, launch_errors, repaired
from dyno.model.spec import ModelSpec
from dyno.study.space import Suggestion
from dyno.study.trial import Candidate


def refuse_errors(
    candidates: Iterable[Candidate], environment: Environment, card: Gpu | None, model: ModelSpec | None
) -> None:
    """InputError with everything that the candidates' engines would refuse."""
    problems = []
    for candidate in candidates:
        engine = load_environment(candidate.engine) if candidate.engine else environment
        judge = judge_for(load_catalog(engine), engine.platform, card, model)
        problems += [f"{candidate.name}: {each.message} ({each.code}); {each.remedy}, or launch it by --no-lint"
                     for each in launch_errors(candidate.args, judge)]  # fmt: skip
    if problems:
        raise InputError(*problems)


def judge_for(catalog: Catalog, platform: str, card: Gpu | None, model: ModelSpec | None) -> Judge:
    """Judges for an installed engine."""
    known_card = Card(card.name, card.capability, card.memory_total_bytes) \
        if card and card.capability and card.memory_total_bytes else None  # fmt: skip
    facts = (
        ModelFacts(model.source, model.architecture, None, model.quantization, model.num_attention_heads)
        if model
        else None
    )
    return engine_judge(catalog, platform, known_card, facts)


def launchable(table: Iterable[Suggestion], catalog: Catalog, model: str, judge: Judge) -> tuple[Suggestion, ...]:
    """The suggestions written as this engine takes them; those that it cannot take at all are left out."""
    fit = []
    for suggestion in table:
        try:
            change = parse_changes(suggestion.change, catalog, model)
        except InputError:
            continue
        args = EngineArgs("model", change.flags, change.env)
        if launch_errors(args, judge):
            better = repaired(args, judge, catalog)
            if better is None or not better.changes():
                continue
            suggestion = Suggestion(suggestion.name, better.changes(), suggestion.reason)
        fit.append(suggestion)
    return tuple(fit)
