from dataclasses import replace

import pytest

from dyno.doctor.describe import describe
from dyno.doctor.findings import find
from dyno.engine.environment import Environment
from dyno.hardware.spec import Cpu, Gpu, GpuProcess, Hardware

GIB, MIB = 2**30, 2**20
CPU_ENGINE = Environment("cpu", "venv", "/e/bin/python", (), "cpu", "0.32.0+cpu", "3.12.3", "2.13.0+cpu")
CUDA_ENGINE = replace(CPU_ENGINE, name="cuda", platform="cuda", version="0.33.0", torch_version="2.11.0+cu130")
HOST = Hardware(
    cpu=Cpu("Some Xeon", 8, ("sse4_2", "avx2", "avx512f")),
    ram_total_bytes=64 * GIB,
    ram_available_bytes=60 * GIB,
    shm_free_bytes=32 * GIB,
    disk_free_bytes=200 * GIB,
    compiler="/usr/bin/g++",
    python_headers=True,
    python="3.12.3",
)
CARD = Gpu(0, "GPU-1", "NVIDIA H200", (9, 0), 140 * GIB, 139 * GIB, 4 * MIB, temperature_c=36.0, throttle_reasons=(),
           display_attached=False)  # fmt: skip
GPU_HOST = replace(HOST, gpus=(CARD,), driver="580.95.05", cuda_driver="13.0")


def levels(hardware, *environments):
    return [finding.level for finding in find(hardware, environments)]


def only(hardware, *environments):
    found = [finding for finding in find(hardware, environments) if "no NVIDIA card" not in finding.what]
    assert len(found) == 1, found
    return found[0]


def card(**changes):
    return only(replace(GPU_HOST, gpus=(replace(CARD, **changes),)), CUDA_ENGINE)


def test_nothing_is_found_on_a_good_machine():
    assert find(GPU_HOST, (CUDA_ENGINE,)) == ()
    assert levels(HOST, CPU_ENGINE) == ["note"]  # that there is no card


def test_what_a_card_does_not_say_is_no_finding():
    assert find(replace(GPU_HOST, gpus=(Gpu(0, "GPU-1", "old"),), cuda_driver=None), (CUDA_ENGINE,)) == ()


def test_errors_come_first():
    assert levels(replace(HOST, disk_free_bytes=GIB)) == ["error", "warning", "note"]


def test_a_machine_without_an_engine_is_told_how_to_get_one():
    finding = only(HOST)
    assert (finding.level, finding.remedy) == ("warning", "`dyno env install`")
    assert "no engine environment that uses it" in only(GPU_HOST, CPU_ENGINE).what


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"python": "3.15.0"}, "error", "Python 3.15.0: vLLM has no release"),
        ({"disk_free_bytes": 3 * 10**9}, "error", "2.79 GiB of disk free; the engine takes "),
    ],
)
def test_what_stops_an_installation_matters_only_before_it(change, level, words):
    first = find(replace(HOST, **change), ())[0]
    assert first.level == level
    assert words in first.what
    assert levels(replace(HOST, **change), CPU_ENGINE) == ["note"]


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"cpu": Cpu("Old", 8, ("sse4_2",))}, "error", "no AVX2, which the CPU engine needs"),
        ({"cpu": Cpu("Mid", 8, ("sse4_2", "avx2"))}, "note", "slower AVX2 kernels"),
        ({"cpu": Cpu("One", 1, ("asimd",))}, "warning", "one core"),
        ({"ram_total_bytes": 4 * GIB}, "warning", "4 GiB of RAM is little"),
        ({"shm_free_bytes": 64 * MIB}, "error", "64 MiB free in /dev/shm; the CPU engine needs 160 MiB"),
        ({"compiler": None}, "warning", "no g++: the CPU engine cannot compile and runs with --enforce-eager"),
        ({"compiler": None, "python_headers": False}, "warning", "no g++ and no Python.h"),
        ({"on_battery": True}, "warning", "on battery"),
        ({"wsl2": True}, "note", "WSL2"),
    ],
)
def test_a_host_without_a_card_is_judged_for_the_cpu_engine(change, level, words):
    finding = only(replace(HOST, **change), CPU_ENGINE)
    assert finding.level == level
    assert words in finding.what
    assert finding.remedy


def test_a_host_with_a_card_needs_little_of_its_processor_and_shared_memory():
    weak = replace(GPU_HOST, cpu=Cpu("Old", 8, ("sse4_2",)), shm_free_bytes=64 * MIB)
    assert only(weak, CUDA_ENGINE).level == "note"
    assert "Triton" in only(replace(GPU_HOST, python_headers=False), CUDA_ENGINE).what


def test_a_driver_older_than_an_engines_cuda_is_an_error():
    old = replace(GPU_HOST, driver="570.133.07", cuda_driver="12.8")
    finding = only(old, CUDA_ENGINE)
    assert finding.level == "error"
    assert "driver 570.133.07 runs CUDA 12.8; cuda is built for CUDA 13" in finding.what
    assert find(old, (replace(CUDA_ENGINE, torch_version="2.8.0+cu126"),)) == ()
    assert "the CUDA engine is built for CUDA 13" in find(old, ())[0].what


def test_a_driver_that_does_not_answer_is_said_and_not_taken_for_no_card():
    finding = only(replace(HOST, gpu_error="Driver/library version mismatch"), CPU_ENGINE)
    assert (finding.level, "reboot" in finding.remedy) == ("warning", True)
    assert "no NVIDIA card" not in str(find(replace(HOST, gpu_error="x"), (CPU_ENGINE,)))


def test_memory_taken_by_others_is_said_with_who_and_what_would_still_start():
    someone = GpuProcess(4242, "python3", 30 * GIB)
    finding = card(memory_used_bytes=30 * GIB, memory_free_bytes=110 * GIB, processes=(someone,))
    assert finding.level == "warning"
    assert "30 GiB of 140 GiB is in use by python3 (pid 4242); vLLM asks for 92% by default" in finding.what
    assert "--gpu-memory-utilization 0.78" in finding.remedy
    little = card(memory_used_bytes=1 * GIB, memory_free_bytes=139 * GIB)
    assert (little.level, "by others" in little.what) == ("note", True)


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"capability": (7, 0)}, "error", "compute capability 7.0; the CUDA engine begins at 7.5"),
        ({"display_attached": True}, "note", "drives a display"),
        ({"throttle_reasons": ("power cap", "hardware slowdown")}, "warning", "slowed down now (hardware slowdown)"),
        ({"throttle_reasons": ("application clocks",)}, "note", "held by a setting"),
        ({"temperature_c": 84.0}, "warning", "84 C before any work"),
    ],
)
def test_a_cards_state_is_judged(change, level, words):
    finding = card(**change)
    assert finding.level == level
    assert finding.what.startswith("GPU 0 (NVIDIA H200): ")
    assert words in finding.what


def test_a_machine_is_described_by_what_it_says():
    lines = dict(describe(GPU_HOST, (CUDA_ENGINE,)))
    assert lines["GPU 0"] == "NVIDIA H200 · capability 9.0 · 140 GiB, 139 GiB free · 36 C · GPU-1"
    assert lines["driver"] == "580.95.05, runs CUDA 13.0"
    assert lines["engine cuda"] == "vLLM 0.33.0 for cuda · torch 2.11.0+cu130"
    assert "driver" not in dict(describe(HOST, ()))
