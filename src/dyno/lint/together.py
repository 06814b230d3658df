"""Which arguments go together: what one needs beside it, what excludes it, which numbers must not exceed which.

Read in vLLM's sources and held to the answers of eight releases from 0.10.2 to 0.33 (`tools/lint_differential.py`).
`since` is the first release that refuses, `until` the first that no longer does; without them every release that has
the flag was taken to. What releases before 0.10.2 do was not asked.
"""

from dataclasses import dataclass

from dyno.lint.source import Value

_ALWAYS = "0.0.0"
_OFF: tuple[Value, ...] = (None, False, 0, "none", "None")


@dataclass(frozen=True, slots=True)
class Need:
    """`name` is refused unless one of `others` is given: as one of `values`, or as a number of at least `least`.

    One of the others may be a variable that has to be on."""

    name: str
    others: tuple[str, ...]
    values: tuple[str, ...] = ()
    least: int | None = None
    since: str = _ALWAYS
    until: str | None = None
    off: tuple[Value, ...] = _OFF  # values of `name` that ask for nothing
    unless: str | None = None  # given, it is not looked at


_SPECULATION = ("speculative_config", "spec_model", "spec_method", "spec_tokens")
_OUTPUTS = "structured_outputs_config"
_SPLIT_BATCHES = ("deepep_low_latency", "deepep_high_throughput", "nixl_ep")  # ROCm has others

NEEDS: tuple[Need, ...] = (
    Need("enable_auto_tool_choice", ("tool_call_parser",)),
    Need("enable_log_outputs", ("enable_log_requests",), since="0.11.0"),
    Need("collect_detailed_traces", ("otlp_traces_endpoint",), since="0.11.1"),
    Need("per_request_spec_decode_metrics", _SPECULATION),
    Need("ray_workers_use_nsight", ("distributed_executor_backend",), ("ray",)),
    Need("mamba_ssu_algorithm", ("mamba_backend",), ("flashinfer",)),
    Need("dcp_comm_backend", ("decode_context_parallel_size",), least=2, until="0.29.0", off=(None, "ag_rs")),
    Need("offload_backend", ("offload_group_size",), least=1, off=(None, "auto", "uva")),
    Need("enable_mamba_cache_stochastic_rounding", ("mamba_ssm_cache_dtype",), ("float16",)),
    Need("profiler_config.capture_torch_profiler", ("profiler_config.profiler",), ("torch",)),
    Need("profiler_config.torch_profiler_dir", ("profiler_config.profiler",), ("torch",)),
    Need("reasoning_config", ("reasoning_parser",), since="0.21.0", until="0.28.0"),
    Need("grpc_port", ("VLLM_USE_RUST_FRONTEND",)),
    Need("numa_bind_nodes", ("numa_bind",)),
    Need("numa_bind_cpus", ("numa_bind",)),
    Need("enable_eplb", ("enable_expert_parallel",), since="0.9.2"),
    Need("enable_elastic_ep", ("enable_eplb",)),
    Need("ubatch_size", ("all2all_backend",), _SPLIT_BATCHES, off=(None, 0, 1)),
    Need("enable_dbo", ("all2all_backend",), _SPLIT_BATCHES),
    Need("num_redundant_experts", ("enable_eplb",)),
    Need("eplb_config.num_redundant_experts", ("enable_eplb",)),
    Need("data_parallel_multi_port_external_lb", ("data_parallel_size",), least=2),
    Need("data_parallel_multi_port_external_lb", ("data_parallel_size_local",), least=2),
    Need("data_parallel_external_lb", ("data_parallel_size",), least=2),
    Need("data_parallel_rank", ("data_parallel_size",), least=2, off=(None,)),
    Need("data_parallel_hybrid_lb", ("data_parallel_size_local", "data_parallel_start_rank")),
    Need("enable_fault_tolerance", ("data_parallel_external_lb", "data_parallel_rank")),
    Need("kv_offloading_backend", ("kv_offloading_size",), since="0.11.1", until="0.14.0"),
    Need("kv_transfer_config", ("kv_transfer_config.kv_connector",), since="0.22.0",
         unless="disable_hybrid_kv_cache_manager"),
    Need("kv_transfer_config.kv_connector", ("kv_transfer_config.kv_role",)),
    Need("ec_transfer_config.ec_connector", ("ec_transfer_config.ec_role",)),
    Need(f"{_OUTPUTS}.disable_any_whitespace", (f"{_OUTPUTS}.backend",), ("xgrammar", "guidance")),
    Need(f"{_OUTPUTS}.disable_additional_properties", (f"{_OUTPUTS}.backend",), ("guidance",)),
    Need("guided_decoding_disable_any_whitespace", ("guided_decoding_backend",), ("xgrammar", "guidance"),
         since="0.9.2"),
    Need("guided_decoding_disable_additional_properties", ("guided_decoding_backend",), ("guidance",), since="0.9.2"),
)  # fmt: skip

EXCLUDES: tuple[tuple[str, str], ...] = (  # the two are refused together
    ("data_parallel_hybrid_lb", "data_parallel_external_lb"),
    ("data_parallel_multi_port_external_lb", "data_parallel_external_lb"),
    ("data_parallel_multi_port_external_lb", "data_parallel_hybrid_lb"),
    ("data_parallel_multi_port_external_lb", "data_parallel_rank"),
    ("enable_per_request_metrics", "disable_log_stats"),
    ("grpc", "grpc_port"),
    ("attention_backend", "attention_config.backend"),
    ("cudagraph_capture_sizes", "compilation_config.cudagraph_capture_sizes"),
    ("max_cudagraph_capture_size", "compilation_config.max_cudagraph_capture_size"),
    ("enable_flashinfer_autotune", "kernel_config.enable_flashinfer_autotune"),
    ("spec_method", "speculative_config.method"),
    ("spec_model", "speculative_config.model"),
    ("spec_tokens", "speculative_config.num_speculative_tokens"),
)

# The first must not be more than the second, whose default stands third (None: only when both are given).
RELATIONS: tuple[tuple[str, str, int | None], ...] = (
    ("max_num_seqs", "max_num_batched_tokens", None),
    ("max_num_active_seqs", "max_num_seqs", None),
    ("long_prefill_token_threshold", "max_model_len", None),
    ("data_parallel_size_local", "data_parallel_size", 1),
    ("max_loras", "max_cpu_loras", None),
    ("max_long_partial_prefills", "max_num_partial_prefills", 1),
    ("offload_num_in_group", "offload_group_size", None),
)
