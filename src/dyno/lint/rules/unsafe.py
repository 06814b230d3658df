"""What is accepted and asks for trouble."""

import re
from collections.abc import Iterator

from dyno.lint.case import Case, Hit, Rules

RULES = Rules()
_HIGHEST_UTILIZATION = 0.97  # above it less than one CUDA context is left on cards of up to 32 GiB
_EVERYWHERE = ("0.0.0.0", "::", "[::]")


@RULES.rule("DYN601", "warning", "Too little memory left beside vLLM", "vllm/v1/worker/utils.py: request_memory")
def utilization(case: Case) -> Iterator[Hit]:
    """The start fails unless that share of the card is free, and CUDA contexts, a display and what vLLM allocates
    after profiling have to fit beside it. --kv-cache-memory-bytes says what is wanted, in bytes."""
    item, value = case.item("gpu_memory_utilization"), case.value("gpu_memory_utilization")
    if item and isinstance(value, float) and _HIGHEST_UTILIZATION <= value <= 1:
        left = f"{(1 - value) * case.card.memory_bytes / 2**20:.0f} MiB" if case.card else f"{1 - value:.0%}"
        yield Hit(item, f"{item.written} {value:g} leaves {left} for everything else on the card",
                  "stay at 0.95 or below, or set --kv-cache-memory-bytes")  # fmt: skip


@RULES.rule("DYN602", "warning", "Open to everybody", "vllm/entrypoints: --host, --api-key, VLLM_API_KEY")
def open_to_all(case: Case) -> Iterator[Hit]:
    """Everybody who reaches the machine can use the model. In a container 0.0.0.0 is needed, and the port that is
    published decides: publish it as 127.0.0.1:8000:8000, or set a key."""
    item, value = case.item("host"), case.value("host")
    keyed = case.item("api_key") is not None or "VLLM_API_KEY" in case.variables
    if item and value in _EVERYWHERE and not keyed:
        yield Hit(item, f"{item.written} {value}: everybody who reaches this machine can use the server, without a key",
                  "bind to 127.0.0.1, or set VLLM_API_KEY")  # fmt: skip


@RULES.rule("DYN603", "warning", "Image without a fixed release", "docs.vllm.ai: Using Docker")
def floating_image(case: Case) -> Iterator[Hit]:
    """`latest` is another release tomorrow, and flags come and go with every one."""
    for item in case.items:
        if (
            item.kind == "image"
            and "$" not in item.written
            and re.search(r"(:latest|:nightly)$|^[^:@]+$|/[^:@]+$", item.written)
        ):
            yield Hit(item, f"{item.written} is another vLLM with every pull", "name a release, such as "
                      f"{item.written.split(':')[0]}:v{case.known.version}, or a digest")  # fmt: skip


@RULES.rule("DYN604", "warning", "Secret on the command line", "ps, docker inspect and logs show it")
def secret(case: Case) -> Iterator[Hit]:
    """Arguments are seen by every user of the machine, in process lists, in `docker inspect` and in vLLM's own log."""
    for name, variable in (("api_key", "VLLM_API_KEY"), ("hf_token", "HF_TOKEN")):
        item = case.item(name)
        if item and item.kind == "flag" and item.given and item.known:
            yield Hit(item, f"{item.written}: everybody on this machine can read the secret", f"set {variable} instead")


@RULES.rule("DYN605", "warning", "Administration open to everybody", "vllm/entrypoints/serve: VLLM_SERVER_DEV_MODE")
def dev_mode(case: Case) -> Iterator[Hit]:
    """Development mode adds endpoints that put the engine to sleep and run methods in it, and asks nobody for a key."""
    item, host = case.variables.get("VLLM_SERVER_DEV_MODE"), case.value("host")
    if item and str(item.value) == "1" and host in _EVERYWHERE:
        yield Hit(item, "VLLM_SERVER_DEV_MODE=1 opens /sleep and /collective_rpc to everybody who reaches this machine",
                  "bind to 127.0.0.1, or leave it out")  # fmt: skip
