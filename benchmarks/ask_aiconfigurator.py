"""aiconfigurator's predictions of rows of its silicon_sample.csv; public_rows.py runs it in an environment of its own.

Rows as JSON on stdin; for each a line on stdout, [TTFT ms, TPOT ms] or null.
"""

import contextlib
import json
import logging
import sys

from aiconfigurator.cli.api import cli_estimate
from aiconfigurator_core.sdk.utils import HuggingFaceDownloadError

logging.disable(logging.CRITICAL)
# Its own errors are of these kinds: tables without an entry, shapes that do not divide, memory that lacks.
NO_ANSWER = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    HuggingFaceDownloadError,
    LookupError,
    RuntimeError,
    SystemExit,
    TypeError,
    ValueError,
)


def asked(row: dict) -> list[float] | None:
    numbers = {name: int(row[name]) for name in ("isl", "osl", "batch_size", "tp_size", "moe_tp_size", "moe_ep_size")
               if row[name] and int(row[name])}  # fmt: skip
    modes = {name: row[name] for name in ("gemm_quant_mode", "moe_quant_mode") if row[name]}
    try:
        told = cli_estimate(row["model_path"], row["system"], backend_name="vllm", **numbers, **modes)
    except NO_ANSWER:
        return None
    return [float(told.ttft), float(told.tpot)]


if __name__ == "__main__":
    for each in json.load(sys.stdin):
        with contextlib.redirect_stdout(sys.stderr):
            answer = asked(each)
        print(json.dumps(answer), flush=True)
