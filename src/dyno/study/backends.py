"""The test `backend`: vLLM's default against its attention backends, each a proof of two configurations."""

from collections.abc import Mapping, Sequence

from dyno.engine.catalog import Catalog
from dyno.engine.environment import Environment
from dyno.errors import InputError

ALL = "all"

# What serves models with ordinary attention; MLA models have backends of their own, which may be named. From
# vLLM's platforms (cuda.py's priorities, cpu.py) of 0.10 to 0.33. A platform that is not here takes any name.
_OFFERED: Mapping[str, tuple[str, ...]] = {
    "cuda": ("FLASH_ATTN", "FLASHINFER", "TRITON_ATTN", "FLEX_ATTENTION"),
    "cpu": ("CPU_ATTN",),
}
_BEFORE_THE_FLAG: Mapping[str, tuple[str, ...]] = {**_OFFERED, "cpu": ("TORCH_SDPA",)}

# The CPU engine passes over any name but its own without a word, so that a proof would compare it with itself.
_IGNORES_OTHERS = ("cpu",)


def backend_changes(names: Sequence[str], environment: Environment, catalog: Catalog) -> dict[str, str]:
    """The change that asks for each backend, by its name; `all` are those this release offers on this platform.

    InputError for a name that this engine would pass over, and where there is nothing to choose.
    """
    flag = any(each.name == "attention_backend" for each in catalog.flags)
    offered = (_OFFERED if flag else _BEFORE_THE_FLAG).get(environment.platform, ())
    engine = f"vLLM {environment.version} on {environment.platform}"
    if names == [ALL]:
        if len(offered) < 2:
            has = f"one attention backend, {offered[0]}, which is its default" if offered else "none that Dyno knows of"
            raise InputError(f"--backends all: {engine} has {has}; there is nothing to compare, unless you name one")
        names = offered
    wanted = list(dict.fromkeys(name.upper() for name in names))
    if environment.platform in _IGNORES_OTHERS and (alien := [name for name in wanted if name not in offered]):
        raise InputError(*(f"--backends: {engine} would pass over {name} and use {', '.join(offered)}; name that or an "
                           "engine of another platform" for name in alien))  # fmt: skip
    return {name: f"--attention-backend {name}" if flag else f"VLLM_ATTENTION_BACKEND={name}" for name in wanted}


def with_change(configuration: str, change: str) -> str:
    """A configuration, written as flags or as a command, with one change more."""
    words = [configuration, change] if change.startswith("-") else [change, configuration]
    return " ".join(filter(None, words))
