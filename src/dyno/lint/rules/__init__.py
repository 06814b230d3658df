"""All rules, by code."""

from collections.abc import Iterable

from dyno.errors import InputError, nearest
from dyno.lint.case import Rule
from dyno.lint.rules import conflicts, hardware, ignored, model, names, speculation, traps, unsafe, values, variables

MODULES = (names, values, variables, ignored, conflicts, speculation, hardware, model, unsafe, traps)
RULES: dict[str, Rule] = {rule.code: rule for module in MODULES for rule in module.RULES.all}


def find_rules(codes: Iterable[str]) -> list[Rule]:
    """The rules of these codes. InputError for codes that there are not."""
    codes = [code.strip().upper() for code in codes]
    if unknown := [code for code in codes if code not in RULES]:
        raise InputError(
            *(f"{code}: is not a code{nearest(code, list(RULES))}; docs/lint-codes.md has all" for code in unknown)
        )
    return [RULES[code] for code in codes]
