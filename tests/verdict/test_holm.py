import math
from functools import partial

import numpy as np

from dyno.verdict.holm import holm
from dyno.verdict.sequential import Question, judge_looks


def judges(logs_by_metric, pairs=20):
    return {metric: partial(judge_looks, Question("B", "A", metric, True, pairs), [(math.exp(log), 1) for log in logs])
            for metric, logs in logs_by_metric.items()}  # fmt: skip


def test_one_metric_is_judged_at_the_whole_level():
    asked = judges({"ttft_p50": [0.1, 0.11, 0.09, 0.1]})
    assert holm(asked, 0.05)["ttft_p50"] == asked["ttft_p50"](0.05)


def test_a_difference_that_is_found_leaves_its_share_to_the_rest():
    clear, weak = [0.5, 0.51, 0.49, 0.5], [0.10, 0.03, 0.09, 0.04]
    asked = judges({"clear": clear, "weak": weak}, pairs=4)
    assert asked["weak"](0.025).answer == "inconclusive"
    assert asked["weak"](0.05).answer == "better"
    assert holm(asked, 0.05)["weak"].answer == "better"
    alone = holm(judges({"other": [0.3, -0.3, 0.3, -0.3], "weak": weak}, pairs=4), 0.05)
    assert alone["weak"].answer == "inconclusive"


def test_among_several_metrics_that_do_not_differ_one_is_rarely_called_different():
    rng = np.random.default_rng(8)
    wrong = 0
    for _ in range(200):
        asked = judges({metric: rng.normal(0, 0.05, 20) for metric in "abcd"})
        wrong += any(made.answer in ("better", "worse") for made in holm(asked, 0.05).values())
    assert wrong <= 16
