"""Small models that were started on vLLM 0.32's CPU engine with VLLM_CPU_KVCACHE_SPACE=1, and what it logged."""

COMMON = {"vocab_size": 4096, "hidden_size": 256, "intermediate_size": 512}
GEMMA = COMMON | {
    "architectures": ["Gemma3ForCausalLM"], "max_position_embeddings": 32768, "num_attention_heads": 4,
    "num_hidden_layers": 14, "num_key_value_heads": 1, "head_dim": 64, "sliding_window": 512,
    "sliding_window_pattern": 6,
}  # fmt: skip
MLA = COMMON | {
    "architectures": ["DeepseekV2ForCausalLM"], "max_position_embeddings": 32768, "num_attention_heads": 4,
    "num_key_value_heads": 4, "num_hidden_layers": 3, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "n_shared_experts": 2, "moe_intermediate_size": 128, "first_k_dense_replace": 1, "kv_lora_rank": 64,
    "qk_rope_head_dim": 32, "qk_nope_head_dim": 64, "v_head_dim": 64, "tie_word_embeddings": False,
}  # fmt: skip
DELTA_NET = COMMON | {
    "architectures": ["Qwen3NextForCausalLM"], "max_position_embeddings": 262144, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 64, "num_hidden_layers": 8, "full_attention_interval": 4, "num_experts": 4,
    "num_experts_per_tok": 2, "moe_intermediate_size": 128, "shared_expert_intermediate_size": 128,
    "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 4, "linear_num_value_heads": 8,
    "linear_value_head_dim": 128, "tie_word_embeddings": False,
}  # fmt: skip
MAMBA = COMMON | {
    "architectures": ["NemotronHForCausalLM"], "max_position_embeddings": 8192, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 64, "num_hidden_layers": 8, "hybrid_override_pattern": "M-M*M-M*",
    "mamba_num_heads": 8, "mamba_head_dim": 32, "n_groups": 2, "ssm_state_size": 64, "conv_kernel": 4,
    "mamba_ssm_cache_dtype": "float32", "tie_word_embeddings": False,
}  # fmt: skip
LOGGED = [(GEMMA, 424739, 103.70), (MLA, 1864128, 455.11), (DELTA_NET, 372736, 91.00), (MAMBA, 762600, 186.18)]
