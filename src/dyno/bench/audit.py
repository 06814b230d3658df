"""Whether a load proves anything: pure rules over its records and the server's own counters."""

from collections.abc import Sequence

from dyno.bench.counters import Counters
from dyno.bench.record import Load
from dyno.bench.stats import Records, total

UNMEANT_HITS = 0.05  # of the prompt tokens; a chat template in front of every prompt stays below it


def void_reasons(records: Records, counted: Counters, load: Load, details: Sequence[str] = ()) -> tuple[str, ...]:
    """Why the load is void, in sentences for a person; empty when it is valid. `details` are the server's own words."""
    reasons = []
    if errors := records.errors:
        kinds = ", ".join(f"{kind} ({number})" for kind, number in sorted(errors.items(), key=lambda item: -item[1]))
        said = next((f'; the server said: "{detail}"' for detail in details if detail), "")
        reasons.append(f"{sum(errors.values())} of {len(records.outcomes)} requests failed: {kinds}{said}")
    told = total(records.output_tokens)
    if not errors and None not in (told, counted.generation_tokens) and told != counted.generation_tokens:
        reasons.append(f"the server's usage says {told} output tokens, its counter {counted.generation_tokens:.0f}; "
                       "somebody else used it, or tokens were lost")  # fmt: skip
    hits, queries = counted.prefix_cache_hits, counted.prefix_cache_queries
    if not load.prefix_len and hits and queries and hits > UNMEANT_HITS * queries:
        reasons.append(f"the prefix cache answered {hits:.0f} of {queries:.0f} prompt tokens though no prompt repeats; "
                       "use another seed")  # fmt: skip
    return tuple(reasons)
