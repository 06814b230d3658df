"""A server's Prometheus metrics at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from dyno.engine.client import fetch

Sample = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Samples by their name on the wire; a histogram's are under `..._bucket`, `..._sum` and `..._count`."""

    samples: Mapping[str, tuple[Sample, ...]]

    def _of(self, name: str) -> tuple[Sample, ...]:
        return self.samples.get(name) or self.samples.get(f"{name}_total") or ()

    def total(self, name: str) -> float | None:
        """The sum over all label sets, None when there is no such series. A counter's `_total` may be left out."""
        samples = self._of(name)
        return sum(value for _, value in samples) if samples else None

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
