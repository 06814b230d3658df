"""Claims of others beside what was measured."""

import pytest
from tests.report.test_dataset import LOADS, screened
from tests.report.test_dossier import STEPS
from tests.study.made import FACTS, journal, step

from dyno.errors import InputError
from dyno.report.claims import claims_table, read_claims
from dyno.study.outcome import judge

EAGER = """
[[claim]]
claim = "Eager is twice as fast"
study = "{study}"
candidate = "eager"
figure = "{figure}"
{bound}
shown = "x{{:.2f}}"
"""


def outcome(name, *more, steps=STEPS):
    made, spec = journal([*steps, *more], workloads=LOADS, blocks=2, tests=("startup", "throughput", "context"))
    return judge(made, spec, name)


def told(tmp_path, outcomes, study="s", figure="speedup", bound="at_least = 2"):
    """What the table says of one claim."""
    file = tmp_path / "claims.toml"
    file.write_text(EAGER.format(study=study, figure=figure, bound=bound))
    return claims_table(read_claims(file), outcomes).splitlines()[-1]


@pytest.mark.parametrize(("given", "said"), [
    ({}, "x1.19 | does not hold"),
    ({"bound": "at_most = 1.5"}, "x1.19 | holds"),
    ({"bound": "differs_by = 0.1"}, "x1.19 | holds"),
    ({"figure": "context.8192.ttft_ms", "bound": "at_most = 99"}, "x80.00 | holds"),
    ({"figure": "throughput.output_throughput", "bound": 'over = "baseline"\nat_least = 1.0'}, "x1.09 | holds"),
    ({"figure": "start.kv_cache_tokens", "bound": 'over = "baseline"\ndiffers_by = 0.1'}, "x1.00 | does not hold"),
    ({"figure": "soak.completed"}, "measured | not known"),
    ({"study": "t*"}, "not measured | not known"),
])  # fmt: skip
def test_a_claim_is_told_with_the_figure_that_it_names(tmp_path, given, said):
    eight = step(1, "eager", "context", figures={"8192.ttft_ms": 80.0}, facts=FACTS)
    assert said in told(tmp_path, [outcome("s", eight)], **given)


def test_of_several_studies_that_tell_the_last_counts(tmp_path):
    cold, silent = outcome("s-cold"), outcome("s-warm", steps=STEPS[:3])
    assert "x1.19" in told(tmp_path, [cold, silent], "s*")


def test_a_speedup_is_the_confirmed_one_where_there_is_one(tmp_path):
    steps = list(STEPS[:9])
    for number in range(3):
        for place, (name, chat) in enumerate((("baseline", 100.0), ("eager", 130.0 + number))):
            steps += screened(3 + 2 * number + place, name, chat, 50.0, phase="confirm", pair=number)
    made, spec = journal(steps, workloads=LOADS, confirm=("eager", 3))
    assert "x1.31 | does not hold" in told(tmp_path, [judge(made, spec, "s")])


@pytest.mark.parametrize(("bound", "problem"), [
    ("at_least = 1\nat_most = 2", "has to have one of at_least"),
    ("at_leest = 1", "at_leest: unknown key; did you mean"),
    ("at_least =", "is not TOML"),
])  # fmt: skip
def test_what_is_no_claim_is_refused(tmp_path, bound, problem):
    with pytest.raises(InputError, match=problem):
        told(tmp_path, [], bound=bound)
