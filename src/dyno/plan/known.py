"""What a release of vLLM and a model have to say to flags, each of which alone could be."""

import re
from collections.abc import Iterable, Sequence
from functools import cache

from dyno.engine.args import EngineArgs
from dyno.engine.catalog import Catalog, spelt_out, unreadable
from dyno.engine.catalog_releases import release as catalog_of
from dyno.engine.catalog_releases import releases
from dyno.errors import InputError, nearest
from dyno.model.spec import ModelSpec
from dyno.plan.flags import FLAGS, read_value
from dyno.predict.setup import Release

# Methods that quantize while loading and whose width is known; all others are of checkpoints, or nobody looked.
ONLINE = ("fp8", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "ptpc_fp8", "int8_per_channel_weight_only")
_FAMILIES = ("compressed-tensors", "modelopt", "bitsandbytes", "awq", "gptq", "mxfp4", "fp8")
_DOTTED = re.compile(r"--?[a-z][\w-]*\.")
_LISTED = ("quantization", "attention_backend", "load_format")


def misfits(args: EngineArgs, model: ModelSpec, release: Release) -> tuple[str, ...]:
    """Flags that the release does not have, values it does not know, and quantization that the model does not take."""
    catalog = _catalog(release) if args.flags else None
    unknown = tuple(_unknown(args, catalog)) if catalog else ()
    return unknown or tuple(_quantization(args, model))


def beyond(args: EngineArgs, model: ModelSpec) -> bool:
    """Whether a plan of these flags would be of another engine: values and methods whose size is not known."""
    for name, value in args.flags:
        if name in FLAGS and not isinstance(value, bool):
            try:
                read_value(name, str(value))
            except InputError:
                return True
    return any(_quantization(args, model))


def strange_words(words: Sequence[str], release: Release) -> Iterable[str]:
    """What the release's own parser would refuse among the words after `vllm serve MODEL`."""
    catalog = _catalog(release) if words else None
    return unreadable(words, catalog) if catalog else ()


def spelt(words: Sequence[str], release: Release) -> Sequence[str]:
    """The words with dotted keys written out, where there are any and the release is known."""
    catalog = _catalog(release) if any(_DOTTED.match(word) for word in words) else None
    return spelt_out(words, catalog) if catalog else words


def _unknown(args: EngineArgs, catalog: Catalog) -> Iterable[str]:
    names = tuple(flag.name for flag in catalog.flags)
    for name, value in args.flags:
        if name not in names:
            yield f"{name}: vLLM {catalog.version} has no such flag{nearest(name, names)}"
        elif name in _LISTED and (listed := catalog.lists.get(name)):
            folded = {word.lower(): word for word in listed}
            if str(value).lower() not in folded:
                yield (f"{name}: {value!r} is not one that vLLM {catalog.version} has"
                       f"{nearest(str(value), listed)}; there are {', '.join(listed)}")  # fmt: skip


def _quantization(args: EngineArgs, model: ModelSpec) -> Iterable[str]:
    asked = args.flag("quantization")
    if not isinstance(asked, str):
        return
    if model.quantized is None:
        if asked not in ONLINE:
            yield (f"quantization: {asked!r} needs a checkpoint that is stored so, {model.source} is not quantized, or "
                   f"Dyno does not know its size; while loading it plans for {', '.join(ONLINE)}")  # fmt: skip
    elif (family := _family(asked)) and family != (stored := _family(model.quantized.method)) and stored:
        yield f"quantization: {asked!r} does not fit {model.source}, which is stored as {model.quantized.method}"


def _family(method: str) -> str:
    return next((family for family in _FAMILIES if family in method), "")


@cache
def _catalog(release: Release) -> Catalog | None:
    """That of the newest patch of a release, None for one that is not known."""
    prefix = ".".join(map(str, release)) + "."
    versions = [version for version in releases() if version.startswith(prefix)]
    return catalog_of(versions[-1]) if versions else None
