"""Model folders without weights, at the shapes of real models, for `vllm serve FOLDER --load-format dummy`."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, islice, product
from pathlib import Path
from typing import Any

from dyno.errors import InputError


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model looks like: the fields of its config.json that are its own. Sizes in elements, length in tokens."""

    name: str
    architecture: str
    model_type: str
    fields: Mapping[str, Any]

    @property
    def vocab_size(self) -> int:
        return int(self.fields["vocab_size"])

    @property
    def max_position_embeddings(self) -> int:
        return int(self.fields["max_position_embeddings"])


def _qwen3(name: str, hidden: int, mlp: int, layers: int, heads: int, kv_heads: int, **more: object) -> Shape:
    fields = {
        "attention_bias": False, "head_dim": 128, "hidden_size": hidden, "intermediate_size": mlp,
        "max_position_embeddings": 40960, "num_attention_heads": heads, "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads, "rope_theta": 1000000, "tie_word_embeddings": True, "vocab_size": 151936,
    }  # fmt: skip
    return Shape(name, "Qwen3ForCausalLM", "qwen3", fields | more)


_LLAMA_3B = {
    "attention_bias": False, "head_dim": 128, "hidden_size": 3072, "intermediate_size": 8192,
    "max_position_embeddings": 131072, "mlp_bias": False, "num_attention_heads": 24, "num_hidden_layers": 28,
    "num_key_value_heads": 8, "rope_theta": 500000.0, "tie_word_embeddings": True, "vocab_size": 128256,
}  # fmt: skip
_GEMMA_3 = {
    "attention_bias": False, "attn_logit_softcapping": None, "final_logit_softcapping": None, "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "intermediate_size": 6912,
    "max_position_embeddings": 32768, "num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1,
    "query_pre_attn_scalar": 256, "rope_local_base_freq": 10000, "rope_theta": 1000000, "sliding_window": 512,
    "sliding_window_pattern": 6, "tie_word_embeddings": True, "vocab_size": 262144,
}  # fmt: skip
_QWEN3_MOE = {
    "attention_bias": False, "decoder_sparse_step": 1, "head_dim": 128, "hidden_size": 2048, "intermediate_size": 6144,
    "max_position_embeddings": 40960, "mlp_only_layers": [], "moe_intermediate_size": 768, "norm_topk_prob": True,
    "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 6,
    "num_key_value_heads": 4, "rope_theta": 1000000.0, "tie_word_embeddings": False, "vocab_size": 151936,
}  # fmt: skip
_DEEPSEEK_V2_LITE = {
    "attention_bias": False, "first_k_dense_replace": 1, "hidden_size": 2048, "intermediate_size": 10944,
    "kv_lora_rank": 512, "max_position_embeddings": 32768, "moe_intermediate_size": 1408, "moe_layer_freq": 1,
    "n_group": 1, "n_routed_experts": 64, "n_shared_experts": 2, "norm_topk_prob": False, "num_attention_heads": 16,
    "num_experts_per_tok": 6, "num_hidden_layers": 7, "num_key_value_heads": 16, "q_lora_rank": None,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rope_theta": 10000, "routed_scaling_factor": 1.0,
    "scoring_func": "softmax", "tie_word_embeddings": False, "topk_group": 1, "topk_method": "greedy",
    "v_head_dim": 128, "vocab_size": 102400,
}  # fmt: skip
_QWEN3_NEXT = {
    "attention_bias": False, "decoder_sparse_step": 1, "full_attention_interval": 4, "head_dim": 256,
    "hidden_size": 2048, "intermediate_size": 5120, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
    "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_value_head_dim": 128,
    "max_position_embeddings": 262144, "mlp_only_layers": [], "moe_intermediate_size": 512, "norm_topk_prob": True,
    "num_attention_heads": 16, "num_experts": 64, "num_experts_per_tok": 10, "num_hidden_layers": 12,
    "num_key_value_heads": 2, "partial_rotary_factor": 0.25, "rope_theta": 10000000,
    "shared_expert_intermediate_size": 512, "tie_word_embeddings": False, "vocab_size": 151936,
}  # fmt: skip

# Qwen3's are real ones but "demo"; of the others, those named "...-part" have fewer layers than the model they are of.
# None is a `qwen2`: transformers 5 reads its tokenizer with a class of its own, which knows none of the words.
SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        _qwen3("demo", 1024, 3072, 4, 16, 4, head_dim=64, vocab_size=4096),
        _qwen3("qwen3-0.6b", 1024, 3072, 28, 16, 8),
        _qwen3("qwen3-1.7b", 2048, 6144, 28, 16, 8),
        _qwen3("qwen3-4b", 2560, 9728, 36, 32, 8),
        _qwen3("qwen3-8b", 4096, 12288, 36, 32, 8, tie_word_embeddings=False),
        _qwen3("qwen3-14b", 5120, 17408, 40, 40, 8, tie_word_embeddings=False),
        _qwen3("qwen3-32b", 5120, 25600, 64, 64, 8, tie_word_embeddings=False),
        Shape("llama-3.2-3b", "LlamaForCausalLM", "llama", _LLAMA_3B),
        Shape("gemma-3-1b", "Gemma3ForCausalLM", "gemma3_text", _GEMMA_3),
        Shape("qwen3-30b-a3b-part", "Qwen3MoeForCausalLM", "qwen3_moe", _QWEN3_MOE),
        Shape("deepseek-v2-lite-part", "DeepseekV2ForCausalLM", "deepseek_v2", _DEEPSEEK_V2_LITE),
        Shape("qwen3-next-part", "Qwen3NextForCausalLM", "qwen3_next", _QWEN3_NEXT),
    )
}

_EOS = 0  # an ordinary word: a special token would be an invisible piece of the stream
_SYLLABLES = tuple(consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou")


def words(number: int) -> tuple[str, ...]:
    """That many distinct pronounceable ASCII words, all of one length."""
    length = next(length for length in count(2) if len(_SYLLABLES) ** length >= number)
    return tuple("".join(syllables) for syllables in islice(product(_SYLLABLES, repeat=length), number))


def write_model(folder: Path, shape: Shape) -> Path:
    """Writes config and tokenizer of `shape`; a folder that holds just them is left as it is.

    InputError when the folder holds anything else. An interrupted call leaves no half-written folder.
    """
    files = {name: json.dumps(content, indent=1) + "\n" for name, content in _contents(shape).items()}
    if folder.is_dir() and any(folder.iterdir()):
        strange = sorted(entry.name for entry in folder.iterdir() if not _holds(entry, files.get(entry.name)))
        if strange or len(list(folder.iterdir())) < len(files):
            raise InputError(f"{folder}: holds something other than the synthetic model {shape.name} "
                             f"({', '.join(strange) or 'files are missing'}); name an empty or new folder")  # fmt: skip
        return folder
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name an empty or new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, text in files.items():
            (unfinished / name).write_text(text)
        unfinished.chmod(0o755)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _holds(file: Path, text: str | None) -> bool:
    return text is not None and file.is_file() and file.read_bytes() == text.encode()


def _contents(shape: Shape) -> dict[str, dict[str, object]]:
    return {
        "config.json": {
            "architectures": [shape.architecture],
            "model_type": shape.model_type,
            "attention_dropout": 0.0,
            "bos_token_id": _EOS,
            "eos_token_id": _EOS,
            "hidden_act": "silu",
            "initializer_range": 0.02,
            "rms_norm_eps": 1e-6,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.51.0",  # without it transformers warns of a regex this tokenizer has not
            "use_cache": True,
            **shape.fields,
        },
        "generation_config.json": {"bos_token_id": _EOS, "eos_token_id": _EOS, "do_sample": False},
        "tokenizer.json": _tokenizer(shape.vocab_size),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": shape.max_position_embeddings,
            "clean_up_tokenization_spaces": False,
            "chat_template": "{% for message in messages %}{{ message['content'] }} {% endfor %}",
        },
    }


def _tokenizer(vocab_size: int) -> dict[str, object]:
    """The format of the tokenizers library, version 1.0."""
    vocabulary = words(vocab_size)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: number for number, word in enumerate(vocabulary)},
            "unk_token": vocabulary[_EOS],
        },
    }
