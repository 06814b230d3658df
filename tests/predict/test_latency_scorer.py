"""benchmarks/latency.py on the points that were written down."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dyno.model.synthetic import SHAPES
from dyno.predict.rates import generic, published
from dyno.workload import Workload

ROOT = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scorer():
    sys.path.insert(0, str(ROOT))
    spec = importlib.util.spec_from_file_location("latency_scorer", ROOT / "latency.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["latency_scorer"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["latency_scorer"]
    sys.path.remove(str(ROOT))


@pytest.fixture(scope="module")
def points(scorer):
    return [each for file in scorer.RECORDED for each in scorer.read(file)]


def test_training_has_nothing_of_the_tests_model_and_dtype(scorer, points):
    groups = {each.group for each in points}
    assert {("qwen3-4b", "bfloat16"), ("qwen3-4b", "fp8")} <= groups
    for group in groups:
        assert group not in {each.group for each in scorer.training(group, points)}


def test_a_test_point_among_the_training_points_ends_the_run(scorer, points):
    card = points[0].point.run.setup.card
    known = replace(published(card), fitted_on=(points[0].point.id,))
    for told in (known, replace(published(card), constants_on=(points[1].point.id,)), generic(card)):
        with pytest.raises(SystemExit, match="is to be predicted from"):
            scorer.checked(points, told)
    assert scorer.checked(points[3:5], known) is known


def test_a_point_under_another_name_and_model_is_found_among_the_training_points(scorer, points):
    trained, other = points[0], next(each for each in points if each.group[0] != points[0].group[0])
    renamed = replace(trained, group=other.group, point=replace(trained.point, id="another"))
    known = replace(published(trained.point.run.setup.card), fitted_on=(trained.point.id,))
    with pytest.raises(SystemExit, match="another: is among"):
        scorer.checked([other, renamed], known, points)
    assert scorer.checked([other], known, points) is known


@pytest.mark.parametrize("changed", [{"ttft": 0.0}, {"tpot": 1.0}, {"ttft": 0.0, "tpot": 0.0}])
def test_a_copy_with_a_figure_left_out_or_altered_is_found_too(scorer, points, changed):
    trained = points[0]
    told = {name: value for name, value in {**trained.point.told, **changed}.items() if value}
    copy = replace(trained, group=("other", "fp8"), point=replace(trained.point, id="another", told=told))
    assert scorer.copied(copy, trained)
    assert not scorer.copied(replace(copy, load="1+1x1"), trained)


def test_no_point_passes_for_one_of_another_group(scorer, points):
    assert [(one.point.id, other.point.id) for one in points for other in points
            if one.group != other.group and scorer.copied(one, other)] == []  # fmt: skip


def test_a_model_is_its_shape_whatever_it_is_called(scorer):
    made = SHAPES["qwen3-8b"]
    config = {**made.fields, "architectures": [made.architecture], "model_type": made.model_type,
              "torch_dtype": "float16", "rms_norm_eps": 1e-5}  # fmt: skip
    load = Workload("a", 64, 16, 1, 4)
    groups = [scorer.measured("a", (model, "NVIDIA H200", "0.26.0"), (), load, {}, "a").group
              for model in (config, "qwen3-8b", {**config, "num_hidden_layers": 35})]  # fmt: skip
    assert groups[0] == groups[1] == ("qwen3-8b", "bfloat16")
    assert groups[2] != groups[0]


def test_the_constants_that_dyno_comes_with_name_points_that_are_there(points):
    known = generic(points[0].point.run.setup.card).constants_on
    assert len(known) >= 40
    assert set(known) <= {each.point.id for each in points}


def test_points_have_ids_of_their_own(points):
    ids = [each.point.id for each in points]
    assert len(set(ids)) == len(ids)


def test_calibrating_points_are_few_and_unlike(scorer, points):
    chosen = scorer.designed(points)
    assert len(chosen) == scorer.MOST_CALIBRATING
    assert len({each.load for each in chosen}) >= 8


def off(scorer, point, config, told, guessed):
    each = replace(point, config=config, point=replace(point.point, told={"output_throughput": told}))
    return scorer.Off(each, "output_throughput", 0.0, guessed, True)


def test_an_order_is_right_where_launches_tell_two_apart(scorer, points):
    point = next(each for each in points if each.loaded)
    figures = [("a", 100.0, 102.0), ("a", 101.0, 102.0), ("b", 100.5, 103.0), ("c", 90.0, 95.0), ("d", 80.0, 96.0)]
    (order,) = scorer.orders([off(scorer, point, *each) for each in figures])
    assert (order.pairs, order.right) == (5, 4)
    assert order.raw == pytest.approx(0.8)
    assert order.tied == pytest.approx(0.94, abs=0.01)
    assert order.reached == pytest.approx(1.0, abs=0.001)
    assert scorer.orders([off(scorer, point, *each) for each in figures[:4]]) == []


def test_correlation_is_of_the_two_rows(scorer):
    assert scorer._correlation([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert scorer._correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
