"""What is kept beside the records of requests: the server's gauges and the samples of card and host."""

import numpy as np
import pytest
from tests.hardware.replay import samples

from dyno.bench.counters import read_gauges
from dyno.bench.raw import SAMPLES, load_gauges, load_samples, save_samples
from dyno.errors import InputError

PAGE = b'vllm:kv_cache_usage_perc{engine="0"} %.2f\nvllm:num_requests_running{engine="0"} 3.0\n'


def test_gauges_that_a_page_does_not_tell_are_unknown_and_the_peak_is_of_the_rest():
    gauges = read_gauges([(7, PAGE % 0.25), (8, b"garbled {"), (9, PAGE % 0.5)])
    assert gauges.at_ns.tolist() == [7, 8, 9]
    assert gauges.kv_usage_peak == 0.5
    assert np.isnan(gauges.running[1])
    assert np.isnan(gauges.waiting).all()
    assert read_gauges(()).kv_usage_peak is None


def test_samples_are_kept_as_they_were_without_columns_that_were_never_told(tmp_path):
    seen = samples(card__power_w=np.linspace(90, 120, 61), card__energy_j=np.full(61, np.nan))
    save_samples(tmp_path / "new", "ttft", seen)
    again = load_samples(tmp_path / "new", "ttft")
    assert again.peak("card.power_w") == 120
    assert again.peaks() == seen.peaks()
    assert "card.energy_j" not in again.columns
    assert (again.cores, again.at_ns.tolist()) == (seen.cores, seen.at_ns.tolist())


def test_a_test_without_samples_has_none_and_damaged_ones_are_refused_by_name(tmp_path):
    assert load_samples(tmp_path, "ttft") is None
    (tmp_path / f"ttft{SAMPLES}").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"ttft\.samples\.npz"):
        load_samples(tmp_path, "ttft")
    (tmp_path / "load.npz").write_bytes(b"PK nonsense")
    with pytest.raises(InputError, match=r"load\.npz"):
        load_gauges(tmp_path / "load.npz")
