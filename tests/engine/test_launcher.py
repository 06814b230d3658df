import pytest

from dyno.engine.args import EngineArgs
from dyno.engine.environment import Environment
from dyno.engine.launcher import build_command

ENVIRONMENT = Environment("cpu", "venv", "/envs/cpu/venv/bin/python", (), "cpu", "0.32.0+cpu", "3.12.1", "2.13.0+cpu")
ADOPTED = Environment("gpu", "adopted", "/usr/bin/python3", ("/gpu/site",), "cuda", "0.26.0", "3.12.1", "2.11.0+cu130")


@pytest.fixture(autouse=True)
def _home(monkeypatch):
    monkeypatch.setenv("DYNO_HOME", "/dyno")


def launch(args, inherited=(), environment=ENVIRONMENT, device=None):
    return build_command(environment, args, 8123, "dyno-nonce", device, dict(inherited))


def test_the_command_line_serves_on_loopback_under_the_models_name_and_the_nonce():
    made = launch(EngineArgs("org/model", (("max_num_seqs", 8),)))
    assert made.argv == ("/envs/cpu/venv/bin/python", "-m", "vllm.entrypoints.cli.main", "serve", "org/model",
                         "--max-num-seqs", "8", "--host", "127.0.0.1", "--port", "8123",
                         "--served-model-name", "org/model", "dyno-nonce")  # fmt: skip
    assert (made.url, made.model_name, made.nonce) == ("http://127.0.0.1:8123", "org/model", "dyno-nonce")


@pytest.mark.parametrize(("pinned", "names"), [("chat", ("chat",)), (("chat", "other"), ("chat", "other"))])
def test_pinned_served_names_stay_in_front_of_the_nonce(pinned, names):
    made = launch(EngineArgs("org/model", (("served_model_name", pinned),)))
    assert made.argv[-len(names) - 2 :] == ("--served-model-name", *names, "dyno-nonce")
    assert made.model_name == "chat"


def test_inherited_vllm_variables_are_dropped_and_the_others_stay():
    made = launch(EngineArgs("org/model"), {"VLLM_ATTENTION_BACKEND": "X", "OMP_NUM_THREADS": "3", "HF_TOKEN": "t"})
    assert "VLLM_ATTENTION_BACKEND" not in made.env
    assert (made.env["OMP_NUM_THREADS"], made.env["HF_TOKEN"]) == ("3", "t")


def test_the_environments_folders_come_first():
    made = launch(EngineArgs("org/model"), {"PATH": "/bin", "PYTHONPATH": "/mine"}, ADOPTED)
    assert made.env["PATH"] == "/usr/bin:/bin"
    assert made.env["PYTHONPATH"] == "/gpu/site:/mine"
    assert "PYTHONPATH" not in launch(EngineArgs("org/model")).env


def test_dynos_own_variables():
    env = launch(EngineArgs("org/model")).env
    ours = {name: env.get(name) for name in ("VLLM_CACHE_ROOT", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK",
                                             "PYTHONUNBUFFERED", "VLLM_USE_AOT_COMPILE")}  # fmt: skip
    assert ours == {"VLLM_CACHE_ROOT": "/dyno/cache/vllm", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
                    "PYTHONUNBUFFERED": "1", "VLLM_USE_AOT_COMPILE": "0"}  # fmt: skip
    assert "VLLM_USE_AOT_COMPILE" not in launch(EngineArgs("org/model"), environment=ADOPTED).env


def test_the_card_is_given_in_the_order_of_nvml():
    mine = {"CUDA_VISIBLE_DEVICES": "0,1"}
    env = launch(EngineArgs("org/model"), mine, ADOPTED, "1").env
    assert (env["CUDA_VISIBLE_DEVICES"], env["CUDA_DEVICE_ORDER"]) == ("1", "PCI_BUS_ID")
    env = launch(EngineArgs("org/model"), mine).env
    assert (env["CUDA_VISIBLE_DEVICES"], env.get("CUDA_DEVICE_ORDER")) == ("0,1", None)


def test_the_configurations_variables_win_over_all():
    asked = {"VLLM_CACHE_ROOT": "/mine", "VLLM_USE_AOT_COMPILE": "1", "PYTHONUNBUFFERED": "0", "HF_HUB_OFFLINE": "0"}
    env = launch(EngineArgs("/", env=tuple(asked.items())), {"HF_HUB_OFFLINE": "1"}).env
    assert {name: env[name] for name in asked} == asked


def test_a_local_folder_needs_no_hub(tmp_path):
    assert launch(EngineArgs(str(tmp_path))).env["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in launch(EngineArgs("org/model")).env


def test_what_engines_compile_stays_in_dynos_folder_unless_the_user_keeps_it_elsewhere():
    env = launch(EngineArgs("org/model"), {"TRITON_CACHE_DIR": "/mine"}).env
    assert env["TRITON_CACHE_DIR"] == "/mine"
    assert env["FLASHINFER_WORKSPACE_BASE"] == "/dyno/cache/vllm/flashinfer"
    assert env["TORCHINDUCTOR_CACHE_DIR"] == "/dyno/cache/vllm/inductor"
