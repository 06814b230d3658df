"""vLLM's V1 scheduler as discrete events: what it does between two changes of the batch is one jump.

vllm/v1/core/sched/scheduler.py and vllm/v1/engine/core.py of 0.26 and 0.32: running requests first, each with the rest
of the token budget; then waiting ones, first come first served, whose whole prompt must find blocks; the last one in
is thrown out when blocks run short, and computed again. With async scheduling two steps are under way: one is put
together and launched once the one before the last is through, so that what comes later waits a step longer, and only
then the last one's tokens are looked at. An API server that is sent many requests at once works on all of them in
turns: none is through before most of the work for all is done. Every answer that it streams takes its turn as well.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf

from dyno.predict.demand import Demand
from dyno.predict.roofline import Costs

# Of the server's work for requests that come together, what is done before the first of them is through: of 64 that
# start together on an H200's host, 8 at most are in the first step, and most of the others in the next.
_IN_TURNS = 0.85
_GOLDEN = 0.618033988749895  # of whose multiples any few in a row are spread evenly


@dataclass(frozen=True, slots=True)
class Engine:
    """What the scheduler may hand out. `blocks_of` is how many blocks a request of some length holds.

    `front_s` lies between a client and the scheduler, and `turn_s` more for every answer that is being streamed;
    `front_varies` is by how much, as a share of it, that way is longer or shorter each time. `admit_s` is the API
    server's time for a request, of which no other can have any; `prompt_s` what it takes, for every token of the
    prompt, to send the first of the answer. Of several `api_servers` one has a request whole.
    """

    max_num_batched_tokens: int
    max_num_seqs: int
    blocks: int
    block_size: int
    blocks_of: Callable[[int], int]
    front_s: float
    admit_s: float
    prompt_s: float = 0.0
    turn_s: float = 0.0
    prefix_caching: bool = True
    front_varies: float = 0.0
    api_servers: int = 1


@dataclass(frozen=True, slots=True)
class Served:
    """When each request was sent, had its first token and its last; seconds. `computed` are tokens, again ones too."""

    sent_s: tuple[float, ...]
    first_s: tuple[float, ...]
    last_s: tuple[float, ...]
    preemptions: int
    computed: int


@dataclass(slots=True)
class _Cohort:
    """Requests that decode in step: tokens in the cache, tokens left to generate."""

    members: list[int]
    context: int
    left: int
    shared: int = 0  # blocks of each that others hold


@dataclass(slots=True)
class _Prompt:
    """A request that is not computed as far as it has tokens: `target` of them, `left` to generate after."""

    index: int
    target: int
    left: int
    computed: int = 0
    hit: int = 0


@dataclass(slots=True)
class _State:
    demand: Demand
    engine: Engine
    costs: Costs
    now: float = 0.0
    seen_s: float = 0.0  # when the next step is put together: what comes later waits for the one after
    server_free_s: float = 0.0
    next_request: int = 0
    done: int = 0
    preemptions: int = 0
    computed: int = 0
    untold_first: list[int] = field(default_factory=list)  # requests whose first, whose last token is there
    untold_last: list[int] = field(default_factory=list)
    arriving: deque[tuple[float, int]] = field(default_factory=deque)
    waiting: deque[_Prompt] = field(default_factory=deque)
    running: list[_Prompt] = field(default_factory=list)  # prompts of which a part is computed
    cohorts: list[_Cohort] = field(default_factory=list)
    cached: set[int] = field(default_factory=set)
    sent: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)


def simulate(demand: Demand, engine: Engine, costs: Costs) -> Served:
    """Serve all requests. Every request must fit the engine alone (`largest_request`)."""
    number = len(demand.requests)
    state = _State(demand, engine, costs, sent=[0.0] * number, first=[0.0] * number, last=[0.0] * number)
    _send(state, demand.clients or 0, 0.0)
    while state.done < number:
        _arrive(state)
        if not (state.waiting or state.running or state.cohorts):
            _tell(state, state.now)
            _wake(state)
        elif chunks := _schedule(state):
            _mixed_step(state, chunks)
        elif state.cohorts:
            _decode(state)
    _tell(state, state.now)
    return Served(tuple(state.sent), tuple(state.first), tuple(state.last), state.preemptions, state.computed)


def _send(state: _State, number: int, at_s: float) -> None:
    """The next requests go out, together."""
    number = min(number, len(state.demand.requests) - state.next_request)
    begins_s = max(at_s, state.server_free_s)
    together_s = number * state.engine.admit_s / state.engine.api_servers
    through_s = begins_s + _IN_TURNS * max(together_s, state.engine.admit_s)
    varied = 1 + state.engine.front_varies * (2 * ((0.5 + _GOLDEN * state.next_request) % 1) - 1)
    front_s = varied * (state.engine.front_s + _decoding(state) * state.engine.turn_s)
    for index in range(state.next_request, state.next_request + number):
        state.sent[index] = at_s
        through_s += (1 - _IN_TURNS) * max(together_s, state.engine.admit_s) / number
        state.arriving.append((through_s + front_s, index))
    state.next_request += number
    state.server_free_s = begins_s + together_s


def _wake(state: _State) -> None:
    """An idle engine puts the next step together when a request arrives, and launches it at once."""
    state.seen_s = max(state.seen_s, _upcoming_s(state))
    state.now = max(state.now, state.seen_s + (state.costs.host_s if state.costs.asynchronous else 0.0))


def _sending_s(state: _State) -> float:
    """When the next request of an open loop is sent: never, where there is none."""
    requests, following = state.demand.requests, state.next_request
    return requests[following].at_s if state.demand.clients is None and following < len(requests) else inf


def _upcoming_s(state: _State) -> float:
    """When the next request arrives or is sent."""
    return min(_sending_s(state), state.arriving[0][0] if state.arriving else inf)


def _arrive(state: _State) -> None:
    while (at_s := _sending_s(state)) <= state.seen_s:
        _send(state, 1, at_s)
    while state.arriving and state.arriving[0][0] <= state.seen_s:
        index = state.arriving.popleft()[1]
        asked = state.demand.requests[index]
        state.waiting.append(_Prompt(index, asked.input_len, asked.output_len))


def _held(state: _State) -> int:
    blocks_of = state.engine.blocks_of
    held = sum((blocks_of(cohort.context) - cohort.shared) * len(cohort.members) for cohort in state.cohorts)
    return held + sum(blocks_of(prompt.target) - _shared(state, prompt) for prompt in state.running)


def _shared(state: _State, prompt: _Prompt) -> int:
    return prompt.hit // state.engine.block_size


def _decoding(state: _State) -> int:
    return sum(len(cohort.members) for cohort in state.cohorts)


def _schedule(state: _State) -> list[tuple[_Prompt, int]]:
    """The pieces of prompts in the next step. Room for a token of every request that decodes is made first."""
    preempted = _make_room(state, 1)
    decoding = _decoding(state)
    budget = state.engine.max_num_batched_tokens - decoding
    chunks: list[tuple[_Prompt, int]] = []
    for prompt in state.running:
        take = min(prompt.target - prompt.computed, budget)
        if take > 0:
            chunks.append((prompt, take))
            budget -= take
    if preempted or not state.waiting:
        return chunks
    free = state.engine.blocks - _held(state) - _growth(state, 1)
    while state.waiting and budget > 0 and decoding + len(state.running) < state.engine.max_num_seqs:
        prompt = state.waiting[0]
        _look_up(state, prompt)
        needed = state.engine.blocks_of(prompt.target) - _shared(state, prompt)
        if needed > free:
            break
        state.waiting.popleft()
        state.running.append(prompt)
        take = min(prompt.target - prompt.computed, budget)
        chunks.append((prompt, take))
        budget -= take
        free -= needed
    return chunks


def _look_up(state: _State, prompt: _Prompt) -> None:
    """Whole blocks of a beginning that an earlier request computed need not be computed again; the last token must."""
    asked = state.demand.requests[prompt.index]
    if state.engine.prefix_caching and asked.prefix is not None and asked.prefix in state.cached:
        size = state.engine.block_size
        prompt.hit = min(asked.prefix_len, prompt.target - 1) // size * size
        prompt.computed = prompt.hit


def _growth(state: _State, steps: int) -> int:
    blocks_of = state.engine.blocks_of
    return sum(len(cohort.members) * (blocks_of(cohort.context + steps) - blocks_of(cohort.context))
               for cohort in state.cohorts)  # fmt: skip


def _make_room(state: _State, steps: int) -> bool:
    """Throws out the last request in until all others have their next block. True when one was."""
    thrown = False
    while state.cohorts and _held(state) + _growth(state, steps) > state.engine.blocks:
        if not _throw_out(state):
            break
        thrown = True
    return thrown


def _throw_out(state: _State) -> bool:
    if state.running:
        prompt = state.running.pop()
        state.waiting.appendleft(_Prompt(prompt.index, prompt.target, prompt.left))
    elif _decoding(state) > 1:
        cohort = state.cohorts[-1]
        index = cohort.members.pop()
        state.waiting.appendleft(_Prompt(index, cohort.context, cohort.left))
        if not cohort.members:
            state.cohorts.pop()
    else:
        return False
    state.preemptions += 1
    return True


def _mixed_step(state: _State, chunks: Sequence[tuple[_Prompt, int]]) -> None:
    """One step with pieces of prompts beside the requests that decode."""
    decoding = _decoding(state)
    prompts = sum(take for _, take in chunks)
    attention = state.costs.read_s((len(cohort.members), cohort.context) for cohort in state.cohorts)
    attention += sum(state.costs.chunk_s(take, prompt.computed) for prompt, take in chunks)
    finished = [prompt for prompt, take in chunks if prompt.computed + take >= prompt.target]
    tokens, requests = decoding + prompts, decoding + len(chunks)
    card_s = state.costs.card_s(tokens, decoding + len(finished), requests, attention)
    host_s = state.costs.launch_s(tokens, requests, prompts=True)
    state.computed += prompts
    _tell(state, state.seen_s + host_s)
    _pass(state, card_s, host_s, 1)
    for prompt, take in chunks:
        prompt.computed += take
    ended = _step_cohorts(state, 1)
    if finished:
        state.running = [prompt for prompt in state.running if prompt.computed < prompt.target]
        ended += _begin_decoding(state, finished)
    _finish(state, ended)


def _begin_decoding(state: _State, finished: Sequence[_Prompt]) -> list[int]:
    """Prompts that are computed have their first token with this step, or the next one where they were thrown out.

    Those whose answer is one token end with it.
    """
    ended = []
    grown: dict[tuple[int, int, int], _Cohort] = {}
    for prompt in finished:
        asked = state.demand.requests[prompt.index]
        if asked.prefix is not None:
            state.cached.add(asked.prefix)
        if prompt.left == asked.output_len:
            state.untold_first.append(prompt.index)
        left = prompt.left - 1
        if left <= 0:
            ended.append(prompt.index)
            continue
        key = (prompt.target, left, _shared(state, prompt))
        if key not in grown:
            grown[key] = _Cohort([], *key)
            state.cohorts.append(grown[key])
        grown[key].members.append(prompt.index)
    return ended


def _decode(state: _State) -> None:
    """As many steps as change nothing: until an answer ends, a request arrives or blocks run short."""
    decoding = _decoding(state)
    _tell(state, state.seen_s + state.costs.launch_s(decoding, decoding))
    steps = min(cohort.left for cohort in state.cohorts)
    steps = _before_blocks_run_short(state, steps)
    card_s, host_s = _step_s(state, steps)
    upcoming_s = _upcoming_s(state)
    if upcoming_s < inf:
        each_s = max(card_s, host_s) if state.costs.asynchronous else card_s + host_s
        ahead = state.costs.asynchronous and card_s > host_s
        reached = ceil((upcoming_s - state.now) / each_s) + ahead if each_s else 1
        if reached < steps:
            steps = max(1, reached)
            card_s, host_s = _step_s(state, steps)
    _pass(state, card_s, host_s, steps)
    _finish(state, _step_cohorts(state, steps))


def _step_s(state: _State, steps: int) -> tuple[float, float]:
    """The card's and the host's time for one of so many steps of decoding, each a token longer: for the middle one."""
    half = (steps - 1) / 2
    decoding = _decoding(state)
    attention = state.costs.read_s((len(cohort.members), cohort.context + half) for cohort in state.cohorts)
    return state.costs.card_s(decoding, decoding, decoding, attention), state.costs.launch_s(decoding, decoding)


def _before_blocks_run_short(state: _State, steps: int) -> int:
    free = state.engine.blocks - _held(state)
    if _growth(state, steps) <= free:
        return steps
    low, high = 1, steps
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _growth(state, middle) <= free else (low, middle - 1)
    return low


def _pass(state: _State, card_s: float, host_s: float, steps: int) -> None:
    """So many steps, of so many seconds each, pass.

    With async scheduling the host is a step ahead and no further: it puts a step together once the one before the last
    is through.
    """
    if not state.costs.asynchronous:
        state.now += steps * (card_s + host_s)
        state.seen_s = state.now
        return
    launched_s, each_s = state.seen_s + host_s, max(card_s, host_s)
    before_s, state.now = state.now, max(state.now + card_s, launched_s) + (steps - 1) * each_s
    if steps > 1:
        before_s, launched_s = state.now - each_s, (state.now if host_s > card_s else 0.0)
    state.seen_s = max(before_s, launched_s)


def _step_cohorts(state: _State, steps: int) -> list[int]:
    """Every request that decodes has so many tokens more; those whose answer is whole."""
    state.computed += steps * _decoding(state)
    ended: list[int] = []
    for cohort in state.cohorts:
        cohort.context += steps
        cohort.left -= steps
        if cohort.left <= 0:
            ended += cohort.members
    if ended:
        state.cohorts = [cohort for cohort in state.cohorts if cohort.left > 0]
    return ended


def _finish(state: _State, ended: Sequence[int]) -> None:
    state.done += len(ended)
    state.untold_last += ended


def _tell(state: _State, launched_s: float) -> None:
    """Clients have the tokens of the last step, and who has an answer sends the next request.

    With async scheduling the engine looks at a step's tokens once the next one is launched. The API server goes through
    a whole prompt before it sends the first token of its answer.
    """
    told_s = max(state.now, launched_s) if state.costs.asynchronous else state.now
    for index in state.untold_first:
        state.first[index] = told_s + state.demand.requests[index].input_len * state.engine.prompt_s
    for index in state.untold_last:
        state.last[index] = max(told_s, state.first[index])
    if state.untold_last and state.demand.clients is not None:
        _send(state, len(state.untold_last), told_s)
    state.untold_first, state.untold_last = [], []
