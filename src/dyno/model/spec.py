"""What a model is, from its config.json."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The facts of a model that planning a study needs. Lengths in tokens, sizes in elements."""

    source: str  # folder or Hugging Face id, as the user wrote it
    path: str | None  # local folder, None while it is only an id
    architecture: str
    vocab_size: int
    max_position_embeddings: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    dtype: str
    quantization: str | None = None
    has_weights: bool = True
