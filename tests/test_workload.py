"""What can be asked of an engine."""

import pytest

from dyno.errors import InputError
from dyno.workload import PRESETS, workload_from


def test_what_is_not_changed_is_the_presets() -> None:
    assert workload_from("long") is PRESETS["long"]
    assert workload_from("long", concurrency=None, input_len=None) is PRESETS["long"]
    changed = workload_from("long", output_len=7)
    assert (changed.name, changed.input_len, changed.output_len) == ("long, changed", 8192, 7)


def test_concurrency_alone_asks_for_four_requests_a_client() -> None:
    assert workload_from("chat", concurrency=128).num_requests == 512
    assert workload_from("chat", concurrency=128, num_requests=128).num_requests == 128


@pytest.mark.parametrize(("preset", "changes", "problems"), [
    ("chatt", {}, ["workload: 'chatt' is not a preset (chat, long, decode); did you mean 'chat'?"]),
    ("chat", {"input_len": 0, "output_len": -1},
     ["workload.input_len: 0 must be at least 1", "workload.output_len: -1 must be at least 1"]),
    ("chat", {"num_requests": 15}, ["workload.num_requests: 15 must be at least the 16 requests under way at a time; "
                                    "ask for more, or for less concurrency"]),
])  # fmt: skip
def test_numbers_that_make_no_workload_are_told_all_at_once(preset, changes, problems) -> None:
    with pytest.raises(InputError) as refused:
        workload_from(preset, **changes)
    assert list(refused.value.problems) == problems
