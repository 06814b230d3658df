"""A plan as a person reads it: the budget as a table and a bar, candidates, the largest that fits."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dyno.plan.record import Candidate, Cell, Plan
from dyno.predict.kv_cache import grows
from dyno.predict.latency import Latency, Spread
from dyno.predict.offload import Offload
from dyno.units import format_bytes, format_figure

_WIDTH = 60
_THOUSAND = 1000 * 2**30  # bytes
_COLOURS = {"weights": "blue", "activations": "yellow", "others": "magenta", "KV cache": "green", "CUDA graphs": "cyan",
            "context and kept": "red", "others' memory": "white", "free": "dim"}  # fmt: skip


def show(plan: Plan, load: str | None) -> None:
    """Print it. Uncertain figures stand with how far they may be off."""
    console, asked = Console(), plan.asked
    console.print(Text(_head(plan), style="bold"))
    parts = _parts(plan)
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for name, nbytes in parts:
        if not nbytes and name == "others' memory":
            continue
        table.add_row(Text(name, style=_COLOURS[name]), format_bytes(nbytes))
    console.print(table)
    console.print(_bar(parts))
    for line in _lines(plan):
        console.print(Text(line))
    for note in plan.notes:
        console.print(Text(f"note: {note}", style="yellow"))
    for reason in asked.rejected:
        console.print(Text(f"does not fit: {reason}", style="red"))
    if len(plan.candidates) > 1:
        _show_candidates(console, plan.candidates)
    if plan.grid:
        console.print(_grid(plan.grid))
    if load is not None and asked.latency is not None:
        console.print(Text(f"{load}:", style="bold"))
        for line in _latency(asked.latency):
            console.print(Text(line))


def _head(plan: Plan) -> str:
    setup, model = plan.asked.setup, plan.model
    number = f"{setup.tensor_parallel} x " if setup.tensor_parallel > 1 else ""
    where = f"{number}{plan.card.name}" if plan.card else "the CPU engine"
    active = f", {model.active_parameters / 1e9:.3g} B active" if model.num_experts else ""
    return (
        f"{model.source} ({model.architecture}, {model.parameters / 1e9:.3g} B{active}) on {where}, vLLM "
        f"{'.'.join(map(str, setup.release))}{' ' + plan.asked.args.changes() if plan.asked.args.changes() else ''}"
    )


def _parts(plan: Plan) -> list[tuple[str, int]]:
    memory, card = plan.asked.memory, plan.card
    kv = memory.blocks * memory.block_bytes
    if card is None:
        return [("weights", memory.weights_bytes), ("KV cache", kv)]
    known = [("weights", memory.weights_bytes), ("KV cache", kv), ("CUDA graphs", memory.graph_bytes),
             ("others' memory", plan.host.card_used_bytes)]  # fmt: skip
    rest = memory.device_used_bytes - sum(nbytes for _, nbytes in known)
    return [*known, ("context and kept", max(0, rest)), ("free", max(0, card.cuda_bytes - memory.device_used_bytes))]


def _bar(parts: Iterable[tuple[str, int]]) -> Text:
    shown = list(parts)
    whole = sum(nbytes for _, nbytes in shown) or 1
    bar = Text()
    for name, nbytes in shown:
        bar.append("█" * round(_WIDTH * nbytes / whole), style=_COLOURS[name])
    return bar


def _lines(plan: Plan) -> list[str]:
    memory, setup, largest = plan.asked.memory, plan.asked.setup, plan.largest
    spread = memory.high_bytes - memory.kv_cache_bytes
    there = format_bytes(memory.kv_cache_bytes) if memory.kv_cache_bytes > 0 else (
        f"none, {format_bytes(-memory.kv_cache_bytes)} are lacking")  # fmt: skip
    lines = [
        f"KV cache {there}{f', give or take {format_bytes(spread)}' if spread else ''}: "
        f"{memory.kv_cache_tokens:,} tokens, {memory.max_concurrency:.2f} requests of {setup.max_model_len:,}; "
        + _per_token(plan),
    ]
    if plan.card:
        each = " of each card" if setup.tensor_parallel > 1 else ""
        if memory.warm_kv_cache_bytes > max(0, memory.kv_cache_bytes):
            lines.append(f"from the second start on, compiled: {format_bytes(memory.warm_kv_cache_bytes)}")
        if memory.cold_kv_cache_bytes < memory.kv_cache_bytes:
            lines.append(f"its compile cache filled; a first start has {format_bytes(memory.cold_kv_cache_bytes)}")
        lines += [
            f"asked for {format_bytes(memory.requested_bytes)}; activations peak at "
            f"{format_bytes(memory.activation_bytes)}",
            f"in use when ready: {format_bytes(memory.device_used_bytes)} of {format_bytes(plan.card.cuda_bytes)}"
            f"{each}, give or take {format_bytes(memory.device_spread_bytes)}",
        ]
    shortest = min(setup.max_model_len, setup.block_size)
    less = largest.gpu_memory_utilization != setup.utilization
    most = (f"{f'gpu_memory_utilization {largest.gpu_memory_utilization:g}, ' if less else ''}max_model_len "
            f"{largest.max_model_len:,}, max_num_seqs {largest.max_num_seqs:,}")  # fmt: skip
    lines.append(f"largest that fits: {most if largest.max_model_len >= shortest else 'no length at all'}")
    if plan.offload:
        lines.append(_offload(plan.offload))
    lines.append(f"corrected by {plan.boots} starts seen" if plan.boots else "no start of this machine was seen yet: "
                 "the first one corrects these figures")  # fmt: skip
    return lines


def _per_token(plan: Plan) -> str:
    """What one more token takes; where no layer keeps all tokens, why a longer request takes no more."""
    each = f"{plan.asked.memory.kv_bytes_per_token / 1024:.4g} KiB a token"
    if grows(plan.asked.setup):
        return each
    if windows := [cache.window for cache in plan.model.caches if cache.window]:
        return f"{each} within the window of {max(windows):,}, nothing beyond: no layer keeps more"
    return "no more for a longer request: every layer keeps a state alone"


def _latency(latency: Latency) -> list[str]:
    """Figures with the interval that holds a launch 80 times in 100."""

    def line(name: str, spread: Spread) -> str:
        p50, low, high, p90, p99 = map(format_figure, (spread.p50, spread.low, spread.high, spread.p90, spread.p99))
        return f"{name:<7}{p50:>10} ms ({low} to {high}), 90 % within {p90}, 99 % within {p99}"

    spreads = [(name, spread) for name in ("ttft", "tpot", "e2el") if (spread := latency.of(name)) is not None]
    rests = f"fitted on {len(latency.fitted_on)} points of such a card" if latency.fitted_on else "generic rates"
    again = f", {latency.preemptions} times a request is thrown out for lack of KV cache" if latency.preemptions else ""
    return [*(line(name, spread) for name, spread in spreads),
            f"output {latency.output_throughput:>10,.0f} tokens/s ({latency.output_throughput_low:,.0f} to "
            f"{latency.output_throughput_high:,.0f}); {rests}{again}"]  # fmt: skip


def _offload(sized: Offload) -> str:
    shm = "" if sized.shm_bytes is None else f", /dev/shm has {format_bytes(sized.shm_bytes)} free"
    return (f"KV offloading: at most {format_bytes(sized.safe_bytes)} ({sized.safe_tokens:,} tokens) of the host's "
            f"{format_bytes(sized.ram_bytes)}: {format_bytes(sized.system_bytes)} for the system, "
            f"{format_bytes(sized.used_bytes)} in use by others, {format_bytes(sized.engine_bytes)} for the engine"
            f"{shm}; every 16 GiB hold {sized.step_tokens:,} tokens")  # fmt: skip


def _show_candidates(console: Console, candidates: tuple[Candidate, ...]) -> None:
    """As a table, and below it why some are rejected; why the first is has been said."""
    console.print(_candidates(candidates))
    for each in candidates[1:]:
        if each.rejected:
            console.print(Text(f"{each.name}: {each.rejected[0]}", style="red"))


def _candidates(candidates: tuple[Candidate, ...]) -> Table:
    table = Table(box=None, padding=(0, 1))
    loaded = any(each.latency for each in candidates)
    more = ("tokens/s", "ttft ms", "tpot ms") if loaded else ()
    for column in ("candidate", "KV tokens", "requests", "in use", *more, ""):
        table.add_column(column, justify="left" if column in ("candidate", "") else "right")
    for each in candidates:
        memory = each.memory
        verdict = Text("rejected", style="red") if each.rejected else Text("fits", style="green")
        speeds = _speeds(each.latency) if loaded else ()
        table.add_row(each.name, f"{memory.kv_cache_tokens:,}", f"{memory.max_concurrency:.2f}",
                      format_bytes(memory.device_used_bytes), *speeds, verdict)  # fmt: skip
    return table


def _speeds(latency: Latency | None) -> tuple[str, str, str]:
    if latency is None:
        return ("-", "-", "-")
    tpot = format_figure(latency.tpot_ms.p50) if latency.tpot_ms else "-"
    return (f"{latency.output_throughput:,.0f}", f"{latency.ttft_ms.p50:,.0f}", tpot)


def _grid(cells: tuple[Cell, ...]) -> Table:
    """One row a length, one column a number of requests: the KV cache they need, red where it is not there."""
    numbers = sorted({cell.concurrency for cell in cells})
    table = Table(
        box=None,
        padding=(0, 1),
        title="GiB of KV cache for requests of a length, at once; in brackets: more than there is",
        title_justify="left",
    )
    table.add_column("max_model_len", justify="right")
    for number in numbers:
        table.add_column(str(number), justify="right")
    for length in sorted({cell.max_model_len for cell in cells}):
        row = [cell for cell in cells if cell.max_model_len == length]
        table.add_row(f"{length:,}", *map(_cell, row))
    return table


def _cell(cell: Cell) -> Text:
    nbytes = cell.kv_bytes
    shown = f"{nbytes / 2**30:,.3g}" if nbytes < _THOUSAND else f"{nbytes / 2**30:,.0f}"
    return Text(shown, style="green") if cell.fits else Text(f"({shown})", style="red")
