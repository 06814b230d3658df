"""The client's latencies against the server's own histograms: pure.

The server's clock starts when it has read a request and stops when it has made the answer; the client's start and stop
on the wire. So the client's are a little longer, and by how much is what lies between the two.
"""

import numpy as np

from dyno.bench import stats
from dyno.bench.counters import Counters
from dyno.bench.stats import Records
from dyno.engine.metrics import Histogram
from dyno.workload import PERCENTILES

Figures = dict[str, float | None]


def reconcile(records: Records, counted: Counters) -> Figures:
    """`reconcile.ttft_mean_ratio` (client over server), `..._mean_excess_ms` (client less server) and, for every
    percentile, `..._p50_buckets`: how many of the server's buckets lie between its value and the client's.

    The same for itl and e2el. Nothing for a latency that the server did not observe as often as the client did:
    then it has served others too, or makes several tokens a step.
    """
    done = records.completed
    figures: Figures = {}
    for name, observed in (("ttft", counted.ttft), ("itl", counted.itl), ("e2el", counted.e2el)):
        expected = _gaps(records) if name == "itl" else int(done.sum())
        if observed is None or observed.count != expected or not observed.sum > 0:
            continue
        seen_ms = stats.summary(stats.blocks_of(name, records))
        figures |= {f"reconcile.{name}_{what}": value for what, value in _compare(seen_ms, observed).items()}
    return figures


def _gaps(records: Records) -> int | None:
    """Steps between tokens: one less than the tokens of each answer."""
    tokens = stats.total(records.output_tokens[records.completed])
    return None if tokens is None else tokens - int(records.completed.sum())


def _compare(seen_ms: Figures, observed: Histogram) -> Figures:
    served_mean_ms, figures = observed.sum / observed.count * 1000, Figures()
    if (mean_ms := seen_ms["mean"]) is not None:
        figures = {"mean_ratio": mean_ms / served_mean_ms, "mean_excess_ms": mean_ms - served_mean_ms}
    for percentile in PERCENTILES:
        if (value_ms := seen_ms[f"p{percentile}"]) is not None:
            mine = int(np.searchsorted(observed.bounds, value_ms / 1000))  # a bucket holds its upper bound
            figures[f"p{percentile}_buckets"] = mine - observed.bucket(percentile / 100)
    return figures
