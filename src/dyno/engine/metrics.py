"""A server's Prometheus metrics at one moment."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from dyno.engine.client import fetch

Sample = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Observations by bucket, at one moment or between two: `counts[i]` of them were at most `bounds[i]`.

    The last count has no bound and is of all.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    sum: float

    @property
    def count(self) -> float:
        return self.counts[-1]

    def __sub__(self, before: "Histogram") -> "Histogram":
        """What was observed since `before`."""
        counts = tuple(now - then for now, then in zip(self.counts, before.counts, strict=False))
        return Histogram(self.bounds, counts, self.sum - before.sum)

    def bucket(self, share: float) -> int:
        """The index of the bucket that holds this quantile."""
        return bisect_left(self.counts, share * self.count)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Samples by their name on the wire; a histogram's are under `..._bucket`, `..._sum` and `..._count`."""

    samples: Mapping[str, tuple[Sample, ...]]

    def _of(self, name: str, handler: str = "") -> tuple[Sample, ...]:
        samples = self.samples.get(name) or self.samples.get(f"{name}_total") or ()
        return tuple(each for each in samples if each[0].get("handler", "").endswith(handler)) if handler else samples

    def total(self, name: str, handler: str = "") -> float | None:
        """The sum over all label sets, None when there is no such series. A counter's `_total` may be left out.

        With `handler`, over those of which the label of this name ends so.
        """
        samples = self._of(name, handler)
        return sum(value for _, value in samples) if samples else None

    def histogram(self, name: str, handler: str = "") -> Histogram | None:
        """All label sets together, or those of a handler; None when there is no such histogram."""
        counts: dict[float, float] = {}
        for labels, value in self._of(f"{name}_bucket", handler):
            bound = float(labels["le"])
            counts[bound] = counts.get(bound, 0) + value
        bounds, total = sorted(counts), self.total(f"{name}_sum", handler)
        if not bounds or total is None:
            return None
        return Histogram(tuple(bounds[:-1]), tuple(counts[bound] for bound in bounds), total)

    def labels(self, name: str) -> Mapping[str, str] | None:
        """The labels of the first label set."""
        samples = self._of(name)
        return samples[0][0] if samples else None


def parse(text: str) -> Metrics | None:
    """Metrics from Prometheus' text format, None when it is not that."""
    samples: dict[str, tuple[Sample, ...]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples[sample.name] = (*samples.get(sample.name, ()), (sample.labels, sample.value))
    except (ValueError, IndexError, KeyError):  # whichever the parser meets first in what is no metric
        return None
    return Metrics(samples)


def scrape(url: str, timeout_s: float = 5) -> Metrics | None:
    """The metrics of the server at `url`, None when it has none or they are garbled."""
    body = fetch(f"{url}/metrics", timeout_s)
    return None if body is None else parse(body.decode("utf-8", "replace"))
