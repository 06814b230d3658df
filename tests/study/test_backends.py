import pytest

from dyno.engine.catalog import Catalog, Flag
from dyno.engine.environment import Environment
from dyno.errors import InputError
from dyno.study.backends import backend_changes, with_change

NEW = Catalog("0.32.0", (Flag("attention_backend", ("--attention-backend",), "str"),))
OLD = Catalog("0.10.2", ())


def engine(platform):
    return Environment("e", "venv", "/p", (), platform, "0.32.0", "3.11", "2.13")


def test_all_are_those_that_the_release_offers_on_the_platform():
    assert list(backend_changes(["all"], engine("cuda"), NEW)) == [
        "FLASH_ATTN", "FLASHINFER", "TRITON_ATTN", "FLEX_ATTENTION"]  # fmt: skip


def test_a_release_without_the_flag_is_asked_by_its_variable():
    assert backend_changes(["flashinfer"], engine("cuda"), NEW) == {"FLASHINFER": "--attention-backend FLASHINFER"}
    assert backend_changes(["FLASHINFER"], engine("cuda"), OLD) == {"FLASHINFER": "VLLM_ATTENTION_BACKEND=FLASHINFER"}
    assert backend_changes(["TORCH_SDPA"], engine("cpu"), OLD) == {"TORCH_SDPA": "VLLM_ATTENTION_BACKEND=TORCH_SDPA"}


def test_a_name_that_the_cpu_engine_would_pass_over_is_refused_as_it_would_be_compared_with_itself():
    with pytest.raises(InputError, match="would pass over FLASHINFER and use CPU_ATTN"):
        backend_changes(["FLASHINFER"], engine("cpu"), NEW)


def test_one_that_dyno_does_not_know_is_left_to_an_engine_that_refuses_it_itself():
    assert list(backend_changes(["CUTLASS_MLA"], engine("cuda"), NEW)) == ["CUTLASS_MLA"]


def test_where_there_is_one_backend_there_is_nothing_to_compare():
    with pytest.raises(InputError, match="one attention backend, CPU_ATTN, which is its default"):
        backend_changes(["all"], engine("cpu"), NEW)


def test_a_change_goes_with_flags_and_with_a_whole_command():
    assert with_change("", "--x 1") == "--x 1"
    assert with_change("vllm serve m --y 2", "--x 1") == "vllm serve m --y 2 --x 1"
    assert with_change("vllm serve m --y 2", "V=1") == "V=1 vllm serve m --y 2"
