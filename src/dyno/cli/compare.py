"""`dyno compare`: did anything change between these two studies?"""

import json
from pathlib import Path
from typing import Annotated

import typer

from dyno.errors import InputError


def compare(
    first: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder of the one, such as last month's.")],
    second: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder of the other, such as today's.")],
    margin: Annotated[str, typer.Option(help="What makes no difference to you.")] = "2 %",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two studies of different dates, releases or machines, as far as they may be compared.

    Ends with 0 when no ratio got worse, 1 when one did, 4 when that cannot be told.
    """
    from dyno.report.jsonout import verdict_json
    from dyno.report.wording import change_sentence
    from dyno.study.compare import Told, compare_studies
    from dyno.study.journal import read_journal
    from dyno.study.store import spec_of
    from dyno.units import parse_fraction

    try:
        zone = parse_fraction(margin)
    except ValueError as error:
        raise InputError(f"--margin: {error}") from error
    if not 0 < zone < 1:
        raise InputError(f"--margin: {margin!r} must be more than 0 and less than 100 %")
    before, after = (Told(str(folder), journal := read_journal(folder), spec_of(journal)) for folder in (first, second))
    made = compare_studies(before, after, zone)
    if as_json:
        told = {"studies": [before.name, after.name], "compared": [verdict_json(each) for each in made.compared],
                "not_compared": made.not_compared, "differs": made.settings, "disturbed": made.disturbed,
                "note": made.note}  # fmt: skip
        print(json.dumps(told, indent=2))
    else:
        for line in made.settings:
            print(f"differs: {line}")
        for line in made.disturbed:
            print(f"disturbed: {line}")
        for verdict in made.compared:
            print(f"compared: {change_sentence(verdict)}")
        for line in made.not_compared:
            print(f"not compared: {line}")
        print(made.note, end="\n" * bool(made.note))
    answers = {verdict.answer for verdict in made.compared} or {"inconclusive"}
    if code := 1 if "worse" in answers else 4 if "inconclusive" in answers else 0:
        raise typer.Exit(code)
