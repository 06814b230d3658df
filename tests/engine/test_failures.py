"""Causes of failed launches, each from log lines of a named vLLM release."""

from pathlib import Path

import pytest

from dyno.engine.failures import Cause, diagnose
from dyno.hardware.spec import GpuProcess

LOGS = Path(__file__).parents[1] / "data" / "logs"

# log, cause, words of the detail, words of the remedy
TOLD = [
    ("oom_load", Cause.OOM_LOAD, "Tried to allocate 896.00 MiB", "--quantization fp8"),
    ("oom_load_032", Cause.OOM_LOAD, "not enough GPU memory", "--quantization fp8"),
    ("oom_profile", Cause.OOM_PROFILE, "CUDA out of memory", "--max-num-batched-tokens"),
    ("oom_sampler", Cause.OOM_PROFILE, "warming up sampler with 1024", "--max-num-seqs"),
    ("oom_graphs", Cause.OOM_GRAPHS, "CUDA out of memory", "--enforce-eager"),
    ("cpu_memory", Cause.OOM_PROFILE, "requested memory for kv (40.0 GiB)", "below the 6.83 GiB that are free"),
    ("memory_taken", Cause.MEMORY_TAKEN, "Free memory on device cuda:0 (3.2/11.94 GiB)", "End what else uses the card"),
    ("cpu_memory_taken", Cause.MEMORY_TAKEN, "desired CPU memory utilization (0.92", "VLLM_CPU_KVCACHE_SPACE"),
    ("memory_gone", Cause.MEMORY_TAKEN, "CUDA error: out of memory", "End what else uses the card"),
    ("memory_moved", Cause.MEMORY_TAKEN, "Initial free memory 9.1 GiB", "during the start"),
    ("kv_too_small", Cause.KV_TOO_SMALL, "estimated maximum model length is 12672", "--max-model-len to 12672 or less"),
    ("kv_too_small_011", Cause.KV_TOO_SMALL, "maximum model length is 24448", "--max-model-len to 24448 or less"),
    ("no_kv_at_all", Cause.KV_TOO_SMALL, "No available memory for the cache blocks", "Lower --max-model-len"),
    ("unknown_flag", Cause.BAD_ARGUMENT, "unrecognized arguments: --no-such-flag", "does not take it"),
    ("bad_choice", Cause.BAD_ARGUMENT, "argument --kv-cache-dtype: invalid choice: 'fp9'", "does not take it"),
    ("bad_backend", Cause.BAD_ARGUMENT, "Unknown attention backend: 'NONSENSE'", "this machine can run"),
    ("bad_value", Cause.BAD_ARGUMENT, "Unknown quantization method: nonsense", "Correct the value"),
    ("bad_relation", Cause.BAD_ARGUMENT, "max_num_batched_tokens (64) must be greater", "Correct the value"),
    ("too_long", Cause.BAD_ARGUMENT, "User-specified max_model_len (90000) is greater", "Correct the value"),
    ("too_many_ranks", Cause.BAD_ARGUMENT, "Not enough allowed NUMA nodes", "this machine can run"),
    ("no_kernel", Cause.BAD_ARGUMENT, "_C::static_scaled_fp8_quant()", "no kernel"),
    ("old_card", Cause.BAD_ARGUMENT, "Minimum capability: 89", "no kernel"),
    ("bad_range", Cause.BAD_ARGUMENT, "max_num_batched_tokens Input should be greater", "Correct the value"),
    ("bad_variable", Cause.BAD_ARGUMENT, "invalid literal for int() with base 10: 'abc'", "Correct the value"),
    ("no_config_json", Cause.MODEL_FILES, "Invalid repository ID or local directory", "holds config.json"),
    ("no_folder", Cause.MODEL_FILES, "Repo id must be in the form", "holds config.json"),
    ("not_downloaded", Cause.MODEL_FILES, "Cannot find an appropriate cached snapshot", "Check the model's name"),
    ("no_weights", Cause.MODEL_FILES, "Cannot find any model weights with", "holds config.json and weights"),
    ("corrupt_config_json", Cause.MODEL_FILES, "OSError: It looks like the config file", "download them again"),
    ("config_lacks_field", Cause.MODEL_FILES, "Should have a `model_type` key", "download them again"),
    ("corrupt_tokenizer", Cause.MODEL_FILES, "JSONDecodeError: Expecting property", "download them again"),
    ("corrupt_weights", Cause.MODEL_FILES, "OverflowError: cannot fit", "download them again"),
    ("port_in_use", Cause.PORT_IN_USE, "OSError: [Errno 98] Address already in use", "another"),
    ("worker_killed", Cause.KILLED, "WorkerProc initialization failed", "the kernel"),
    ("core_killed_at_start", Cause.KILLED, "{'EngineCore': -9}", "the kernel"),
    ("core_killed", Cause.DIED, "engine core exited unexpectedly", "the kernel"),
]  # fmt: skip


def log_of(name: str) -> str:
    return (LOGS / f"{name}.txt").read_text()


@pytest.mark.parametrize(("name", "cause", "detail", "remedy"), TOLD, ids=[row[0] for row in TOLD])
def test_a_log_tells_its_cause_the_line_that_shows_it_and_what_to_do(name, cause, detail, remedy):
    failure = diagnose(log_of(name), exit_code=1, timed_out=False)
    assert failure.cause is cause
    assert detail in failure.detail
    assert remedy in failure.remedy


def test_every_cause_that_a_log_can_tell_has_a_log():
    assert {row[1] for row in TOLD} == set(Cause) - {Cause.TIMEOUT, Cause.NO_ANSWERS}


def test_every_log_names_its_release_and_origin_and_is_used():
    for path in LOGS.iterdir():
        release, origin = path.read_text().splitlines()[0].split(",")[:2]
        assert release.startswith("# vLLM 0.")
        assert origin.split(":")[0] in (" captured", " from its source")
        assert path.stem == "start_cpu" or path.stem in {row[0] for row in TOLD}


def test_the_detail_has_neither_log_prefix_nor_source_code():
    for name, *_ in TOLD:
        detail = diagnose(log_of(name), 1, False).detail
        assert "pid=" not in detail
        assert not detail.startswith(("raise ", "ERROR", "("))
        assert len(detail) <= 400


@pytest.mark.parametrize("name", ["memory_taken", "oom_load"])
def test_who_else_is_on_the_card_is_named(name):
    neighbours = (GpuProcess(4242, "Xorg", 512 << 20), GpuProcess(77, "python", None))
    assert "pid 4242 Xorg (512 MiB), pid 77 python." in diagnose(log_of(name), 1, False, neighbours).remedy


def test_neighbours_are_not_named_when_memory_was_not_the_cause():
    neighbours = (GpuProcess(4242, "Xorg", 512 << 20),)
    assert "Xorg" not in diagnose(log_of("unknown_flag"), 2, False, neighbours).remedy


def test_a_start_that_takes_too_long_is_a_time_out_and_says_how_far_it_came():
    failure = diagnose(log_of("start_cpu"), exit_code=None, timed_out=True)
    assert failure.cause is Cause.TIMEOUT
    assert failure.detail == "INFO:     Application startup complete."


def test_what_the_log_says_comes_before_the_way_it_ended():
    assert diagnose(log_of("oom_load"), exit_code=None, timed_out=True).cause is Cause.OOM_LOAD
    assert diagnose(log_of("oom_load"), exit_code=-9, timed_out=False).cause is Cause.OOM_LOAD


@pytest.mark.parametrize("exit_code", [-9, 137])
def test_a_kill_is_told_by_the_exit_code(exit_code):
    assert diagnose(log_of("start_cpu"), exit_code, False).cause is Cause.KILLED


def test_an_unknown_error_is_told_in_its_own_words():
    log = (
        "(EngineCore pid=7) ERROR 11-21 01:17:35 [core.py:1510] ZeroDivisionError: division by zero\n"
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
    )
    failure = diagnose(log, exit_code=1, timed_out=False)
    assert (failure.cause, failure.detail) == (Cause.DIED, "ZeroDivisionError: division by zero (exit code 1)")


def test_an_engine_that_died_while_serving_has_died():
    assert diagnose(log_of("start_cpu"), exit_code=1, timed_out=False).cause is Cause.DIED


@pytest.mark.parametrize("log", ["", "\n\n"])
def test_an_empty_log_is_said_to_be_empty(log):
    assert diagnose(log, exit_code=None, timed_out=True).detail == "the log is empty"


def test_the_tail_is_the_end_of_the_log_as_it_was():
    tail = diagnose(log_of("start_cpu"), 1, False).log_tail
    assert tail.splitlines() == log_of("start_cpu").splitlines()[-30:]
