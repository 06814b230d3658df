"""Candidates with what they would take, and the largest that fits; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dyno.engine.args import EngineArgs, FlagValue
from dyno.errors import InputError, nearest
from dyno.hardware.gpus import Card
from dyno.model.architectures import known_architectures
from dyno.model.spec import ModelSpec
from dyno.plan.loaded import Expected, rank, unchecked, with_latency, within
from dyno.plan.record import Candidate, Cell, Largest, Plan
from dyno.predict import kv_cache
from dyno.predict.demand import Demand
from dyno.predict.kept import kept_bytes
from dyno.predict.lengths import longest_len
from dyno.predict.memory import Host, Memory, fitted, predict_memory, reasons_against
from dyno.predict.offload import ENGINE_BYTES, size_offload
from dyno.predict.rates import Calibration, generic
from dyno.predict.setup import Release, Setup, resolve
from dyno.predict.terms import Boot
from dyno.units import format_bytes
from dyno.workload import Limit

_Flags = tuple[tuple[str, FlagValue], ...]
_Change = tuple[str, _Flags]  # with its name

MOST_SEQUENCES = 4096
GRID_CONCURRENCY = (1, 2, 4, 8, 16, 32, 64)
_SHORTEST_ROW, _LONGEST_ROW = 2048, 2**24
_SHARES = ("gpu_memory_utilization", "kv_cache_memory_bytes", "num_gpu_blocks_override")
_FULLER = 0.97  # of a card that nobody else uses; more leaves nothing to what no budget counts
_SPLITS = (2, 4, 8, 16)  # cards of one host, or two

# Changes that people try first, and why.
CHANGES: Mapping[str, _Flags] = {
    "fp8 KV cache": (("kv_cache_dtype", "fp8"),),
    "fp8 weights": (("quantization", "fp8"),),
    "eager": (("enforce_eager", True),),
    "64 sequences": (("max_num_seqs", 64),),
}


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that a plan depends on. Without a `demand` no speed is predicted."""

    model: ModelSpec
    args: EngineArgs
    release: Release
    card: Card | None
    host: Host = field(default_factory=Host)
    boots: Sequence[Boot] = ()
    notes: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    demand: Demand | None = None
    calibration: Calibration | None = None  # None: what is known of such cards
    cards: int | None = None  # of its kind on the machine; None: as many as it takes
    warm: bool | None = False  # its compile cache is filled; None: if it was in all boots
    launched: bool = False  # by Dyno, so that no variable is set which is not told


def make_plan(question: Question, *, grid: bool = False) -> Plan:
    """What was asked, what people would change about it, and the largest that fits.

    InputError for an architecture whose shape is not known.
    """
    model = question.model
    if not model.caches:
        raise InputError(unknown_shape(model))
    asked = candidate(question, "as asked", question.args)
    less, changes = _less(question, asked), _changes(question)
    others = [candidate(question, name, _changed(question, change).args)
              for name, change in (*changes, *_smaller(question, changes))]  # fmt: skip
    asked, others = _under_load(question, asked, others)
    offload, cells = size_offload(asked.setup, question.host), _grid(asked) if grid else ()
    notes = (*question.notes, *_notes(question, asked), *_kept(question, less), *_said(question, asked))
    return Plan(model, question.card, question.host, (asked, *others), _largest(_at(question, less), asked), offload,
                cells, len(question.boots), notes)  # fmt: skip


def unknown_shape(model: ModelSpec) -> str:
    """Why nothing is said of a model, and of which something would be."""
    known = known_architectures()
    near = nearest(model.architecture, known)
    there = "" if model.architecture in known else f"{near}; it knows {', '.join(known)}"
    return f"{model.source}: {model.unknown}, and it does not guess{there}"


def _under_load(question: Question, asked: Candidate, others: Sequence[Candidate]) -> tuple[Candidate, list[Candidate]]:
    """All of them with what they would do, held to the limits; the others in their order."""
    known = question.calibration or generic(question.card)
    if question.card is not None or known.fitted_on:
        if question.demand is not None:
            expected = Expected(question.demand, known)
            asked = with_latency(asked, expected)
            off = asked.latency.off if asked.latency else {}
            others = [with_latency(each, expected, off) for each in others]
        asked, *others = (within(each, question.limits, known) for each in (asked, *others))
    return asked, rank(others)


def _said(question: Question, asked: Candidate) -> tuple[str, ...]:
    """Limits that nothing could be said of, and what a figure of speed rests on, or why there is none."""
    known = question.calibration or generic(question.card)
    if asked.rejected:
        return ()
    if question.demand is None:
        return unchecked(asked, question.limits, known)
    if asked.latency is None:
        where = question.card.name if question.card else "vLLM's CPU engine"
        return (f"no latency: {where} was not measured yet, and nothing general is known of it; no limit on speed is "
                "checked; name a study or points that were measured there (--observed)",)  # fmt: skip
    return (*unchecked(asked, question.limits, known), *_rests(asked, known))


def _rests(asked: Candidate, known: Calibration) -> tuple[str, ...]:
    if asked.setup.offload_bytes:
        return ("latencies are those without KV offloading: what it brings depends on what prompts share",)
    if not known.fitted_on:
        rests = f"{len(known.constants_on)} points measured on one H200" if known.constants_on else "what is published"
        return (f"latencies rest on {rests}: no point of this machine was measured yet (a study, or --observed)",)
    return ()


def _notes(question: Question, asked: Candidate) -> tuple[str, ...]:
    """What a figure of memory leaves out, or depends on that was not told."""
    model, notes = question.model, []
    if model.multimodal and not model.stored:
        notes.append("weights and activations of its image or audio encoder are not in these figures: only its headers "
                     "tell")  # fmt: skip
    with_it, without = (kept_bytes(asked.setup.supposing(drawn), cold=True) for drawn in (True, False))
    if with_it > without and not question.boots:
        notes.append(f"with FlashInfer's sampler, vLLM's default, {format_bytes(with_it - without)} more are in use "
                     "than without it; which it is was not told: --set VLLM_USE_FLASHINFER_SAMPLER=1 or 0")  # fmt: skip
    if asked.setup.kv_dtype != "auto" and question.args.flag("kv_cache_dtype") in (None, "auto"):
        notes.append(f"the checkpoint has scales for a KV cache in {asked.setup.kv_dtype}, which vLLM takes by itself")
    return tuple(notes)


def candidate(question: Question, name: str, args: EngineArgs) -> Candidate:
    """One configuration with what it takes and what is against it."""
    setup, memory = _predicted(question, args)
    setup = fitted(setup, memory)
    reasons = list(reasons_against(setup, memory, question.host))
    if question.cards and setup.tensor_parallel > question.cards:
        reasons.append(f"tensor_parallel_size {setup.tensor_parallel}: the machine has {question.cards} of these cards")
    host_bytes = ENGINE_BYTES if setup.card else memory.weights_bytes + memory.kv_cache_bytes + memory.other_bytes
    taken = {"vram": memory.device_used_bytes, "ram": host_bytes + setup.offload_bytes}
    reasons += [f"limit {limit.name} {format_bytes(limit.bound)}: {format_bytes(taken[limit.name])} would be in use, "
                f"{format_bytes(taken[limit.name] - limit.bound)} too much"
                for limit in question.limits if taken.get(limit.name, 0) > limit.bound]  # fmt: skip
    return Candidate(name, args, setup, memory, tuple(reasons))


def _predicted(question: Question, args: EngineArgs) -> tuple[Setup, Memory]:
    setup = resolve(question.model, args, question.release, question.card)
    setup = setup.supposing(True) if question.launched else setup
    return setup, predict_memory(setup, question.boots, question.host, warm=question.warm)


def _changes(question: Question) -> list[_Change]:
    """The changes that make sense here: not what was asked already, nor what the card or the release has not."""
    setup, memory = _predicted(question, question.args)
    found = _usual(question, setup)
    longest = kv_cache.longest(setup, memory.first_kv_cache_bytes)
    if 0 < longest < setup.max_model_len:
        found.append((f"{longest} tokens", (("max_model_len", longest),)))
    wanted = min(setup.max_model_len, longest_len(question.model, question.release))
    told = any(question.args.flag(name) is not None for name in _SHARES)
    if longest < wanted and setup.card and not told:
        found.append((f"{_FULLER:g} of the card", (("gpu_memory_utilization", _FULLER),)))
    if memory.kv_cache_bytes <= 0 and (number := _cards(question)):
        found.append((f"{number} cards", (("tensor_parallel_size", number),)))
    return found


def _usual(question: Question, setup: Setup) -> list[_Change]:
    found: list[_Change] = []
    fp8 = question.card is not None and question.card.capability >= (8, 9)
    for name, change in CHANGES.items():
        key, value = change[0]
        if question.args.flag(key) is not None or (question.card is None and key != "max_num_seqs"):
            continue
        if key == "quantization":
            if question.model.quantized or not fp8:
                continue
            value = "fp8_per_tensor" if question.release >= (0, 31) else value
        if key == "kv_cache_dtype" and (not fp8 or setup.kv_dtype != "auto"):
            continue
        found.append((name, ((key, value),)))
    return found


@dataclass(frozen=True, slots=True)
class _Less:
    """A limit on the card's memory that is missed, and the largest share of the card that keeps it, 0 for none.

    The share is the plan's to give where neither it nor the KV cache's size was `told`.
    """

    limit: Limit
    share: float
    told: bool

    @property
    def change(self) -> _Flags:
        """What keeps the limit; nothing where no share does, or a person gave one."""
        return (("gpu_memory_utilization", self.share),) if self.share and not self.told else ()


def _less(question: Question, asked: Candidate) -> _Less | None:
    """A share of the card, in hundredths, with which what is in use keeps the limit even where the plan errs."""
    missed = [
        limit for limit in question.limits if limit.name == "vram" and asked.memory.device_used_bytes > limit.bound
    ]
    if not missed or any(question.args.flag(name) is not None for name in _SHARES[1:]):
        return None
    limit = min(missed, key=lambda each: each.bound)

    def keeps(hundredths: int) -> bool:
        memory = with_share(hundredths)
        return memory.device_used_bytes + memory.device_spread_bytes <= limit.bound

    def with_share(hundredths: int) -> Memory:
        return _predicted(question, _changed(question, (("gpu_memory_utilization", hundredths / 100),)).args)[1]

    hundredths = kv_cache.largest(keeps, int(100 * asked.setup.utilization))
    share = hundredths / 100 if hundredths and with_share(hundredths).kv_cache_bytes > 0 else 0.0
    return _Less(limit, share, question.args.flag(_SHARES[0]) is not None)


def _at(question: Question, less: _Less | None) -> Question:
    """The same question of the share that keeps a limit, where there is one to give."""
    return question if less is None else _changed(question, less.change)


def _changed(question: Question, change: _Flags) -> Question:
    return replace(question, args=question.args.overlay(EngineArgs(question.args.model, change)))


def _smaller(question: Question, changes: Sequence[_Change]) -> list[_Change]:
    """What was asked and every change that misses a limit, with the share that keeps it and, if need be, a length."""
    found = []
    for name, change in (("", ()), *changes):
        tried = _changed(question, change)
        less = _less(tried, candidate(tried, name, tried.args))
        if less is None or not less.change:
            continue
        setup, memory = _predicted(question, _at(tried, less).args)
        names, change = [name, f"{less.share:g} of the card"], (*change, *less.change)
        length = kv_cache.longest(setup, memory.first_kv_cache_bytes)
        if 0 < length < setup.max_model_len and not setup.auto_fit:
            names, change = [*names, f"{length} tokens"], (*change, ("max_model_len", length))
        found.append((", ".join(filter(None, names)), change))
    return found


def _kept(question: Question, less: _Less | None) -> tuple[str, ...]:
    """Which share keeps a limit that is missed, and of which one the largest are told."""
    if less is None:
        return ()
    limit = f"limit {less.limit.name} {format_bytes(less.limit.bound)}"
    if not less.share:
        return (f"{limit}: no gpu_memory_utilization keeps it and leaves a KV cache",)
    if not less.told:
        return (f"{limit}: gpu_memory_utilization {less.share:g} keeps it, and the largest is told of that",)
    question = _at(question, replace(less, told=False))
    setup, memory = _predicted(question, question.args)
    length = kv_cache.longest(setup, memory.first_kv_cache_bytes)
    return (f"{limit}: gpu_memory_utilization {less.share:g} would keep it, max_model_len up to {length:,}",)


def _cards(question: Question) -> int:
    """The fewest cards that hold what one does not, 0 where so many are not there or the flag was given."""
    card = question.card
    if card is None or "Laptop" in card.name or question.args.flag("tensor_parallel_size") is not None:
        return 0
    split = ((number, _changed(question, (("tensor_parallel_size", number),)).args)
             for number in _SPLITS if number <= (question.cards or _SPLITS[-1]))  # fmt: skip
    return next((number for number, args in split if not candidate(question, "", args).rejected), 0)


def _largest(question: Question, asked: Candidate) -> Largest:
    """By bisection over the same predictions; sequences of the length that was asked for, else of the longest."""

    def fits(**changes: FlagValue) -> bool:
        return not candidate(question, "", _changed(question, tuple(changes.items())).args).rejected

    def sequences(number: int) -> bool:
        batched = dict(question.args.flags).get("max_num_batched_tokens")
        room = {} if isinstance(batched, int) and batched >= number else {"max_num_batched_tokens": max(2048, number)}
        return fits(max_num_seqs=number, max_model_len=min(longest, asked.setup.max_model_len), **room)

    longest = kv_cache.largest(lambda length: fits(max_model_len=length),
                               longest_len(question.model, question.release))  # fmt: skip
    most = kv_cache.largest(sequences, MOST_SEQUENCES) if longest else 0
    return Largest(longest, most, _predicted(question, question.args)[0].utilization)


def _grid(asked: Candidate) -> tuple[Cell, ...]:
    """Lengths by powers of two, by requests at once: what their KV cache needs and whether it is there."""
    setup, memory = asked.setup, asked.memory
    longest = min(_LONGEST_ROW, longest_len(setup.model, setup.release))
    lengths = [min(_SHORTEST_ROW, longest)]
    while lengths[-1] * 2 <= longest:
        lengths.append(lengths[-1] * 2)
    cells = []
    for length in lengths:
        one = kv_cache.needed_bytes(replace(setup, max_model_len=length), length)
        usable = kv_cache.usable_bytes(setup, memory.kv_cache_bytes)
        cells += [Cell(length, number, one * number, one * number <= usable) for number in GRID_CONCURRENCY]
    return tuple(cells)
