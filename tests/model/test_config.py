import pytest

from dyno.errors import InputError
from dyno.model.config import read_config


def read(folder):
    return read_config(folder / "config.json", "it", path=folder, has_weights=True)


def test_a_config_becomes_a_spec(write_config):
    spec = read(write_config(quantization_config={"quant_method": "fp8"}))
    assert (spec.architecture, spec.head_dim, spec.dtype, spec.quantization) == (
        "Qwen3ForCausalLM", 128, "bfloat16", "fp8")  # fmt: skip


def test_what_a_config_may_leave_out_follows_from_the_rest(write_config):
    spec = read(write_config("head_dim", "num_key_value_heads", "torch_dtype"))
    assert (spec.head_dim, spec.num_key_value_heads, spec.dtype, spec.quantization) == (80, 32, "auto", None)


def test_the_newer_name_of_the_dtype_holds(write_config):
    assert read(write_config(dtype="float16")).dtype == "float16"


def test_older_families_names_are_understood(write_config):
    spec = read(write_config("hidden_size", "num_hidden_layers", n_embd=768, n_layer=12))
    assert (spec.hidden_size, spec.num_hidden_layers) == (768, 12)


def test_a_nested_text_config_holds_the_language_models_fields(write_config):
    nested = {"vocab_size": 1000, "hidden_size": 64, "num_attention_heads": 8, "head_dim": None, "dtype": "float32"}
    spec = read(write_config("head_dim", "torch_dtype", "hidden_size", text_config=nested))
    assert (spec.architecture, spec.vocab_size, spec.head_dim) == ("Qwen3ForCausalLM", 1000, 8)
    assert (spec.num_hidden_layers, spec.dtype) == (36, "float32")


def test_all_problems_are_reported_with_file_field_and_remedy(write_config):
    folder = write_config("vocab_size", hidden_size="2560", head_dim=0, architectures="Qwen3", num_hidden_layers=True,
                          quantization_config={"quant_method": 8}, torch_dtype=16)  # fmt: skip
    with pytest.raises(InputError) as caught:
        read(folder)
    assert [problem.removeprefix(f"{folder}/config.json: ").partition(";")[0] for problem in caught.value.problems] == [
        "architectures is 'Qwen3': input should be a valid list",
        "lacks the field vocab_size",
        "hidden_size is '2560': input should be a valid integer",
        "num_hidden_layers is True: input should be a valid integer",
        "head_dim is 0: input should be greater than 0",
        "torch_dtype is 16: input should be a valid string",
        "quantization_config.quant_method is 8: input should be a valid string",
    ]
    assert all("take the config.json that came with the model" in problem for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"\(Expecting property name"),
        (b"\xff\xfe{", r"\('utf"),
        (b"[1]", r"\(it holds list\)"),
        (b"null", r"\(it holds NoneType\)"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"config\.json: is not (a )?JSON( object)? {message}.*; take the config"):
        read(tmp_path)
