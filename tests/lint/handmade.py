"""A small release written by hand, for tests of readers and rules that need no real one."""

from dyno.engine.catalog import Flag
from dyno.lint.check import Finding, Judge, Text
from dyno.lint.known import Known, Span
from dyno.lint.read import read
from dyno.lint.rules import RULES

FLAGS = (
    Flag("max_num_seqs", ("--max-num-seqs",), "int"),
    Flag("max_num_batched_tokens", ("--max-num-batched-tokens",), "size"),
    Flag("max_model_len", ("--max-model-len",), "size", words=("auto",)),
    Flag("gpu_memory_utilization", ("--gpu-memory-utilization",), "float", default=0.92, bounds=(("gt", 0), ("le", 1))),
    Flag("kv_cache_dtype", ("--kv-cache-dtype",), "str", ("auto", "fp8", "fp8_e5m2")),
    Flag("kv_offloading_size", ("--kv-offloading-size",), "float"),
    Flag("quantization", ("--quantization", "-q"), "str"),
    Flag("load_format", ("--load-format",), "str", default="auto", deprecated=True),
    Flag("async_scheduling", ("--async-scheduling",), "switch", negatable=True),
    Flag("speculative_config", ("--speculative-config",), "json"),
    Flag("enforce_eager", ("--enforce-eager",), "switch", negatable=True),
    Flag("trust_remote_code", ("--trust-remote-code",), "switch", negatable=True),
    Flag("compilation_config", ("--compilation-config", "-cc"), "json"),
    Flag("optimization_level", ("--optimization-level",), "str"),
    Flag("served_model_name", ("--served-model-name",), "str", nargs="+"),
    Flag("structured_outputs_config", ("--structured-outputs-config",), "json"),
    Flag("runner", ("--runner",), "str", ("auto", "generate", "pooling")),
    Flag("convert", ("--convert",), "str"),
    Flag("cudagraph_capture_sizes", ("--cudagraph-capture-sizes",), "int", nargs="+"),
    Flag("max_cudagraph_capture_size", ("--max-cudagraph-capture-size",), "int"),
    Flag("model", ("--model",), "str"),
    Flag("port", ("--port",), "int"),
    Flag("host", ("--host",), "str"),
)
KEYS = {
    "speculative_config.method": Flag("speculative_config.method", (), "str", ("ngram", "eagle")),
    "speculative_config.num_speculative_tokens": Flag(
        "speculative_config.num_speculative_tokens", (), "int", bounds=(("gt", 0),)
    ),
}
SERVER_ONLY = {"port", "host", "served_model_name"}
KNOWN = Known(
    "0.20.0",
    FLAGS,
    frozenset(flag.name for flag in FLAGS) - SERVER_ONLY,
    frozenset({"VLLM_CACHE_ROOT", "VLLM_API_KEY", "VLLM_CPU_KVCACHE_SPACE"}),
    keys=KEYS,
    lists={"quantization": ("awq", "fp8", "gptq", "modelopt")},
    others={"cuda_graph_sizes": Flag("cuda_graph_sizes", ("--cuda-graph-sizes",), "int", nargs="+"),
            "guided_decoding_disable_fallback": Flag("guided_decoding_disable_fallback", (), "switch"),
            "disable_log_requests": Flag("disable_log_requests", (), "switch")},
    history={**dict.fromkeys(("guided_decoding_backend", "guided_decoding_disable_fallback", "task", "cuda_graph_sizes",
                              "speculative_model", "num_speculative_tokens", "disable_log_requests", "unheard_of"),
                             Span("0.6.2", "0.11.0", "0.12.0")),
             "swap_space": Span("0.6.2", "0.17.1", "0.18.0"), "spec_model": Span("0.22.1", "0.33.0"),
             "quantized": Span("0.6.2", "0.7.0", "0.8.0"), **{flag.name: Span("0.6.2", "0.33.0") for flag in FLAGS}},
)  # fmt: skip


def text(content: str, name: str = "<argument>", known: Known = KNOWN) -> Text:
    return Text(name, content, read(name, content, known.names))


def judge(known: Known = KNOWN) -> Judge:
    return Judge(lambda _: known, RULES)


def findings(content: str, name: str = "<argument>") -> list[Finding]:
    return judge().findings(text(content, name))


def codes(content: str, name: str = "<argument>") -> list[tuple[str, str]]:
    return [(each.code, each.item) for each in findings(content, name)]
