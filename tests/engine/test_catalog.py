import pytest

from dyno.engine.args import EngineArgs
from dyno.engine.catalog import Catalog, Flag, parse_changes, parse_command
from dyno.errors import InputError

CATALOG = Catalog(
    "0.32.0",
    (
        Flag("model", ("--model",), "str"),
        Flag("port", ("--port",), "int"),
        Flag("root_path", ("--root-path",), "str"),
        Flag("ssl_keyfile", ("--ssl-keyfile",), "str"),
        Flag("hf_token", ("--hf-token",), "str", nargs="?"),
        Flag("max_num_seqs", ("--max-num-seqs",), "int"),
        Flag("max_model_len", ("--max-model-len",), "size", words=("auto",)),
        Flag("tensor_parallel_size", ("--tensor-parallel-size", "-tp"), "int"),
        Flag("quantization", ("--quantization", "-q"), "str"),
        Flag("optimization_level", ("--optimization-level",), "str"),
        Flag("gpu_memory_utilization", ("--gpu-memory-utilization",), "float"),
        Flag("kv_cache_dtype", ("--kv-cache-dtype",), "str", choices=("auto", "float16", "fp8")),
        Flag("moe_backend", ("--moe-backend",), "folded", choices=("auto", "deep_gemm")),
        Flag("max_lora_rank", ("--max-lora-rank",), "int", choices=("8", "16")),
        Flag("compilation_config", ("--compilation-config", "-cc"), "json"),
        Flag("enforce_eager", ("--enforce-eager",), "switch", negatable=True),
        Flag("disable_log_stats", ("--disable-log-stats",), "switch"),
        Flag("lora_modules", ("--lora-modules",), "str", nargs="+"),
    ),
)


def changes(text: str) -> dict:
    return dict(parse_changes(text, CATALOG, "M").flags)


def problems(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_command(text, CATALOG)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("--max-num-seqs 8", {"max_num_seqs": 8}),
        ("--max_num_seqs=8", {"max_num_seqs": 8}),
        ("-tp 2 -q=fp8", {"tensor_parallel_size": 2, "quantization": "fp8"}),
        ("--max-model-len 8k", {"max_model_len": 8000}),
        ("--max-model-len 8K", {"max_model_len": 8192}),
        ("--max-model-len 25.6k", {"max_model_len": 25600}),
        ("--max-model-len -1", {"max_model_len": -1}),
        ("--max-model-len auto", {"max_model_len": "auto"}),
        ("--gpu-memory-utilization 0.90", {"gpu_memory_utilization": 0.9}),
        ("--moe-backend Deep-GEMM", {"moe_backend": "deep_gemm"}),
        ("--max-lora-rank 16", {"max_lora_rank": 16}),
        ("--enforce-eager --disable-log-stats", {"enforce_eager": True, "disable_log_stats": True}),
        ("--no-enforce-eager", {"enforce_eager": False}),
        ("--no_enforce_eager", {"enforce_eager": False}),
        ("--lora-modules a=x b=y --max-num-seqs 1", {"lora_modules": ("a=x", "b=y"), "max_num_seqs": 1}),
        ("-O3", {"optimization_level": "3"}),
        ("-O=3", {"optimization_level": "3"}),
        ("-O 3", {"optimization_level": "3"}),
        ("--max-num-seqs 4 --max-num-seqs 4", {"max_num_seqs": 4}),
        ("", {}),
    ],
)
def test_a_change_is_read_as_vllm_reads_it(text, flags):
    assert changes(text) == flags


@pytest.mark.parametrize(
    ("text", "json"),
    [
        ("--compilation-config.mode 3", '{"mode": 3}'),
        ("-cc.mode=3", '{"mode": 3}'),
        ("-cc.a.b true --compilation-config.a.c x", '{"a": {"b": true, "c": "x"}}'),
        ("-cc.sizes+ 1,2 -cc.sizes+=4", '{"sizes": ["1", "2", "4"]}'),
        ("-cc.bytes 2k", '{"bytes": 2000}'),
        ("""--compilation-config '{"mode":3}'""", '{"mode": 3}'),
    ],
)
def test_a_json_flag_has_one_form_however_it_is_written(text, json):
    assert changes(text) == {"compilation_config": json}


@pytest.mark.parametrize(
    "command",
    [
        "vllm serve M --max-num-seqs 8",
        "vllm serve --max-num-seqs 8 M",
        "/opt/bin/vllm serve --model M --max-num-seqs=8",
        "python3.12 -m vllm.entrypoints.cli.main serve M --max-num-seqs 8",
        "python -m vllm.entrypoints.openai.api_server --model=M --max-num-seqs 8",
        "vllm serve M \\\n  --max-num-seqs \\\n  8\n",
        ["vllm", "serve", "M", "--max-num-seqs", "8"],
    ],
)
def test_a_command_is_read_in_every_form_that_starts_a_server(command):
    assert parse_command(command, CATALOG) == EngineArgs("M", (("max_num_seqs", 8),))


@pytest.mark.parametrize("prefix", ["A=1 B='x y' ", "env A=1 B='x y' "])
def test_variables_before_the_command_are_kept(prefix):
    assert parse_command(prefix + "vllm serve M", CATALOG).env == (("A", "1"), ("B", "x y"))


def test_what_is_written_is_read_back():
    args = EngineArgs(
        "M",
        (("max_num_seqs", 8), ("enforce_eager", False), ("disable_log_stats", True), ("kv_cache_dtype", "fp8"),
         ("lora_modules", ("a=x", "b=y z")), ("gpu_memory_utilization", 0.85), ("max_model_len", -1),
         ("compilation_config", '{"mode": 3, "sizes": [1, 2]}')),
        (("VLLM_CPU_KVCACHE_SPACE", "1"), ("EMPTY", "")),
    )  # fmt: skip
    assert parse_changes(args.changes(), CATALOG, "M") == args
    assert parse_command(args.command(), CATALOG) == args
    assert parse_changes("", CATALOG, "M") == EngineArgs("M")


def test_an_unknown_flag_is_named_with_the_release_and_its_nearest():
    assert problems("vllm serve M --max-num-seq 8") == [
        "--max-num-seq is not a flag of vLLM 0.32.0; did you mean '--max-num-seqs'?"
    ]


def test_an_abbreviation_is_not_guessed():
    assert "did you mean '--enforce-eager'?" in problems("vllm serve M --enforce-eage")[0]


def test_all_problems_are_reported_together():
    assert problems(
        "HF_TOKEN=hf_x vllm serve M --swap-space 4 --max-num-seqs many --kv-cache-dtype float15 --quantization "
        "--max-lora-rank 9 --enforce-eager=true --gpu-memory-utilization 90% --port 80 --ssl-keyfile k --hf-token "
        "-cc.a 1 --compilation-config '{' --disable-log-stats -d 2"
    ) == [
        "--swap-space is not a flag of vLLM 0.32.0",
        "--enforce-eager is a switch and takes no value, got 'true'",
        "-d is not a flag of vLLM 0.32.0",
        "HF_TOKEN: a secret would end up in records; set it where Dyno runs instead",
        "--max-num-seqs: 'many' is not a whole number",
        "--kv-cache-dtype: 'float15' is not one of auto, float16, fp8; did you mean 'float16'?",
        "--quantization: needs a value",
        "--max-lora-rank: '9' is not one of 8, 16",
        "--gpu-memory-utilization: '90%' is not a number",
        "--hf-token cannot be given: a secret would end up in records and process lists; set HF_TOKEN where Dyno runs",
        "--compilation-config: '{' is not JSON such as '{\"key\": 1}'",
    ]


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("vllm serve", "the command names no model"),
        ("vllm bench serve", "does not begin a vLLM server"),
        ("", "does not begin a vLLM server"),
        ("vllm serve 'M", "cannot be read as a command"),
        ("vllm serve M --enforce-eager true", "'true' is neither a flag nor the value of one"),
        ("vllm serve M --max-num-seqs 1 --max-num-seqs 2", "given twice, as 1 and as 2"),
        ("vllm serve M --no-disable-log-stats", "--no-disable-log-stats is not a flag"),
    ],
)
def test_what_is_no_command_is_refused_with_its_reason(command, problem):
    assert problem in problems(command)[0]


def test_where_to_listen_is_passed_over_in_a_whole_command_and_refused_in_a_change():
    assert parse_command(
        "vllm serve M --port 80 --ssl-keyfile k --root-path /v --max-num-seqs 1", CATALOG
    ) == EngineArgs("M", (("max_num_seqs", 1),))
    with pytest.raises(InputError) as caught:
        parse_changes("--port 80 --ssl-keyfile k", CATALOG, "M")
    assert caught.value.problems == (
        "--port cannot be given: Dyno starts every engine on loopback at a free port of its own",
        "--ssl-keyfile cannot be given: Dyno talks to its own engine without TLS and without a key",
    )


def test_a_change_cannot_name_a_model():
    with pytest.raises(InputError, match="--model cannot be given"):
        changes("--model other")
