"""Several processes make one load: who sends what, and that nothing is lost or averaged."""

import pytest
from tests.bench.scripted import completion, refusal

from dyno.bench.fleet import drive_shares, shares
from dyno.bench.http import encode_get, parse_url
from dyno.bench.load import measure
from dyno.bench.loadgen import Pace
from dyno.bench.record import Load, Target
from dyno.bench.reduce import helpers_cpu_s
from dyno.bench.spool import Spool, spooled
from dyno.errors import DynoError

REQUESTS = [b"%d" % number for number in range(23)]
SPOOLS = [Spool() for _ in range(10)]
NOWHERE = parse_url("http://127.0.0.1:9")


@pytest.mark.parametrize("processes", [1, 2, 3, 10])
def test_each_request_and_each_client_belongs_to_one_process(processes) -> None:
    dealt = shares(NOWHERE, spooled(b"head ", REQUESTS), Pace(10), SPOOLS[:processes], b"probe")
    assert sorted(index for share in dealt for index in share.indices) == list(range(23))
    assert all([*share.requests] == [b"head " + REQUESTS[index] for index in share.indices] for share in dealt)
    clients = [share.pace.clients for share in dealt]
    assert (sum(clients), max(clients) - min(clients) <= 1) == (10, True)
    assert [share.probe for share in dealt] == [b"probe", *[None] * (processes - 1)]


def test_deadlines_go_with_their_requests() -> None:
    dealt = shares(NOWHERE, spooled(b"", REQUESTS), Pace(4, range(0, 2300, 100)), SPOOLS[:2], None)
    assert all(share.pace.offsets_ns == tuple(100 * index for index in share.indices) for share in dealt)


def test_more_processes_than_clients_are_refused() -> None:
    with pytest.raises(ValueError, match="3 processes cannot share 2 clients"):
        shares(NOWHERE, spooled(b"", REQUESTS), Pace(2), SPOOLS[:3], None)


@pytest.mark.parametrize("more", [{}, {"arrival": "constant", "rate": 500}])
def test_their_records_are_pooled_in_the_order_of_the_load(play, more) -> None:
    server = play(lambda request: refusal(503, "busy") if len(server.posts) == 9 else completion(request))
    before, told = helpers_cpu_s(), []
    load = Load(4, 24, 8, 5, seed=1, **more)
    seen = measure(Target(server.url, "m"), load, None, lambda *so_far: told.append(so_far), processes=2).records
    assert (len(seen.outcomes), seen.errors) == (24, {"HTTP 503": 1})
    assert seen.content_counts.sum() == 23 * 5
    assert len({request.body["prompt"] for request in server.posts}) == 25
    assert told[-1] == (24, 24)
    assert helpers_cpu_s() > before


def test_a_server_that_is_not_there_ends_all_of_them() -> None:
    with pytest.raises(DynoError, match=r"http://127.0.0.1:9: connection refused; is the server running"):
        drive_shares(shares(NOWHERE, spooled(b"", REQUESTS), Pace(4), SPOOLS[:2], None), None)


def test_an_error_of_the_watcher_ends_all_of_them(play) -> None:
    def stop(done: int, _: int) -> None:
        raise KeyError(done)

    endpoint = parse_url(play(lambda _: ["hang"]).url)
    with pytest.raises(KeyError):
        drive_shares(shares(endpoint, spooled(encode_get(endpoint, "/"), [b""] * 4), Pace(4), SPOOLS[:2], None), stop)
