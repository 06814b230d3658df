"""Model folders without weights, at any Qwen3 shape, for `vllm serve FOLDER --load-format dummy`."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, islice, product
from pathlib import Path

from dyno.errors import InputError


@dataclass(frozen=True, slots=True)
class Shape:
    """What a dense Qwen3 looks like. Sizes in elements, length in tokens."""

    name: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    tie_word_embeddings: bool
    head_dim: int = 128
    vocab_size: int = 151936
    max_position_embeddings: int = 40960


SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("demo", 1024, 3072, 4, 16, 4, True, head_dim=64, vocab_size=4096),
        Shape("qwen3-0.6b", 1024, 3072, 28, 16, 8, True),
        Shape("qwen3-1.7b", 2048, 6144, 28, 16, 8, True),
        Shape("qwen3-4b", 2560, 9728, 36, 32, 8, True),
        Shape("qwen3-8b", 4096, 12288, 36, 32, 8, False),
        Shape("qwen3-14b", 5120, 17408, 40, 40, 8, False),
        Shape("qwen3-32b", 5120, 25600, 64, 64, 8, False),
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
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": _EOS,
            "eos_token_id": _EOS,
            "head_dim": shape.head_dim,
            "hidden_act": "silu",
            "hidden_size": shape.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": shape.intermediate_size,
            "max_position_embeddings": shape.max_position_embeddings,
            "num_attention_heads": shape.num_attention_heads,
            "num_hidden_layers": shape.num_hidden_layers,
            "num_key_value_heads": shape.num_key_value_heads,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000,
            "tie_word_embeddings": shape.tie_word_embeddings,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.51.0",  # without it transformers warns of a regex this tokenizer has not
            "use_cache": True,
            "vocab_size": shape.vocab_size,
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
