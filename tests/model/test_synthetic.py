import json

import pytest

from dyno.errors import InputError
from dyno.model.hf import resolve_model
from dyno.model.synthetic import SHAPES, words, write_model

# Parameters of the real models, tied embeddings counted once.
PARAMETERS = {
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
    "llama-3.2-3b": 3_212_749_824,
    "gemma-3-1b": 999_885_952,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_real_shape_has_the_real_models_parameters(name, tmp_path):
    assert resolve_model(str(write_model(tmp_path / "m", SHAPES[name]))).parameters == PARAMETERS[name]


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_one_that_a_plan_knows(name, tmp_path):
    assert resolve_model(str(write_model(tmp_path / "m", SHAPES[name]))).caches


@pytest.mark.parametrize("number", [4096, 8101, 151936])
def test_every_id_is_one_distinct_ascii_word_of_one_length(number):
    vocabulary = words(number)
    assert len(set(vocabulary)) == number
    assert len({len(word) for word in vocabulary}) == 1
    assert all(word.isascii() and word.isalpha() for word in vocabulary)


def test_a_written_model_is_read_back_as_its_shape(tmp_path):
    shape = SHAPES["demo"]
    spec = resolve_model(str(write_model(tmp_path / "a" / "demo", shape)))
    assert (spec.vocab_size, spec.hidden_size, spec.head_dim, spec.num_key_value_heads) == (4096, 1024, 64, 4)
    assert not spec.has_weights


def test_the_tokenizer_knows_every_id_and_has_no_special_one(tmp_path):
    folder = write_model(tmp_path / "demo", SHAPES["demo"])
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    assert sorted(tokenizer["model"]["vocab"].values()) == list(range(4096))
    assert tokenizer["added_tokens"] == []
    assert "chat_template" in json.loads((folder / "tokenizer_config.json").read_text())


def test_writing_again_changes_nothing(tmp_path):
    folder = write_model(tmp_path / "demo", SHAPES["demo"])
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}
    write_model(folder, SHAPES["demo"])
    assert {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["demo"]


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    folder = write_model(tmp_path / "model", SHAPES["demo"])
    with pytest.raises(InputError, match=r"other than the synthetic model qwen3-4b \(config\.json, tokenizer\.json"):
        write_model(folder, SHAPES["qwen3-4b"])
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="files are missing"):
        write_model(folder, SHAPES["demo"])
    with pytest.raises(InputError, match="is a file"):
        write_model(folder / "config.json", SHAPES["demo"])
