"""What the model makes wrong: its config.json, where it is at hand, else what its name says for certain."""

from collections.abc import Iterator

from dyno.lint.case import Case, Change, Hit, Rules, Setting
from dyno.lint.tables import FIRST_RELEASE, LEAVING, NATIVE

RULES = Rules()
_ALLOWED = "allow_deprecated_quantization"
_ONLINE_UNTIL = "0.31.0"
_ONLINE_FP8 = "fp8_per_tensor"
_MADE_BEFOREHAND = ("awq", "gptq", "compressed-tensors", "modelopt", "quark", "fbgemm_fp8")


@RULES.rule("DYN511", "error", "Longer than the model", "vllm/config/model.py: _get_and_verify_max_len")
def too_long(case: Case) -> Iterator[Hit]:
    """max_model_len may not be more than the model's own length, unless its positions are scaled (--hf-overrides,
    --rope-scaling) or VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 takes the risk of nonsense."""
    item, length = case.item("max_model_len"), case.value("max_model_len")
    if item is None or case.model is None or case.model.max_model_len is None or not isinstance(length, int):
        return
    allowed = (
        "VLLM_ALLOW_LONG_MAX_MODEL_LEN" in case.variables or case.item("hf_overrides") or case.item("rope_scaling")
    )
    if length > case.model.max_model_len and not allowed:
        yield Hit(
            item,
            f"{item.written} {length}: {case.model.name} ends at {case.model.max_model_len}",
            f"write {case.model.max_model_len} or less",
            Change(item, (Setting(item.name, case.model.max_model_len),)),
        )


@RULES.rule(
    "DYN512", "error", "fp8 on weights that are not FP8", "vllm/model_executor/layers/quantization/fp8.py of 0.31"
)
def online_fp8(case: Case) -> Iterator[Hit]:
    """Until 0.30 --quantization fp8 quantized a BF16 checkpoint while loading. Since 0.31 it reads FP8 checkpoints only
    and ends with "no longer supports online quantization"; fp8_per_tensor does what it did."""
    item = case.item("quantization")
    if (
        item
        and case.value("quantization") == "fp8"
        and case.known.since(_ONLINE_UNTIL)
        and case.model
        and case.model.quantization is None
    ):
        yield Hit(
            item,
            f"{item.written} fp8: {case.model.name} is not an FP8 checkpoint, and since vLLM 0.31.0 fp8 quantizes "
            "nothing while loading",
            f"write {_ONLINE_FP8}",
            Change(item, (Setting("quantization", _ONLINE_FP8),)),
        )


@RULES.rule(
    "DYN513", "warning", "fp8 needs an FP8 checkpoint", "vllm/model_executor/layers/quantization/fp8.py of 0.31"
)
def perhaps_online(case: Case) -> Iterator[Hit]:
    """As DYN512, where the model's config.json is not at hand and its name does not say FP8."""
    item = case.item("quantization")
    if item is None or case.value("quantization") != "fp8" or not case.known.since(_ONLINE_UNTIL) or case.model:
        return
    if "fp8" not in (case.model_name or "").lower() and case.configuration.entry != "mention":
        yield Hit(item, f"{item.written} fp8 fails since vLLM 0.31.0 unless the checkpoint is FP8 already",
                  f"{_ONLINE_FP8} if it is not; leave it out if it is")  # fmt: skip


@RULES.rule(
    "DYN514", "error", "Not what the checkpoint is quantized with", "vllm/config/model.py: _verify_quantization"
)
def other_method(case: Case) -> Iterator[Hit]:
    """The method that is asked for has to be the checkpoint's, or one that vLLM converts it to; AWQ, GPTQ and the like
    are made beforehand and not while loading."""
    item, asked = case.item("quantization"), case.value("quantization")
    if item is None or case.model is None or not isinstance(asked, str):
        return
    has, model = case.model.quantization, case.model.name
    is_late = case.known.since("0.26.0")  # earlier releases looked for the card's kernels when they read the weights
    if case.platform == "cpu" and is_late and has and asked != has and asked.endswith("_marlin"):
        yield Hit(item, f"{item.written} {asked}: its kernels are CUDA's, and {model} is quantized with {has}",
                  "leave it out: vLLM reads the method from the checkpoint", Change(item))  # fmt: skip
        return
    if has and _family(asked) != _family(has):
        yield Hit(item, f"{item.written} {asked}: {model} is quantized with {has}",
                  "leave it out: vLLM reads the method from the checkpoint", Change(item))  # fmt: skip
    elif has is None and _family(asked) in _MADE_BEFOREHAND:
        yield Hit(item, f"{item.written} {asked}: {model} is not quantized",
                  "name a quantized checkpoint, or leave it out", Change(item))  # fmt: skip


@RULES.rule("DYN519", "error", "Quantization on its way out", "vllm/model_executor/layers/quantization/__init__.py")
def deprecated_method(case: Case) -> Iterator[Hit]:
    """Since 0.14 a method that is to go is refused, also where only the checkpoint names it, unless
    --allow-deprecated-quantization says that this is known."""
    asked = case.value("quantization")
    method = asked if isinstance(asked, str) else case.model.quantization if case.model else None
    until = LEAVING.get(method or "")
    if until is None or not case.known.since("0.14.0") or case.known.since(until) or not case.closed:
        return
    items = [item for item in case.items if item.kind == "positional" or item.name == "model"]
    if (item := case.item("quantization") or next(iter(items), None)) and not case.is_on(_ALLOWED):
        yield Hit(item, f"vLLM {case.known.version} refuses {method} unless it is told that the method is to go",
                  "give --allow-deprecated-quantization, and look for a checkpoint of another kind")  # fmt: skip


@RULES.rule("DYN515", "warning", "Remote code for a model that needs none", "vllm/model_executor/models/registry.py")
def remote_code(case: Case) -> Iterator[Hit]:
    """It runs Python from the model's repository as you. vLLM has this architecture itself."""
    item = case.item("trust_remote_code")
    if item is None or not case.is_on("trust_remote_code") or case.configuration.entry == "mention":
        return
    name = case.model.architecture if case.model else case.model_name
    if name and (match := NATIVE.search(name)):
        yield Hit(item, f"{item.written}: {match[0]} is native in vLLM, and this runs code from the model's repository",
                  "leave it out")  # fmt: skip


@RULES.rule("DYN516", "error", "Newer than this release", "vllm/model_executor/models/registry.py")
def model_too_new(case: Case) -> Iterator[Hit]:
    """The release does not have the model's architecture."""
    items = [item for item in case.items if item.kind == "positional" or item.name == "model"]
    name = (case.model.architecture if case.model else None) or case.model_name
    for pattern, first in FIRST_RELEASE:
        if items and name and pattern.search(name) and not case.known.since(first):
            yield Hit(items[0], f"{name} begins with vLLM {first}", f"use vLLM {first} or newer")
            return


@RULES.rule("DYN517", "error", "Heads cannot be split so", "vllm/config/model.py: verify_with_parallel_config")
def heads(case: Case) -> Iterator[Hit]:
    """The number of attention heads has to be divisible by the tensor-parallel size."""
    item, size = case.item("tensor_parallel_size"), case.value("tensor_parallel_size")
    count = case.model.num_attention_heads if case.model else None
    if item and count and isinstance(size, int) and size > 0 and count % size:
        yield Hit(item, f"{item.written} {size}: {count} attention heads are not divisible by it", "choose a divisor")


@RULES.rule("DYN518", "error", "No experts to spread", "vllm/config/model.py: _verify_with_expert_parallelism")
def no_experts(case: Case) -> Iterator[Hit]:
    """Expert parallelism spreads the experts of a mixture-of-experts model; a dense model has none, and vLLM ends with
    "Number of experts in the model must be greater than 0"."""
    item = case.item("enable_expert_parallel")
    if item and case.model and case.model.num_experts == 0 and case.value("enable_expert_parallel") is True:
        yield Hit(item, f"{item.written}: {case.model.name} has no experts", "leave it out", Change(item))


def _family(method: str) -> str:
    return next((family for family in ("awq", "gptq", "fbgemm_fp8", "fp8", "modelopt") if family in method), method)
