"""The client's latencies against the server's own histograms: pure.

vLLM's clock starts when its API server has read and parsed a request, and it stops when a token has come from the
engine: before it is made text, which for the first token means to decode the whole prompt, and before it is sent. The
client's start and stop on the wire. So the client's are longer, and by how much is the API server's own time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dyno.bench import stats
from dyno.bench.counters import Counters
from dyno.bench.stats import Records
from dyno.engine.metrics import Histogram
from dyno.workload import PERCENTILES

Figures = dict[str, float | None]
AGREES_SHARE, AGREES_MS = 0.02, 3.0  # of the server's own value, or that much, whichever is more
DECODING_MS = 0.001  # of a token of the prompt, at most; 0.0004 on an H200's host, up to 0.0009 on one of two cores


def reconcile(records: Records, counted: Counters) -> Figures:
    """`reconcile.ttft_mean_ratio` (client over server), `..._mean_excess_ms` (client less server) and, for every
    percentile, `..._p50_buckets`: how many of the server's buckets lie between its value and the client's.

    The same for itl and e2el, and for `http` the means: e2el against the clock of the server's web layer. Nothing for
    a latency that the server did not observe as often as the client did: then it has served others too, or makes
    several tokens a step. `reconcile.head_mean_ms` is how long the head of an answer took, which vLLM sends once its
    clock has started.
    """
    done = records.completed
    figures: Figures = {}
    for name, observed in (("ttft", counted.ttft), ("itl", counted.itl), ("e2el", counted.e2el)):
        expected = _gaps(records) if name == "itl" else int(done.sum())
        if observed is None or observed.count != expected or not observed.sum > 0:
            continue
        seen_ms = stats.summary(stats.blocks_of(name, records))
        figures |= {f"reconcile.{name}_{what}": value for what, value in _compare(seen_ms, observed).items()}
    http = counted.http
    if figures and http is not None and http.count == done.sum() and http.sum > 0:
        mean = _means(float(stats.e2el_ms(records)[done].mean()), http)
        figures |= {f"reconcile.http_{what}": value for what, value in mean.items()}
    if figures:
        figures["reconcile.head_mean_ms"] = float((records.first_byte_ns - records.sent_ns)[done].mean()) / 1e6
    return figures


def _gaps(records: Records) -> int | None:
    """Steps between tokens: one less than the tokens of each answer."""
    tokens = stats.total(records.output_tokens[records.completed])
    return None if tokens is None else tokens - int(records.completed.sum())


def _compare(seen_ms: Figures, observed: Histogram) -> Figures:
    figures = Figures() if (mean_ms := seen_ms["mean"]) is None else _means(mean_ms, observed)
    for percentile in PERCENTILES:
        if (value_ms := seen_ms[f"p{percentile}"]) is not None:
            mine = int(np.searchsorted(observed.bounds, value_ms / 1000))  # a bucket holds its upper bound
            figures[f"p{percentile}_buckets"] = mine - observed.bucket(percentile / 100)
    return figures


def _means(mean_ms: float, observed: Histogram) -> Figures:
    served_ms = observed.sum / observed.count * 1000
    return {"mean_ratio": mean_ms / served_ms, "mean_excess_ms": mean_ms - served_ms}


@dataclass(frozen=True, slots=True)
class Difference:
    """Between the client's mean of a latency and the server's own, in ms."""

    excess_ms: float
    allowed_ms: float

    @property
    def small(self) -> bool:
        return abs(self.excess_ms) <= self.allowed_ms


def difference(figures: Mapping[str, float | None], name: str) -> Difference | None:
    """Of the means of ttft, itl, e2el or http; None where they were not compared."""
    ratio, excess_ms = (figures.get(f"reconcile.{name}_mean_{what}") for what in ("ratio", "excess_ms"))
    if ratio is None or excess_ms is None:
        return None
    served_ms = 0.0 if ratio == 1 else excess_ms / (ratio - 1)
    return Difference(excess_ms, max(AGREES_MS, AGREES_SHARE * served_ms))


def agrees(figures: Mapping[str, float | None]) -> bool | None:
    """Whether mean ITL, E2EL and TTFT are within 2 % or 3 ms of the server's; None where there was nothing to compare.

    E2EL is compared with the clock of the web layer, which sees what the client does, where it is told. TTFT and E2EL
    start together, so TTFT is compared with vLLM's clock without what E2EL has in excess of that: by what TTFT is
    allowed it is no less than nothing, no more than it took until the answer's head came, and no answer is shorter
    than the web layer says. What comes late may be so by the decoding of the prompt, too.
    """
    ttft, itl, e2el, http = (difference(figures, name) for name in ("ttft", "itl", "e2el", "http"))
    known = [each.small for each in (itl, http or e2el) if each is not None]
    if ttft is not None:
        early_ms = late_ms = ttft.allowed_ms
        tokens, answers = figures.get("prompt_tokens"), figures.get("completed")
        late_ms += DECODING_MS * tokens / answers if tokens and answers else 0.0
        before_ms, head_ms = 0.0 if e2el is None else e2el.excess_ms, figures.get("reconcile.head_mean_ms")
        known.append(-early_ms <= ttft.excess_ms - before_ms <= late_ms)
        known.append(-early_ms <= before_ms and (head_ms is None or before_ms <= head_ms + late_ms))
        known.append(http is None or http.excess_ms >= -early_ms)
    return all(known) if known else None
