"""`dyno plan` as it is typed."""

import json
from pathlib import Path

import pytest
from models import LLAMA_8B, QWEN3_4B

from dyno.cli.main import run
from dyno.plan.observed import read_observed


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def write(config):
        path = tmp_path / "model"
        path.mkdir(exist_ok=True)
        (path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
        return str(path)

    return write


def test_json_has_the_stable_fields_also_when_it_does_not_fit(folder, capsys):
    words = ["plan", folder(QWEN3_4B), "--gpu", "RTX 4090 Laptop", "--vllm", "0.26.0", "--json"]
    assert run([*words, "--set", "max-model-len=8192"]) == 0
    fits = json.loads(capsys.readouterr().out)
    assert set(fits["memory"]) >= {
        "weights_bytes", "kv_bytes_per_token", "kv_cache_bytes", "kv_cache_tokens", "max_concurrency",
        "activation_bytes", "graph_bytes", "device_used_bytes", "low_bytes", "high_bytes",
    }  # fmt: skip
    assert fits["rejected"] == []
    assert fits["latency"] is None
    assert {each["name"] for each in fits["candidates"]} >= {"fp8 KV cache", "fp8 weights", "eager"}
    assert run([*words, "--set", "gpu_memory_utilization=0.5"]) == 1
    refused = json.loads(capsys.readouterr().out)
    assert len(refused["rejected"]) == 1
    assert refused["memory"]["weights_bytes"] == fits["memory"]["weights_bytes"]


def test_text_has_the_budget_the_grid_and_what_is_not_said(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    words = ["plan", folder(QWEN3_4B), "--gpu", "RTX 5090", "--grid", "max_model_len,concurrency", "--concurrency", "8"]
    assert run(words) == 0
    text = capsys.readouterr().out
    assert "weights" in text
    assert "largest that fits: max_model_len 40,960" in text
    assert "8 at once" in text
    assert "32,768" in text


def test_a_limit_on_memory_rejects(folder, capsys):
    words = ["plan", folder(QWEN3_4B), "--gpu", "RTX 4090", "--json", "--set", "max_model_len=8192"]
    assert run([*words, "--limits", "vram=11 GiB"]) == 1
    assert "limit vram 11 GiB" in json.loads(capsys.readouterr().out)["rejected"][0]


def test_a_share_of_the_card_that_keeps_a_limit_is_offered_and_the_largest_is_of_it(folder, capsys):
    words = ["plan", folder(LLAMA_8B), "--gpu", "H200", "--json", "--limits", "vram=30 GiB"]
    assert run(words) == 1
    plan = json.loads(capsys.readouterr().out)
    share = plan["largest"]["gpu_memory_utilization"]
    offered = [each for each in plan["candidates"] if each["setup"]["gpu_memory_utilization"] == share]
    kept = next(each for each in offered if each["name"].startswith(f"{share:g} of the card"))
    assert kept["rejected"] == []
    assert kept["memory"]["device_used_bytes"] + kept["memory"]["device_spread_bytes"] <= 30 * 2**30
    assert kept["setup"]["max_model_len"] == plan["largest"]["max_model_len"] > 32768
    assert run([*words, "--set", f"gpu_memory_utilization={share + 0.02:.2f}", "--set", "max_model_len=4096"]) == 1
    assert run([*words, "--set", f"gpu_memory_utilization={share:g}", "--set", "max_model_len=4096"]) == 0
    capsys.readouterr()


def test_a_share_that_was_given_is_left_and_the_one_that_keeps_a_limit_is_told(folder, capsys):
    words = ["plan", folder(LLAMA_8B), "--gpu", "H200", "--json", "--set", "max_model_len=8192", "--limits"]
    assert run([*words, "vram=30 GiB", "--set", "gpu_memory_utilization=0.5"]) == 1
    plan = json.loads(capsys.readouterr().out)
    assert {each["setup"]["gpu_memory_utilization"] for each in plan["candidates"]} == {0.5}
    assert any("gpu_memory_utilization 0.19 would keep it, max_model_len up to" in note for note in plan["notes"])
    assert run([*words, "vram=12 GiB"]) == 1
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert "limit vram 12 GiB: no gpu_memory_utilization keeps it and leaves a KV cache" in notes


def test_the_largest_are_the_largest(folder, capsys):
    words = ["plan", folder(QWEN3_4B), "--gpu", "RTX 5070", "--vllm", "0.26", "--json"]
    run([*words, "--set", "max_num_seqs=32"])
    length = json.loads(capsys.readouterr().out)["largest"]["max_model_len"]
    assert length % 16 == 0
    assert run([*words, "--set", "max_num_seqs=32", "--set", f"max_model_len={length}"]) == 0
    assert run([*words, "--set", "max_num_seqs=32", "--set", f"max_model_len={length + 1}"]) == 1
    capsys.readouterr()


def test_a_filled_compile_cache_is_told_or_seen(folder, tmp_path, capsys):
    words = ["plan", folder(QWEN3_4B), "--gpu", "H200", "--vllm", "0.26.0", "--json"]

    def memory(*more):
        assert run([*words, *more]) == 0
        return json.loads(capsys.readouterr().out)["memory"]

    first = memory()
    assert first["kv_cache_bytes"] == first["cold_kv_cache_bytes"] < first["warm_kv_cache_bytes"]
    assert memory("--warm")["kv_cache_bytes"] == first["warm_kv_cache_bytes"]
    seen = tmp_path / "seen.json"
    seen.write_text(json.dumps([{
        "model": {**QWEN3_4B, "hidden_size": 4096, "intermediate_size": 12288, "tie_word_embeddings": False},
        "gpu": "NVIDIA H200", "engine_version": "0.26.0", "args": ["--max-model-len", "40960"], "points": [],
        "env": {}, "facts": {"weights_bytes": 16396037652, "kv_cache_bytes": 120624156508, "graph_bytes": 1073741824,
                             "device_used_bytes": 142424735744},
    }]))  # fmt: skip
    later = memory("--observed", str(seen))
    assert abs(later["kv_cache_bytes"] - first["warm_kv_cache_bytes"]) < 10 * 2**20
    assert memory("--observed", str(seen), "--cold")["kv_cache_bytes"] < later["kv_cache_bytes"] - 100 * 2**20


def test_a_model_of_windows_is_told_what_a_token_takes_within_them(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    windowed = {**QWEN3_4B, "architectures": ["MistralForCausalLM"], "sliding_window": 4096}
    assert run(["plan", folder(windowed), "--gpu", "H200"]) == 0
    assert "144 KiB a token within the window of 4,096, nothing beyond" in capsys.readouterr().out


def test_observed_starts_correct_one_call(folder, tmp_path, capsys):
    seen = tmp_path / "seen.json"
    seen.write_text(json.dumps([{
        "model": QWEN3_4B, "gpu": "NVIDIA H200", "engine_version": "0.26.0", "points": [],
        "args": ["--max-model-len", "40960", "--load-format=dummy", "--quantization", "fp8"],
        "facts": {"weights_bytes": 4531190497, "kv_cache_bytes": 132246053990, "graph_bytes": 1009317315},
    }]))  # fmt: skip
    words = ["plan", folder(QWEN3_4B), "--gpu", "H200", "--vllm", "0.26.0", "--json"]
    assert run(words) == 0
    before = json.loads(capsys.readouterr().out)
    assert run([*words, "--observed", str(seen)]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["boots"] == 1
    assert before["memory"]["kv_cache_bytes"] - after["memory"]["kv_cache_bytes"] > 100 * 2**20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gpu", "RTX 4900"], "'RTX 4900' is not in the table; did you mean 'RTX 4090'"),
        (["--gpu", "H200", "--set", "max_num_seq=4"], "did you mean 'max_num_seqs'?"),
        (["--gpu", "H200", "--set", "max_num_seqs"], "is not FLAG=VALUE"),
        (["--gpu", "H200", "--set", "max_num_seqs=many"], "'many' is not a whole number"),
        (["--gpu", "H200", "--set", "enforce_eager=1"], "is not true or false"),
        (["--gpu", "H200", "--set", "tensor_parallel_size=0"], "'0' is not a whole number from 1"),
        (["--gpu", "H200", "--set", "block_size=0"], "'0' is not a whole number from 1"),
        (["--gpu", "H200", "--set", "kv_cache_dtype=fp7"], "'fp7' is not one of auto, float16"),
        (
            ["--gpu", "H200", "--set", "quantization=fp4"],
            "'fp4' is not one that vLLM 0.33.0 has; did you mean 'mxfp4'?",
        ),
        (["--gpu", "H200", "--set", "quantization=awq"], "'awq' needs a checkpoint that is stored so"),
        (["--gpu", "H200", "--set", "kv_offloading_size=1", "--vllm", "0.10"], "vLLM 0.10.2 has no such flag"),
        (["--gpu", "H200", "--vllm", "0.5.3"], "vLLM 0.5.3 has another engine"),
        (["--gpu", "H200", "--set", "max_num_seqs=0"], "'0' is not a whole number from 1"),
        (["--gpu", "H200", "--set", "max_model_len=0"], "'0' is not a whole number from 1"),
        (["--gpu", "H200", "--set", "max_num_batched_tokens=1000000000000"], "from 1 to 2147483647"),
        (["--gpu", "H200", "--set", "gpu_memory_utilization=0"], "'0' is not a number above 0 and at most 1"),
        (["--gpu", "H200", "--set", "max_num_seqs=4", "--set", "max-num-seqs=5"], "is given twice, as 4 and as 5"),
        (["--gpu", "H200", "--set", "dtype=float32"], "'float32' is not one of auto, half"),
        (["--gpu", "H200", "--set", "compilation_config=[[["], "'[[[' is not a JSON object"),
        (["--gpu", "H200", "--vllm", "newest"], "'newest' is not a vLLM release"),
        (["--gpu", "H200", "--grid", "x"], "is not max_model_len,concurrency"),
        (["--gpu", "H200", "--limits", "vram=much"], "limits.vram"),
        (["--gpu", "H200", "--hardware", "h.json"], "name one of them"),
        (["--hardware", "nowhere.json"], "nowhere.json: cannot be read"),
        (["--gpu", "H200", "--observed", "nowhere.json"], "nowhere.json: cannot be read"),
        (["--gpu", "H200", "--concurrency", "0"], "concurrency: 0 must be at least 1"),
    ],
)
def test_what_cannot_be_used_is_one_message(folder, capsys, words, message):
    assert run(["plan", folder(QWEN3_4B), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"architectures": ["Qwen9ForCausalLM"]},
            "its architecture Qwen9ForCausalLM is not one whose shape Dyno knows",
        ),
        (
            {"architectures": ["ChatGLMModel"], "max_position_embeddings": None},
            "its architecture 'ChatGLMModel' is not",
        ),
        ({"num_attention_heads": -32}, "num_attention_heads is -32"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({"hidden_size": 10**30}, "hidden_size is 1000000"),
        ({"intermediate_size": "wide"}, "intermediate_size is 'wide'"),
        ({"layer_types": ["full_attention"]}, "layer_types has 1 entries for 36 layers"),
        ({"layer_types": ["quantum_attention"] * 36}, "quantum_attention"),
        ({"quantization_config": {"quant_method": "tomorrow"}}, "its quantization tomorrow is not one whose width"),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 0}},
            "its quantization_config has numbers that no gptq checkpoint has",
        ),
        (
            {"quantization_config": {"quant_method": "fp8", "weight_block_size": [0, 0]}},
            "numbers that no fp8 checkpoint has",
        ),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": "x"}}, "no fp8 checkpoint has"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'"),
        (
            {"num_hidden_layers": 900, "intermediate_size": 2**31},
            "its numbers make 1.5e+16 parameters, which no model has",
        ),
        ({"torch_dtype": "int3"}, "dtype is 'int3': it must be one of PyTorch's, such as bfloat16"),
        ({"num_key_value_heads": 5}, "num_key_value_heads is 5: it does not divide the 32 attention heads"),
    ],
)
def test_an_absurd_config_is_refused_by_its_field(folder, capsys, change, message):
    assert run(["plan", folder({**QWEN3_4B, **change}), "--gpu", "H200"]) == 2
    assert message in capsys.readouterr().err


def test_all_that_is_wrong_is_told_at_once(folder, capsys):
    words = ["--gpu", "H900", "--set", "max_num_seqs=0", "--limits", "vram=much", "--concurrency", "0", "--grid", "x",
             "--observed", "nowhere.json"]  # fmt: skip
    assert run(["plan", folder({**QWEN3_4B, "hidden_size": 0}), *words]) == 2
    said = capsys.readouterr().err
    for message in ("'H900'", "max_num_seqs", "vram", "concurrency", "--grid", "nowhere.json", "hidden_size"):
        assert said.count(message) >= 1
    assert len(said.splitlines()) == 7


def test_a_name_of_several_cards_is_resolved_and_the_choice_is_told(folder, capsys):
    run(["plan", folder(QWEN3_4B), "--gpu", "H100"])
    assert "H100 is taken to be the H100 SXM, not the H100 PCIe or the H100 NVL" in capsys.readouterr().out


def test_sizes_that_no_engine_captures_take_no_time(folder, capsys):
    sizes = ["--set", 'compilation_config={"max_cudagraph_capture_size": 1000000000}',
             "--set", "max_num_batched_tokens=1000000000"]  # fmt: skip
    assert run(["plan", folder(QWEN3_4B), "--gpu", "H200", *sizes]) == 1
    said = capsys.readouterr().out
    assert "no memory is left for the KV cache" in said
    assert "KV cache none, 69.7 TiB are lacking" in " ".join(said.split())


def test_a_fuller_card_is_offered_where_it_is_one_and_blocks_that_are_told_are_what_is_there(folder, capsys):
    words = ["plan", folder(QWEN3_4B), "--gpu", "RTX 5070", "--json"]
    assert run(words) == 1
    names = [each["name"] for each in json.loads(capsys.readouterr().out)["candidates"]]
    assert "0.97 of the card" in names
    assert run([*words, "--set", "num_gpu_blocks_override=10"]) == 1
    plan = json.loads(capsys.readouterr().out)
    assert "22.5 MiB is there; the longest that fits is 144" in plan["rejected"][0]
    assert "0.97 of the card" not in [each["name"] for each in plan["candidates"]]


def test_dotted_keys_of_a_start_are_read(tmp_path):
    seen = tmp_path / "seen.json"
    words = ["-cc.cudagraph_mode=NONE", "-tp", "2", "-O3"]
    seen.write_text(json.dumps([{"model": QWEN3_4B, "gpu": "H200", "engine_version": "0.26.0", "args": words}]))
    setup = read_observed(seen)[0].boot().setup
    assert (setup.graphs, setup.tensor_parallel, setup.eager) == (False, 2, False)
    seen.write_text(json.dumps([{"model": QWEN3_4B, "gpu": "H200", "engine_version": "0.26.0", "args": ["-O0"]}]))
    assert read_observed(seen)[0].boot().setup.eager


def test_starts_that_were_written_down_are_taken_with_the_notes_beside_them(folder, tmp_path, capsys):
    boots = Path(__file__).parents[2] / "benchmarks" / "boots"
    lines = [json.loads(line) for file in sorted(boots.glob("*.jsonl")) for line in file.read_text().splitlines()]
    (tmp_path / "seen.json").write_text(json.dumps(lines))
    assert run(["plan", folder(QWEN3_4B), "--gpu", "H200", "--json", "--observed", str(tmp_path / "seen.json")]) == 0
    assert json.loads(capsys.readouterr().out)["boots"] == len(lines)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"facts": {"device_used_bytes": 1000}},
            "facts.device_used_bytes: 1000 B, where weights and KV cache alone",
        ),
        (
            {"facts": {"weights_bytes": 8 * 10**9, "kv_cache_bytes": 120 * 10**9, "device_used_bytes": 127 * 10**9}},
            "where weights and KV cache alone take 119 GiB",
        ),
        ({"points": [{"ttft_ms": 1e-6}]}, "points.0: ttft_ms of 1e-06 is less than"),
        ({"points": [{"tpot_ms": 1e-9, "output_throughput": 1e8}]}, "tpot_ms of 1e-09 is less than 0.1"),
        ({"points": [{"output_throughput": 1e8}]}, "points.0: output_throughput of 1e+08 is more than"),
        (
            {"points": [{"tpot_ms": 4.0}, {"input_len": 10**6, "tpot_ms": 4.0}]},
            "points.1: a request of 1,000,008 tokens",
        ),
        ({"gpu": None, "points": [{"tpot_ms": 1e-9}]}, "points.0: tpot_ms of 1e-09 is less than 0.001"),
    ],
)
def test_what_no_card_can_have_told_is_refused(folder, tmp_path, capsys, change, message):
    load = {"input_len": 64, "output_len": 8, "concurrency": 2}
    points = [load | point for point in change.get("points", [])]
    entry = {"model": QWEN3_4B, "gpu": "H200", "engine_version": "0.26.0"} | change | {"points": points}
    (tmp_path / "seen.json").write_text(json.dumps([entry]))
    assert run(["plan", folder(QWEN3_4B), "--gpu", "H200", "--observed", str(tmp_path / "seen.json")]) == 2
    assert message in capsys.readouterr().err


def test_what_is_not_there_is_no_negative_figure(folder, capsys):
    assert run(["plan", folder(LLAMA_8B), "--gpu", "RTX 5070", "--json"]) == 1
    plan = json.loads(capsys.readouterr().out)
    for each in (plan, *plan["candidates"]):
        assert min(each["memory"].values()) >= 0
    assert plan["memory"]["kv_cache_bytes"] == plan["memory"]["high_bytes"] == 0
    assert "no memory is left for the KV cache: weights 15 GiB" in plan["rejected"][-1]


def test_a_block_that_attention_cannot_read_is_refused(folder, capsys):
    assert run(["plan", folder(QWEN3_4B), "--gpu", "H200", "--set", "block_size=7"]) == 1
    assert "block_size 7 is not a multiple of 16" in capsys.readouterr().out


HARDWARE = {
    "cpu": {"name": "CPU", "cores": 8, "isa": []}, "ram_total_bytes": 94 * 10**9, "ram_available_bytes": 88 * 10**9,
    "shm_free_bytes": 47 * 10**9, "disk_free_bytes": 10**12, "wsl2": True,
    "gpus": [{"index": 0, "uuid": "GPU-1", "name": "NVIDIA GeForce RTX 5070", "capability": [12, 0],
              "memory_total_bytes": 12227 << 20, "memory_free_bytes": 10200 << 20, "memory_used_bytes": 1500 << 20,
              "display_attached": True}],
}  # fmt: skip


def test_what_one_card_does_not_hold_is_tried_on_several(folder, tmp_path, capsys):
    large = {**LLAMA_8B, "num_hidden_layers": 80, "hidden_size": 8192, "intermediate_size": 28672, "head_dim": 128,
             "num_attention_heads": 64}  # fmt: skip
    words = ["plan", folder(large), "--json", "--set", "max_model_len=4096"]
    assert run([*words, "--gpu", "A100 80GB"]) == 1
    plan = json.loads(capsys.readouterr().out)
    fits = [each["name"] for each in plan["candidates"] if not each["rejected"]]
    assert fits == ["2 cards"]
    file = tmp_path / "machine.json"
    file.write_text(json.dumps(HARDWARE))
    assert run([*words, "--hardware", str(file), "--set", "tensor_parallel_size=2"]) == 1
    plan = json.loads(capsys.readouterr().out)
    assert "tensor_parallel_size 2: the machine has 1 of these cards" in plan["rejected"]
    assert all(each["rejected"] for each in plan["candidates"])


def test_weights_and_cache_of_the_cpu_engine_count_as_the_hosts_memory(folder, tmp_path, capsys):
    file = tmp_path / "machine.json"
    file.write_text(json.dumps({**HARDWARE, "gpus": [], "ram_available_bytes": 6 * 10**9}))
    words = ["plan", folder(QWEN3_4B), "--hardware", str(file), "--set", "VLLM_CPU_KVCACHE_SPACE=2", "--set",
             "max_model_len=4096", "--limits", "ram=9 GB"]  # fmt: skip
    assert run(words) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "8.09 GiB of weights and worker are asked for, 5.59 GiB of the host's memory are free" in said
    assert "limit ram 8.38 GiB" in said


def test_a_machine_is_planned_as_doctor_described_it(folder, tmp_path, capsys):
    file = tmp_path / "machine.json"
    file.write_text(json.dumps({"schema_version": 1, "hardware": HARDWARE}))
    words = ["plan", folder(QWEN3_4B), "--hardware", str(file), "--set", "max_model_len=4096", "--json"]
    assert run([*words, "--set", "kv_offloading_size=64"]) == 1
    plan = json.loads(capsys.readouterr().out)
    assert plan["gpu"]["cuda_bytes"] == 11700 << 20
    assert any("9.96 GiB is free" in reason for reason in plan["rejected"])
    assert any("/dev/shm has 43.8 GiB free" in reason for reason in plan["rejected"])
    assert plan["offload"]["safe_bytes"] == 47 * 10**9
    assert [note.split()[0] for note in plan["notes"]] == ["1.46", "under", "with"]


@pytest.mark.parametrize("content", ["", "[]", "{", "3", '{"hardware": 3}', '{"hardware": {"cpu": 1}}', "[[[["])
def test_a_file_that_is_no_machine_is_one_message(folder, tmp_path, capsys, content):
    (tmp_path / "machine.json").write_text(content)
    assert run(["plan", folder(QWEN3_4B), "--hardware", str(tmp_path / "machine.json")]) == 2
    assert "write it with `dyno doctor --json`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "holds dict, not a list"),
        ("[3]", "[0]"),
        ('[{"model": {}, "gpu": "H200", "engine_version": "0.26"}]', "lacks the field architectures"),
        (json.dumps([{"model": QWEN3_4B, "gpu": "H900", "engine_version": "0.26"}]), "'H900' is not in the table"),
        (json.dumps([{"model": QWEN3_4B, "gpu": "H200", "engine_version": "new"}]), "is not a vLLM release"),
        (json.dumps([{"model": QWEN3_4B, "gpu": "H200", "engine_version": "0.26", "args": [3]}]), "args.0"),
        (json.dumps([{"model": QWEN3_4B, "gpu": "H200", "engine_version": "0.26",
                      "facts": {"kv_cache_bytes": -1}}]), "kv_cache_bytes"),
        *((json.dumps([{"model": QWEN3_4B, "gpu": "H200", "engine_version": "0.26.0", **change}]), message)
          for change, message in (
              ({"facts": {"kv_cache_bytes": True}}, "facts.kv_cache_bytes is True"),
              ({"facts": {"kv_cache_bytes": 0}}, "facts.kv_cache_bytes is 0"),
              ({"facts": {"kv_cache_byte": 5}}, "facts.kv_cache_byte"),
              ({"facts": {"device_used_bytes": 10**12}}, "931 GiB are more than the 140 GiB of one H200"),
              ({"facts": {"weights_bytes": 10**9}}, "make 7.56 GiB: not a start of this model"),
              ({"facts": {"kv_cache_bytes": 10**9}}, "these args leave about 120 GiB"),
              ({"fact": {}}, "'fact' is not a field; did you mean 'facts'?"),
              ({"args": ["--max-num-seq", "4"]}, "--max-num-seq is not a flag of vLLM 0.26.0; did"),
              ({"args": ["--max-num-seqs", "0"]}, "max_num_seqs: '0' is not a whole number"),
              ({"args": ["max_num_seqs", "4"]}, "'max_num_seqs' is neither a flag nor the value of one"),
              ({"env": {"VLLM_USE_V2_MODEL_RUNNER": "x"}}, "VLLM_USE_V2_MODEL_RUNNER: 'x' is not a whole number"),
              ({"points": [{"input_len": 9, "output_len": 9, "concurrency": True}]}, "points.0.concurrency is True"),
              ({"points": [{"input_len": 9, "output_len": 9, "concurrency": 1, "ttft_ms": 0}]},
               "points.0: ttft of 0 cannot have been measured"),
              ({"points": [{"input_len": 9, "output_len": 9, "concurrency": 10**9}]}, "points.0.concurrency"),
          )),
    ],
)  # fmt: skip
def test_observations_that_cannot_be_used_are_one_message_each(folder, tmp_path, capsys, content, message):
    (tmp_path / "seen.json").write_text(content)
    assert run(["plan", folder(QWEN3_4B), "--gpu", "H200", "--observed", str(tmp_path / "seen.json")]) == 2
    assert message in capsys.readouterr().err
