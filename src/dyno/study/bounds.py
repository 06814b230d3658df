"""What no figure of a configuration can beat, as far as it is known for sure: pure."""

from dyno.bench.audit import PhysicalBounds
from dyno.engine.args import EngineArgs
from dyno.model.spec import ModelSpec

# Every weight of these is read in every decode step, but the table of the input embeddings.
_DENSE = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Gemma2ForCausalLM",
          "Phi3ForCausalLM", "GraniteForCausalLM", "Olmo2ForCausalLM")  # fmt: skip
_AS_STORED = ("bfloat16", "float16")  # float32 is loaded as one of these
# Flags with which a step reads other bytes than the checkpoint holds, or makes several tokens of a sequence.
_UNSURE = ("quantization", "speculative_config", "hf_overrides", "load_format")
_ON_CHIP_BYTES = 256 << 20  # what a card's caches may keep from one step to the next; no card's hold more
_SURE = 0.9  # of the time: memory may run above its stated clock


def decode_bounds(model: ModelSpec, weights_bytes: int | None, bytes_per_s: float | None,
                  args: EngineArgs) -> PhysicalBounds:  # fmt: skip
    """No token takes less time than to read the weights once from the card's memory.

    Nothing where that is not sure: no card, no checkpoint here, experts, a flag that changes the weights or predicts
    tokens, a model small enough for the caches.
    """
    sure = model.architecture in _DENSE and (model.quantization is not None or model.dtype in _AS_STORED)
    changed = any(args.flag(name) is not None for name in _UNSURE)
    if weights_bytes is None or bytes_per_s is None or not sure or changed:
        return PhysicalBounds()
    embedding_bytes = 2 * model.vocab_size * model.hidden_size
    ranks = args.flag("tensor_parallel_size")
    read_bytes = (weights_bytes - embedding_bytes) / (ranks if isinstance(ranks, int) else 1) - _ON_CHIP_BYTES
    return (
        PhysicalBounds({"tpot_ms.p50": _SURE * read_bytes / bytes_per_s * 1000}) if read_bytes > 0 else PhysicalBounds()
    )
