"""What is asked of an engine: requests, and when they are sent."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `at_s` counts in an open loop; `prefix` names a beginning it shares, of `prefix_len` tokens."""

    input_len: int
    output_len: int
    at_s: float = 0.0
    prefix: int | None = None
    prefix_len: int = 0


@dataclass(frozen=True, slots=True)
class Demand:
    """Requests in the order of sending. `clients` of a closed loop, who start together; None: each at its own time."""

    requests: tuple[Asked, ...]
    clients: int | None


def largest_request(demand: Demand) -> int:
    """Tokens of the longest request, answer included."""
    return max(asked.input_len + asked.output_len for asked in demand.requests)
