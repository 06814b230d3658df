"""What a model is, from its config.json and the headers of its weights."""

from dataclasses import dataclass
from typing import Literal

CacheKind = Literal["full", "sliding", "chunked", "mla", "state"]
Role = Literal["embedding", "lm_head", "attention", "mlp", "experts", "router", "norm", "other"]


@dataclass(frozen=True, slots=True)
class CacheLayers:
    """Layers that keep the same kind of cache. Sizes in elements, `window` in tokens.

    `state` holds what a linear-attention or Mamba layer keeps for a request: elements and dtype of each part, None for
    the model's own dtype. For MLA, `head_dim` is the latent with its rotary part and there is one head and no value.
    """

    kind: CacheKind
    layers: int
    kv_heads: int = 0
    head_dim: int = 0
    v_head_dim: int = 0
    window: int = 0
    state: tuple[tuple[int, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Weights:
    """`count` tensors of one shape, as vLLM fuses them (one qkv, one gate and up). Sizes in elements."""

    role: Role
    count: int
    rows: int
    columns: int = 1
    kept: bool = False  # quantization leaves it alone

    @property
    def parameters(self) -> int:
        """Of all of them."""
        return self.count * self.rows * self.columns


@dataclass(frozen=True, slots=True)
class Stored:
    """What the safetensors headers hold of one role and dtype."""

    role: Role
    dtype: str
    parameters: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Quantization:
    """How weights are stored. `bits` a weight without its scales; `group` weights share a scale, 0 for a row's.

    `kv_dtype` is what the checkpoint has scales for, which is the KV cache's dtype unless another is asked for.
    """

    method: str
    bits: float
    group: int = 0
    roles: tuple[Role, ...] = ("attention", "mlp", "experts")
    kv_dtype: str = ""


@dataclass(frozen=True, slots=True)
class Rope:
    """How a config stretches positions: `kind` is its rope_type, none where it does not; `original` 0 where unsaid."""

    kind: str = ""
    factor: float = 1.0
    original: int = 0


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The facts of a model that planning and measuring need. Lengths in tokens, sizes in elements.

    `caches` and `weights` are empty where the shape is not known, and `unknown` says why.
    """

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
    intermediate_size: int = 0  # the widest MLP that every token passes
    num_experts: int = 0
    experts_per_token: int = 0
    moe_intermediate_size: int = 0
    mla_expanded_dim: int = 0  # of a head's key without rotary and value, which MLA makes of a latent
    rotary_dim: int = 0  # of a head, that positions turn; all tables of cosines and sines together
    rope: Rope = Rope()
    tie_word_embeddings: bool = False
    multimodal: bool = False
    caches: tuple[CacheLayers, ...] = ()
    weights: tuple[Weights, ...] = ()
    quantized: Quantization | None = None
    stored: tuple[Stored, ...] = ()
    unknown: str = ""

    @property
    def parameters(self) -> int:
        """All parameters of the language model, tied ones once."""
        return sum(group.parameters for group in self.weights)

    @property
    def active_parameters(self) -> int:
        """Parameters that one token passes: of the experts only those it is routed to."""
        experts = sum(group.parameters for group in self.weights if group.role == "experts")
        share = self.experts_per_token / self.num_experts if self.num_experts else 1.0
        return round(self.parameters - experts * (1 - share))

    @property
    def is_hybrid(self) -> bool:
        """Whether some layers keep a state instead of keys and values."""
        return any(cache.kind == "state" for cache in self.caches)

    @property
    def uses_mla(self) -> bool:
        """Whether layers keep one latent instead of keys and values."""
        return any(cache.kind == "mla" for cache in self.caches)
