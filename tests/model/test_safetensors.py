import json
import random
import struct
from contextlib import suppress
from dataclasses import replace

import pytest

from dyno.errors import InputError
from dyno.model.hf import describe_model
from dyno.model.safetensors import read_stored
from dyno.model.spec import Stored

SMALL = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 32, "tie_word_embeddings": True}  # fmt: skip
SHAPES = {
    "model.embed_tokens.weight": (64, 16),
    "lm_head.weight": (64, 16),
    "model.layers.0.self_attn.q_proj.weight": (16, 16),
    "model.layers.0.self_attn.k_proj.weight": (8, 16),
    "model.layers.0.self_attn.v_proj.weight": (8, 16),
    "model.layers.0.self_attn.o_proj.weight": (16, 16),
    "model.layers.0.mlp.gate_proj.weight": (32, 16),
    "model.layers.0.mlp.up_proj.weight": (32, 16),
    "model.layers.0.mlp.down_proj.weight": (16, 32),
    "model.layers.0.input_layernorm.weight": (16,),
    "mtp.layers.0.mlp.up_proj.weight": (999, 16),
    "visual.blocks.0.attn.qkv.weight": (48, 16),
}


def described(shapes=SHAPES, dtype="BF16"):
    at, header = 0, {"__metadata__": {"format": "pt"}}
    for name, shape in shapes.items():
        size = 2
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    return header, at


def write(folder, header, size, *, length=None):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    content = struct.pack("<Q", len(text) if length is None else length) + text + bytes(size)
    (folder / "model.safetensors").write_bytes(content)
    return folder


def test_headers_are_counted_by_role_and_dtype(tmp_path):
    stored = read_stored(write(tmp_path, *described()))
    assert stored == (
        Stored("attention", "BF16", 768, 1536), Stored("embedding", "BF16", 1024, 2048),
        Stored("lm_head", "BF16", 1024, 2048), Stored("mlp", "BF16", 1536, 3072), Stored("norm", "BF16", 16, 32),
        Stored("other", "BF16", 768, 1536),
    )  # fmt: skip


def test_a_described_model_has_its_config_and_its_headers(write_config):
    folder = write(write_config(**SMALL), *described())
    spec = describe_model(str(folder))
    assert spec.has_weights
    assert sum(part.parameters for part in spec.stored) == 5136
    assert replace(spec, stored=()).caches


def test_weights_of_another_model_are_refused(write_config):
    folder = write(write_config(), *described())
    with pytest.raises(InputError, match="its weights hold 3,344 parameters, its config describes 4,02"):
        describe_model(str(folder))


def changed(name, **change):
    header, size = described()
    return {**header, name: {**header[name], **change}}, size


FIRST = "model.embed_tokens.weight"


@pytest.mark.parametrize(
    ("header", "length", "message"),
    [
        ((described()[0], 100), None, "is not bytes 0 to 2048 of 100; the file is cut off"),
        ((described()[0], 0), 2**63, "its header alone would need 9223372036854775808"),
        ((b"not json", 0), None, "its header is not JSON"),
        ((b"[1, 2]", 0), None, "its header holds list, not tensors"),
        ((b"[" * 90000, 0), None, "its header is not JSON"),
        (changed(FIRST, shape=[64, 17]), None, r"shape \[64, 17\] of BF16 is not bytes 0 to 2048"),
        (changed(FIRST, shape=[-64, -16]), None, "is not bytes"),
        (changed(FIRST, data_offsets=[0, 2**62]), None, "is not bytes"),
        (changed(FIRST, data_offsets=[0]), None, "is not described as a tensor"),
        (changed(FIRST, dtype="F99"), None, "is not described as a tensor"),
        (changed(FIRST, shape="wide"), None, "is not"),
        (({FIRST: 3}, 0), None, "is not described as a tensor"),
        ((b"{}", 0), None, "holds no tensors; fetch it again"),
        ((b'{"__metadata__": {}}', 0), None, "holds no tensors"),
        ((b'{"a": 1, "a": 2}', 0), None, "'a' stands twice"),
        ((described()[0], described()[1] + 5), None, "5 bytes after the last tensor belong to none"),
        (changed("lm_head.weight", data_offsets=[0, 2048]), None, "begins at byte 0, where 2048 is the next"),
        (changed(FIRST, shape=[2**63, 0]), None, "is not bytes"),
        ((b"\xff{}", 0), None, "its header is not JSON"),
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path, header, length, message):
    write(tmp_path, *header, length=length)
    with pytest.raises(InputError, match=message):
        read_stored(tmp_path)


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": "../model.safetensors"}, r"'../model.safetensors' is not the name of a file beside it"),
        ({"a": "/etc/passwd"}, "is not the name of a file beside it"),
        ({"a": 3}, "3 is not the name"), ({"a": ["model.safetensors"]}, "is not the name"),
        ({"a": "m" * 300 + ".safetensors"}, "is not the name"), ({}, "is not an index of weights"),
        ({"a": "model-00002.safetensors"}, "lacks model-00002.safetensors, which its index names"),
    ],
)  # fmt: skip
def test_an_index_that_points_elsewhere_is_refused(write_config, weight_map, message):
    folder = write(write_config(**SMALL), *described())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(InputError, match=message):
        describe_model(str(folder))


def test_files_that_the_index_does_not_name_are_passed_over(write_config):
    folder = write(write_config(**SMALL), *described())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {FIRST: "model.safetensors"}}))
    before = describe_model(str(folder)).stored
    (folder / "consolidated.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert describe_model(str(folder)).stored == before
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(InputError, match="is in another file as well"):
        describe_model(str(folder))


def test_no_damage_to_a_file_ends_in_anything_but_a_message(tmp_path):
    """Cut anywhere, and bytes of the header changed, with a fixed seed."""
    whole = write(tmp_path, *described()).joinpath("model.safetensors").read_bytes()
    drawn = random.Random(6)
    for _ in range(300):
        content = bytearray(whole[: drawn.randrange(len(whole))] if drawn.random() < 0.5 else whole)
        for _ in range(drawn.randrange(4)):
            if content:
                content[drawn.randrange(min(len(content), 1200))] = drawn.randrange(256)
        (tmp_path / "model.safetensors").write_bytes(content)
        with suppress(InputError):
            read_stored(tmp_path)


def test_an_id_is_described_by_its_headers_alone(hub, write_config):
    folder = write(write_config(**SMALL), *described())
    hub.models["maker/small"] = {file.name: file.read_bytes() for file in folder.iterdir()}
    spec = describe_model("maker/small")
    assert sum(part.parameters for part in spec.stored) == 5136
    assert spec.path is None
