"""The headers of safetensors files: what is stored, without reading the weights.

https://huggingface.co/docs/safetensors: eight bytes of length, a JSON object of tensors, their bytes one after another.
"""

import json
import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

from dyno.errors import InputError
from dyno.model.spec import ModelSpec, Role, Stored

_MOST_HEADER_BYTES = 100 * 2**20  # the format's own limit
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
_STRAY = 0.05  # of the parameters that a config describes, which its weights may be off by: heads, biases, buffers


def read_stored(folder: Path) -> tuple[Stored, ...]:
    """What the safetensors files in a folder hold, by role and dtype; empty when there are none.

    InputError for a file that is cut off, whose header is none, or says what cannot be.
    """
    tensors = [(name, tensor) for file in sorted(folder.glob("*.safetensors")) for name, tensor in _tensors(file)]
    return _by_role(tensors)


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


def _tensors(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    header, room = _header(file)
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        try:
            shape, bits = tensor["shape"], _BITS[tensor["dtype"]]
            start, end = tensor["data_offsets"]
            whole = all(type(size) is int and size >= 0 for size in (*shape, start, end))
        except (TypeError, KeyError, ValueError) as error:
            raise InputError(f"{file}: {name}: is not described as a tensor ({repr(tensor)[:80]}); "
                             f"{_REMEDY}") from error  # fmt: skip
        if not whole or end > room or end - start != (prod(shape) * bits + 7) // 8:
            raise InputError(f"{file}: {name}: shape {shape} of {tensor['dtype']} is not bytes {start} to {end} of "
                             f"{room}; the file is cut off or damaged: {_REMEDY}")  # fmt: skip
        yield name, tensor


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """The header, and how many bytes of tensors follow it."""
    try:
        size = file.stat().st_size
        with file.open("rb") as content:
            prefix = content.read(8)
            if len(prefix) < 8:
                raise InputError(f"{file}: {size} bytes are no safetensors file; {_REMEDY}")
            length = struct.unpack("<Q", prefix)[0]
            if length > min(size - 8, _MOST_HEADER_BYTES):
                raise InputError(f"{file}: {size} bytes, its header alone would need {length}: it is cut off or no "
                                 f"safetensors file; {_REMEDY}")  # fmt: skip
            header = json.loads(content.read(length))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check its permissions") from error
    except (ValueError, RecursionError) as error:
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
