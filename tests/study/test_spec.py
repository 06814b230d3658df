from dataclasses import fields
from pathlib import Path

import pytest

from dyno.errors import InputError
from dyno.study.spec import parse_spec
from dyno.study.written import MORE_TESTS, TESTS, SpecFile, read_spec, spec_schema
from dyno.workload import PRESETS


def problems(content):
    with pytest.raises(InputError) as caught:
        parse_spec(content)
    return caught.value.problems


def test_a_model_is_all_that_is_needed():
    written, spec = parse_spec({"model": "m"})
    assert written == SpecFile(model="m")
    assert (spec.workload, spec.pairs, spec.objective.name) == (PRESETS["chat"], 6, "output_throughput")


def test_an_unknown_key_is_named_with_the_nearest():
    assert problems({"model": "m", "limts": {}}) == ("limts: unknown key; did you mean 'limits'?",)
    assert problems({"model": "m", "workload": {"inputlen": 3}}) == (
        "workload.inputlen: unknown key; did you mean 'input_len'?",
    )


def test_all_problems_are_reported_together():
    found = problems(
        {"modle": "m", "budget": "soon", "workload": "chatt", "pairs": "six", "limits": {"vram": "11 apples"}}
    )
    assert [problem.split(":")[0] for problem in found] == [
        "pairs",
        "modle",
        "workload",
        "limits.vram",
        "budget",
        "model",
    ]
    assert "did you mean 'chat'" in " ".join(found)


@pytest.mark.parametrize(
    "content",
    [{"pairs": -1}, {"budget": 0}, {"tests": ["speed"]}, {"candidates": {"baseline": "--x"}}, {"objective": "fastest"},
     {"workload": {"input_len": 0}}, {"seed": 1.5}, {"candidates": ["--x"]}, {"limits": ["x"]}, {"model": ["m"]},
     {"duration": "0 s"}],
)  # fmt: skip
def test_an_unusable_value_is_one_problem_that_names_its_key(content):
    found = problems({"model": "m"} | content)
    assert all(problem.startswith(next(iter(content))) for problem in found if not problem.startswith("model: missing"))


def test_a_preset_can_be_changed_in_part():
    workload = parse_spec({"model": "m", "workload": {"preset": "long", "concurrency": 2}})[1].workload
    assert (workload.input_len, workload.concurrency, workload.num_requests) == (8192, 2, 8)


def test_quantities_are_read_with_their_units():
    spec = parse_spec(
        {"model": "m", "budget": "40m", "limits": {"ttft_p95": "2 s", "vram": "11 GiB", "temperature": "82 C"}}
    )[1]
    assert spec.budget_s == 2400
    assert spec.duration_s is None
    assert parse_spec({"model": "m", "duration": "8 h"})[1].duration_s == 8 * 3600
    assert [limit.bound for limit in spec.limits] == [2000.0, 11 * 2**30, 82.0]


def test_startup_throughput_and_memory_are_always_taken():
    assert parse_spec({"model": "m", "tests": ["ttft"]})[1].tests == ("startup", "ttft", "throughput", "memory")


def test_tests_that_take_long_are_taken_only_when_they_are_named():
    assert parse_spec({"model": "m"})[1].tests == TESTS
    assert parse_spec({"model": "m", "tests": MORE_TESTS})[1].tests == ("startup", "throughput", *MORE_TESTS, "memory")


@pytest.mark.parametrize("text", ["a: [1", "- just\n- a list\n", "", "3", "a: 1\na: 2\n"])
def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path, text):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"spec\.yaml: "):
        read_spec(path)


def test_a_missing_or_binary_spec_file_is_refused_by_name(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("missing.yaml", "binary.yaml"):
        with pytest.raises(InputError, match=f"{name}: "):
            read_spec(tmp_path / name)


def test_the_published_schema_is_the_one_specs_are_read_by():
    schema = spec_schema()
    assert set(schema["properties"]) == {field.name for field in fields(SpecFile)}
    assert schema["additionalProperties"] is False


def test_every_example_spec_can_be_read_and_is_at_most_15_lines():
    examples = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
    assert examples
    for example in examples:
        parse_spec(read_spec(example))
        assert (
            len([line for line in example.read_text().splitlines() if line.strip() and not line.startswith("#")]) <= 15
        )
