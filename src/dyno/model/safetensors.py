"""The headers of safetensors files: what is stored, without reading the weights.

https://huggingface.co/docs/safetensors: eight bytes of length, a JSON object of tensors, their bytes one after another.
"""

import re
import struct
from collections import defaultdict
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

from dyno.errors import InputError, shown
from dyno.model.document import MOST_BYTES, parsed, read_json
from dyno.model.spec import ModelSpec, Role, Stored

_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32,
    "U16": 16, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip

# The first that matches a tensor's name; what an engine does not load of a checkpoint has no role.
_ROLES: tuple[tuple[re.Pattern[str], Role | None], ...] = (
    (re.compile(r"(^|\.)(mtp|nextn)\.|\.(eh_proj|enorm|hnorm|shared_head)\."), None),
    (re.compile(r"(^|\.)(visual|vision_tower|vision_model|audio_tower|multi_modal_projector|mm_projector)\."), "other"),
    (re.compile(r"lm_head|output\.weight$"), "lm_head"),
    (re.compile(r"embed_tokens|(^|\.)(wte|embeddings?|tok_embeddings)\."), "embedding"),
    (re.compile(r"\.experts\."), "experts"),
    (re.compile(r"norm|_ln|\.ln_"), "norm"),
    (re.compile(r"\.(gate|router)\.(weight|bias|e_score_correction_bias)$"), "router"),
    (re.compile(r"\.bias$|A_log|dt_bias|\.D$|conv1d|sinks"), "other"),
    (re.compile(r"attn|attention|mixer|mamba"), "attention"),
    (re.compile(r"mlp|feed_forward|ffn|shared_expert|block_sparse_moe"), "mlp"),
)
_REMEDY = "fetch it again"
_FILE = re.compile(r"[^/\\\x00]{1,200}\.safetensors")
_MOST_AXES = 32
_STRAY = 0.05  # of the parameters that a config describes, which its weights may be off by: heads, biases, buffers


def read_stored(folder: Path) -> tuple[Stored, ...]:
    """What the safetensors files in a folder hold, by role and dtype; empty when there are none.

    Where an index names files, others are passed over, as vLLM does. InputError for a file that is cut off, whose
    header is none, or says what cannot be.
    """
    names = indexed_files(folder) or sorted(file.name for file in folder.glob("*.safetensors"))
    tensors: dict[str, dict[str, Any]] = {}
    for name in names:
        held = _tensors(folder / name)
        if twice := tensors.keys() & held.keys():
            raise InputError(f"{folder / name}: {shown(min(twice))} is in another file as well; {_REMEDY}")
        tensors |= held
    return _by_role(tensors.items())


def indexed_files(folder: Path) -> tuple[str, ...]:
    """The files that the index of a folder's weights names, empty without one.

    InputError for an index that is none, or names what cannot be a file of the folder.
    """
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return ()
    content = read_json(index, _REMEDY)
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict) or not named:
        raise InputError(f"{index}: is not an index of weights, with a weight_map of files; {_REMEDY}")
    if strange := [name for name in named.values() if not isinstance(name, str) or not _FILE.fullmatch(name)]:
        raise InputError(f"{index}: {shown(strange[0])} is not the name of a file beside it; {_REMEDY}")
    return tuple(sorted(set(named.values())))


def stored_on_hub(model_id: str) -> tuple[Stored, ...]:
    """The same of an id on the hub, by requests for the headers alone; empty where the hub has none to give."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, NotASafetensorsRepoError, SafetensorsParsingError

    try:
        files = HfApi().get_safetensors_metadata(model_id).files_metadata.values()
    except (NotASafetensorsRepoError, SafetensorsParsingError, HfHubHTTPError, OSError):
        return ()
    return _by_role((name, {"dtype": tensor.dtype, "shape": tensor.shape})
                    for file in files for name, tensor in file.tensors.items())  # fmt: skip


def check_against(spec: ModelSpec) -> None:
    """InputError when the weights are not those of the config: another size of the language model."""
    held = sum(part.parameters for part in spec.stored if part.role not in ("other", "lm_head"))
    described = sum(group.parameters for group in spec.weights if group.role not in ("other", "lm_head"))
    if spec.stored and spec.weights and spec.quantized is None and abs(held - described) > _STRAY * described:
        raise InputError(f"{spec.source}: its weights hold {held:,} parameters, its config describes {described:,}; "
                         "they do not belong together: fetch the model again")  # fmt: skip


def _tensors(file: Path) -> dict[str, dict[str, Any]]:
    """Every tensor of a file, each checked by itself and all of them to fill the file one after the other."""
    header, room = _header(file)
    header.pop("__metadata__", None)
    if not header:
        raise InputError(f"{file}: holds no tensors; {_REMEDY}")
    for name, tensor in header.items():
        _check(file, name, tensor, room)
    at = 0
    for start, end, name in sorted((*tensor["data_offsets"], name) for name, tensor in header.items()):
        if start != at:
            raise InputError(f"{file}: {shown(name)} begins at byte {start}, where {at} is the next: tensors lie over "
                             f"each other or leave holes; {_REMEDY}")  # fmt: skip
        at = end
    if at != room:
        raise InputError(f"{file}: {room - at} bytes after the last tensor belong to none; {_REMEDY}")
    return header


def _check(file: Path, name: str, tensor: object, room: int) -> None:
    """InputError where a tensor is not described as one, or its size is not that of its shape."""
    try:
        shape, dtype, (start, end) = tensor["shape"], tensor["dtype"], tensor["data_offsets"]  # type: ignore[index]
        whole = all(type(size) is int and 0 <= size < 2**63 for size in (*shape, start, end))
        bits = _BITS[dtype]
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"{file}: {shown(name)}: is not described as a tensor ({shown(tensor)}); {_REMEDY}") from error
    if not whole or end > room or len(shape) > _MOST_AXES or end - start != (prod(shape) * bits + 7) // 8:
        raise InputError(f"{file}: {shown(name)}: shape {shown(shape)} of {dtype} is not bytes {shown(start)} to "
                         f"{shown(end)} of {room}; the file is cut off or damaged: {_REMEDY}")  # fmt: skip


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """The header, and how many bytes of tensors follow it."""
    try:
        size = file.stat().st_size
        with file.open("rb") as content:
            prefix = content.read(8)
            if len(prefix) < 8:
                raise InputError(f"{file}: {size} bytes are no safetensors file; {_REMEDY}")
            length = struct.unpack("<Q", prefix)[0]
            if length > min(size - 8, MOST_BYTES):
                raise InputError(f"{file}: {size} bytes, its header alone would need {length}: it is cut off or no "
                                 f"safetensors file; {_REMEDY}")  # fmt: skip
            header = parsed(content.read(length))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check its permissions") from error
    except ValueError as error:
        raise InputError(f"{file}: its header is not JSON ({error}); {_REMEDY}") from error
    if not isinstance(header, dict):
        raise InputError(f"{file}: its header holds {type(header).__name__}, not tensors; {_REMEDY}")
    return header, size - 8 - length


def _by_role(tensors: Iterable[tuple[str, dict[str, Any]]]) -> tuple[Stored, ...]:
    counted: defaultdict[tuple[Role, str], int] = defaultdict(int)
    for name, tensor in tensors:
        if (role := _role(name)) is not None:
            counted[role, tensor["dtype"]] += prod(tensor["shape"])
    return tuple(Stored(role, dtype, number, (number * _BITS.get(dtype, 16) + 7) // 8)
                 for (role, dtype), number in sorted(counted.items()))  # fmt: skip


def _role(name: str) -> Role | None:
    return next((role for pattern, role in _ROLES if pattern.search(name)), "other")
