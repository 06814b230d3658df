"""What of a card's peaks vLLM reaches, and what else a step takes: by kind of card, before any was measured."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import exp

from dyno.hardware.gpus import Card
from dyno.predict import measured


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of the card's peaks, and seconds. Every one is a factor to be fitted, in the logarithm.

    `weights`, `decode` and `link` are shares of a bandwidth: of streaming weights, of reading the KV cache for a new
    token, between cards. `gemm`, `gemm_low` (8 bits and less) and `prefill` (attention) are shares of FLOP/s.
    `layer_s` and `request_s` are the card's own time for a layer and for a request in every step, whatever it does
    there. `host_s` is the processor's for a step that a CUDA graph holds, `eager_s` for launching a layer's kernels.
    `front_s` lies between a client and the scheduler, `turn_s` more for every answer that the API server streams
    meanwhile; `admit_s` is that server's time for one request, `prompt_s` for each token of a prompt, which it decodes
    before it sends the first of the answer.
    """

    weights: float
    gemm: float
    gemm_low: float
    decode: float
    prefill: float
    layer_s: float = 45e-6
    request_s: float = 8e-6
    front_s: float = 3e-3
    admit_s: float = 1.2e-3
    prompt_s: float = 0.45e-6
    turn_s: float = 0.1e-3
    host_s: float = 1.2e-3
    eager_s: float = 0.3e-3
    link: float = 0.7


NAMES = tuple(each.name for each in fields(Rates))

# One standard deviation of what each is off, of its logarithm, for a card of a known kind and any model.
SPREAD: Mapping[str, float] = {
    "weights": 0.10, "gemm": 0.18, "gemm_low": 0.25, "decode": 0.15, "prefill": 0.30, "layer_s": 0.35,
    "request_s": 0.60, "front_s": 0.45, "admit_s": 0.70, "prompt_s": 0.20, "turn_s": 0.7, "host_s": 0.40,
    "eager_s": 0.40, "link": 0.40,
}  # fmt: skip

# How far a prediction is off beyond what its rates are: of the logarithm, where nothing was measured yet.
RESIDUAL: Mapping[str, float] = {"tpot": 0.08, "output_throughput": 0.08, "ttft": 0.15}
# The same where other models were measured on that very card.
_RESIDUAL_SAME: Mapping[str, float] = {"tpot": 0.03, "output_throughput": 0.025, "ttft": 0.06}
# Launches of one configuration differ by this much (H200, 9 launches; TTFT under load more): nothing is surer.
LAUNCHES: Mapping[str, float] = {"tpot": 0.0075, "output_throughput": 0.0075, "ttft": 0.03}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Rates, how sure they are (covariance of the logarithms, in the order of NAMES), and the points behind them.

    `residual` is one standard deviation of what is left unexplained, of the logarithm, by figure. `fitted_on` are
    points of this card, `constants_on` those behind the constants that Dyno comes with.
    """

    rates: Rates
    covariance: tuple[tuple[float, ...], ...]
    residual: Mapping[str, float]
    fitted_on: tuple[str, ...] = ()
    constants_on: tuple[str, ...] = ()

    def moved(self, name: str, by: float) -> Rates:
        """The rates with the logarithm of one of them moved."""
        return replace(self.rates, **{name: getattr(self.rates, name) * exp(by)})


# GEMM, decode and prefill of GeForce and RTX PRO from per-layer profiles of vLLM 0.19 that LLMServingSim 2 publishes;
# of data-centre cards the middle of what the vLLM rows of aiconfigurator 0.12's silicon_sample.csv ask for.
_ADA = Rates(weights=0.92, gemm=0.95, gemm_low=0.85, decode=0.90, prefill=0.60, layer_s=50e-6, request_s=15e-6)
_BLACKWELL = Rates(weights=0.80, gemm=0.78, gemm_low=0.65, decode=0.82, prefill=0.42, layer_s=60e-6, request_s=12e-6)
_AMPERE = Rates(weights=0.85, gemm=0.75, gemm_low=0.65, decode=0.80, prefill=0.50, layer_s=55e-6, request_s=12e-6)
_DATACENTRE = Rates(weights=0.80, gemm=0.66, gemm_low=0.58, decode=0.80, prefill=0.50, layer_s=50e-6, request_s=12e-6)
# vLLM's CPU engine, as shares of _NOMINAL_CPU in roofline.py: processors differ by so much that only measuring tells.
_CPU = Rates(weights=0.5, gemm=0.5, gemm_low=0.4, decode=0.4, prefill=0.2, layer_s=60e-6, request_s=100e-6)

_BY_CAPABILITY: Mapping[tuple[int, int], Rates] = {(8, 9): _ADA, (8, 0): _AMPERE, (8, 6): _AMPERE}
_BY_GENERATION: Mapping[int, Rates] = {9: _DATACENTRE, 10: _DATACENTRE, 12: _BLACKWELL}
# How unsure rates are, as multiples of SPREAD: measured on that very card, on one of its kind, published, guessed.
_SAME, _ALIKE, _PUBLISHED, _GUESSED = 0.2, 0.8, 1.5, 2.0


def generic(card: Card | None) -> Calibration:
    """What is known of a kind of card before anything was measured on this one."""
    if card is None or card.capability[0] not in (9, 10):
        return published(card)
    return constants(Rates(**measured.RATES), measured.POINTS, same=card.name == measured.CARD)


def constants(rates: Rates, points: tuple[str, ...], *, same: bool) -> Calibration:
    """Rates fitted on points of some models, for others; `same` where the card is the one they were measured on."""
    if same:
        return Calibration(rates, _diagonal(_SAME), _RESIDUAL_SAME, constants_on=points)
    return Calibration(rates, _diagonal(_ALIKE), RESIDUAL, constants_on=points)


def published(card: Card | None) -> Calibration:
    """What others have published of a kind of card."""
    if card is None:
        return Calibration(_CPU, _diagonal(3.0), RESIDUAL)
    known = _BY_CAPABILITY.get(card.capability) or _BY_GENERATION.get(card.capability[0])
    return Calibration(known or _AMPERE, _diagonal(_PUBLISHED if known else _GUESSED), RESIDUAL)


def _diagonal(times: float) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple((times * SPREAD[name]) ** 2 if name == other else 0.0 for other in NAMES) for name in NAMES)
