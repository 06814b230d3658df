"""The lengths that a release lets a model have: `_get_and_verify_max_len` of vllm/config/model.py, 0.8 to 0.33."""

from dyno.model.spec import ModelSpec

_KEPT = ("longrope", "llama3")  # what stretches positions without a word about max_position_embeddings
_YARN_COUNTED: tuple[int, int] = (0, 30)  # since then max_position_embeddings is taken to be stretched already
_ORIGINAL_FIRST: tuple[int, int] = (0, 11)  # since 0.11.1


def longest_len(model: ModelSpec, release: tuple[int, int]) -> int:
    """The largest max_model_len that vLLM takes."""
    rope, longest = model.rope, model.max_position_embeddings
    if rope.kind in _KEPT:
        return longest
    if "yarn" in rope.kind:
        return longest if release >= _YARN_COUNTED or not rope.original else int(rope.original * rope.factor)
    return int(longest * rope.factor)


def default_len(model: ModelSpec, release: tuple[int, int]) -> int:
    """The max_model_len of those who name none: with LongRoPE what the model was made for."""
    longest = longest_len(model, release)
    if model.rope.kind == "longrope" and release >= _ORIGINAL_FIRST:
        return model.rope.original or longest
    return longest


def rotary_positions(model: ModelSpec) -> int:
    """Positions of which cosines and sines are kept."""
    rope, longest = model.rope, model.max_position_embeddings
    if rope.kind == "longrope":
        return longest + rope.original
    if "yarn" in rope.kind:
        return int(rope.original * rope.factor) or longest
    return longest if rope.kind in _KEPT else int(longest * rope.factor)
