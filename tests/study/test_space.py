import pytest

from dyno.engine.args import EngineArgs
from dyno.errors import InputError
from dyno.study.space import SMALL_CARD_BYTES, Suggestion, build_candidates, suggestions

NONE = EngineArgs("m")


def read(text):
    """`name=value` words as flags, UPPER=value as variables; enough for what is tested here."""
    if "?" in text:
        raise InputError(f"{text} is not a flag")
    pairs = [tuple(word.split("=")) for word in text.split()]
    return EngineArgs("m", tuple(p for p in pairs if p[0].islower()), tuple(p for p in pairs if p[0].isupper()))


def build(changes, baseline=NONE, pinned=NONE):
    return build_candidates(baseline, pinned, tuple(Suggestion(name, text, "") for name, text in changes.items()), read)


def test_a_candidate_is_the_baseline_with_its_change_on_top_and_what_is_pinned():
    made = build({"a": "x=1"}, read("x=0 y=2"), read("z=3 V=4"))
    assert made[0].args == read("x=0 y=2 z=3 V=4")
    assert made[1].args == read("x=1 y=2 z=3 V=4")


def test_clashes_with_what_is_pinned_and_unreadable_changes_are_reported_together():
    with pytest.raises(InputError) as caught:
        build({"a": "x=1", "b": "?", "c": "V=2"}, read("x=0"), read("x=5 V=1"))
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["baseline", "candidates.a", "candidates.b",
                                                                           "candidates.c"]  # fmt: skip


@pytest.mark.parametrize("flag", ["quantization", "kv_cache_dtype", "dtype"])
def test_what_can_change_the_output_is_marked_and_what_is_pinned_for_all_is_not(flag):
    assert build({"a": f"{flag}=fp8"})[1].alters_output
    assert not build({"a": "x=1"}, pinned=read(f"{flag}=fp8"))[1].alters_output
    assert not build({"a": "x=1"}, baseline=read(f"{flag}=fp8"))[1].alters_output


def test_suggestions_follow_platform_capability_memory_and_checkpoint():
    def names(*about):
        return {suggestion.name for suggestion in suggestions(*about)}

    assert "all-cores" in names("cpu", None, None, False)
    assert "fp8-weights" in names("cuda", (8, 9), 24 << 30, False)
    assert "fp8-weights" not in names("cuda", (8, 6), 24 << 30, False)
    assert names("cuda", (9, 0), 140 << 30, True) & {"fp8-weights", "fp8-kv"} == {"fp8-kv"}
    assert "lean-graphs" in names("cuda", (12, 0), SMALL_CARD_BYTES, False)
    assert all(suggestion.reason for suggestion in suggestions("cuda", (9, 0), 1, False))
