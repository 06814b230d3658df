"""The data of all releases, as it stands in the package."""

import pytest

from dyno.engine.catalog_releases import DATA, flag_history, keyword_history, release, releases, variable_history
from dyno.errors import InputError


def flag(version: str, name: str):
    return next((each for each in release(version).flags if each.name == name), None)


def test_releases_are_in_the_order_of_their_versions():
    known = releases()
    assert known[0] == "0.6.2"
    assert known.index("0.8.5") < known.index("0.8.5.post1") < known.index("0.9.0.1") < known.index("0.10.0")
    assert known.index("0.9.2") < known.index("0.33.0")


def test_the_data_is_small():
    assert DATA.stat().st_size < 2**20


def test_an_unknown_release_names_the_nearest():
    with pytest.raises(InputError, match=r"0\.32\.00.*0\.32\.0"):
        release("0.32.00")


@pytest.mark.parametrize(
    ("name", "last", "gone"),
    [
        ("swap_space", "0.17.1", "0.18.0"),
        ("num_scheduler_steps", "0.10.0", "0.10.1"),
        ("preemption_mode", "0.10.2", "0.11.0"),
        ("max_seq_len_to_capture", "0.10.2", "0.11.0"),
        ("calculate_kv_scales", "0.27.1", "0.28.0"),
    ],
)
def test_a_flag_that_is_gone_has_its_last_release(name, last, gone):
    assert (flag_history()[name][-1].last, flag_history()[name][-1].gone) == (last, gone)
    assert flag(last, name)
    assert not flag(gone, name)


@pytest.mark.parametrize(
    ("name", "first"),
    [("attention_backend", "0.13.0"), ("kv_offloading_size", "0.11.1"), ("async_scheduling", "0.10.0"),
     ("kv_cache_memory_bytes", "0.10.2"), ("spec_model", "0.22.0")],
)  # fmt: skip
def test_a_flag_has_its_first_release(name, first):
    assert flag_history()[name][0].first == first


def test_defaults_choices_and_bounds_are_each_release_s_own():
    assert flag("0.19.1", "gpu_memory_utilization").default == 0.9
    assert flag("0.20.0", "gpu_memory_utilization").default == 0.92
    assert flag("0.32.0", "gpu_memory_utilization").bounds == (("gt", 0.0), ("le", 1.0))
    assert "float16" not in flag("0.17.1", "kv_cache_dtype").choices
    assert "float16" in flag("0.18.0", "kv_cache_dtype").choices
    assert flag("0.8.2", "enforce_eager").negatable is False
    assert flag("0.32.0", "enforce_eager").negatable is True
    assert flag("0.33.0", "enable_prefix_caching").negations == (
        "--no-enable-prefix-caching",
        "--disable-prefix-caching",
    )


def test_variables_keywords_keys_and_lists_are_told():
    assert variable_history()["VLLM_ATTENTION_BACKEND"][-1].last == "0.14.1"
    assert variable_history()["VLLM_USE_V1"][-1].last == "0.11.0"
    assert "swap_space" in release("0.17.1").keywords
    assert keyword_history()["swap_space"][-1].gone == "0.18.0"
    assert "speculative_config.num_speculative_tokens" in {key.name for key in release("0.32.0").keys}
    assert "XFORMERS" in release("0.11.2").lists["attention_backend"]
    assert "XFORMERS" not in release("0.12.0").lists["attention_backend"]
    assert "bitsandbytes" in release("0.27.1").lists["quantization"]
    assert "bitsandbytes" not in release("0.28.0").lists["quantization"]
