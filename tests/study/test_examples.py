"""The specs of examples/h200, which ask for a machine that tests do not have."""

from pathlib import Path

import pytest

from dyno.study.spec import parse_spec
from dyno.study.written import read_spec

SPECS = sorted((Path(__file__).parents[2] / "examples" / "h200").glob("*.yaml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_spec_for_an_h200_can_be_read_and_measures_random_weights(path):
    spec = parse_spec(read_spec(path))[1]
    assert "--load-format dummy" in spec.baseline
    assert spec.candidates is not None  # those of the file, not the table of defaults


def test_the_main_study_measures_three_workloads_and_all_six_tests_of_at_least_ten_candidates():
    spec = parse_spec(read_spec(SPECS[0].with_name("qwen3-4b.yaml")))[1]
    assert [load.name for load in spec.loads.values()] == ["chat", "prompts", "decode"]
    assert {"startup", "ttft", "throughput", "long_context", "prefix_reuse", "memory"} < set(spec.tests)
    assert len(spec.candidates) >= 10
    assert spec.pairs >= 3
