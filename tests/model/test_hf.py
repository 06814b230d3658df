import json
from dataclasses import replace

import pytest
from huggingface_hub import constants

from dyno.errors import InputError, NoDiskSpace
from dyno.model.hf import model_size_bytes, resolve_model, weights_bytes
from dyno.model.spec import ModelSpec

ID = "maker/model-4b"
NEEDED = ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_local_folder_is_read_where_it_lies(write_config):
    folder = write_config()
    (folder / "model.safetensors").touch()
    spec = resolve_model(str(folder))
    assert replace(spec, intermediate_size=0, rotary_dim=0, caches=(), weights=()) == ModelSpec(
        str(folder), str(folder), "Qwen3ForCausalLM", 151936, 40960, 2560, 36, 32, 8, 128, "bfloat16", None, True
    )
    assert spec.caches


def test_a_folder_without_weights_says_so(write_config):
    assert not resolve_model(str(write_config())).has_weights


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/model", "nowhere", "~/nowhere/at/all"])
def test_a_missing_folder_is_named(source):
    with pytest.raises(InputError, match=f"{source}: no such model folder"):
        resolve_model(source)


def test_what_cannot_be_a_name_is_said():
    with pytest.raises(InputError, match="cannot be a folder or model"):
        resolve_model("m" * 5000)


def test_a_folder_without_a_config_is_named(tmp_path):
    with pytest.raises(InputError, match=r"has no config\.json; name the folder"):
        resolve_model(str(tmp_path))


def test_a_missing_shard_is_named_before_an_engine_starts(write_config):
    folder = write_config()
    (folder / "a.safetensors").touch()
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"lacks b\.safetensors"):
        resolve_model(str(folder))
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(InputError, match="is not an index of weights"):
        resolve_model(str(folder))


def test_an_id_is_downloaded_with_what_vllm_needs_and_its_size_said_before(hub, files):
    hub.models[ID] = files
    said: list[str] = []
    spec = resolve_model(ID, progress=said.append)
    assert sorted(hub.served) == NEEDED
    assert spec.source == ID
    assert spec.path is not None
    assert spec.has_weights
    assert said == [f"{ID}: 3.19 KiB, 3.19 KiB of it to download"]


def test_the_size_of_an_id_is_known_without_a_download(hub, files):
    hub.models[ID] = files
    assert model_size_bytes(ID) == sum(len(files[name]) for name in NEEDED)
    assert hub.served == []


def test_weights_in_the_old_format_are_taken_when_there_are_no_others(hub, files):
    hub.models[ID] = {name: files[name] for name in ("config.json", "pytorch_model.bin")}
    assert resolve_model(ID).has_weights
    assert resolve_model(ID, offline=True).has_weights


def test_the_config_alone_is_fetched_when_the_weights_are_not_wanted(hub, files):
    hub.models[ID] = files
    spec = resolve_model(ID, download=False)
    assert hub.served == ["config.json"]
    assert spec.path is None
    assert spec.has_weights


def test_a_model_in_the_cache_needs_no_network(hub, files):
    hub.models[ID] = files
    there = resolve_model(ID)
    hub.models.clear()
    assert resolve_model(ID) == there
    assert resolve_model(ID, offline=True) == there


def test_offline_the_hub_is_not_asked(hub, monkeypatch, files):
    hub.models[ID] = files
    with pytest.raises(InputError, match="cache does not hold the whole model"):
        resolve_model(ID, offline=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="not allowed"):
        resolve_model(ID)
    assert hub.served == []


@pytest.mark.usefixtures("hub")
def test_without_a_network_the_message_says_so(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="the hub is not reached"):
        resolve_model(ID)
    assert model_size_bytes(ID) is None


@pytest.mark.usefixtures("hub")
def test_an_unknown_id_is_named():
    with pytest.raises(InputError, match=f"{ID}: no such folder here, and no such model on the hub"):
        resolve_model(ID)


def test_a_gated_model_is_named_as_such(hub, files):
    hub.models[ID] = files
    hub.gated.add(ID)
    with pytest.raises(InputError, match=f"{ID}: is gated; accept its licence .* HF_TOKEN"):
        resolve_model(ID)


def test_an_id_without_a_config_is_named(hub):
    hub.models[ID] = {"model.gguf": b"x", "README.md": b"x"}
    with pytest.raises(InputError, match=r"has no config\.json on the hub"):
        resolve_model(ID)


def test_a_bad_config_is_reported_before_the_weights_are_fetched(hub, files):
    hub.models[ID] = {**files, "config.json": b"{}"}
    with pytest.raises(InputError, match="lacks the field vocab_size"):
        resolve_model(ID)
    assert hub.served == ["config.json"]


def test_a_model_larger_than_the_disk_is_not_begun(hub, monkeypatch, files):
    hub.models[ID] = files
    monkeypatch.setattr("dyno.model.hf._SPARE_BYTES", 2**60)
    with pytest.raises(NoDiskSpace, match=r"3\.\d+ KiB to download, .* free in .*cache"):
        resolve_model(ID)
    assert hub.served == ["config.json"]


def test_a_download_that_broke_off_goes_on_with_what_is_missing(hub, files):
    hub.models[ID] = files
    hub.gone = "model.safetensors"
    with pytest.raises(InputError, match="the download broke off"):
        resolve_model(ID)
    hub.gone = None
    hub.served.clear()
    assert resolve_model(ID).has_weights
    assert "model.safetensors" in hub.served
    assert "config.json" not in hub.served


def test_the_weights_of_a_folder_are_what_its_index_names_or_its_only_file(tmp_path):
    assert weights_bytes(tmp_path) is None
    for name, size in (("model.safetensors", 5), ("a.safetensors", 7), ("consolidated.safetensors", 100)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert weights_bytes(tmp_path) == 5
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"p": "a.safetensors", "q": "a.safetensors"}}'
    )
    assert weights_bytes(tmp_path) == 7
