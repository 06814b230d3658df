"""A server behind TLS, measured from end to end."""

from pathlib import Path

import pytest
from tests.bench.scripted import completion, playing

from dyno.bench.load import measure
from dyno.bench.record import Load, Target
from dyno.errors import DynoError

CERTIFICATE = Path(__file__).parents[1] / "data" / "loopback.pem"  # of nobody but 127.0.0.1, its own authority
LOAD = Load(concurrency=2, num_requests=6, input_len=40, output_len=5, seed=1)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_server_that_a_named_authority_vouches_for_is_measured(processes, monkeypatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    with playing(completion, CERTIFICATE) as server:
        seen = measure(Target(server.url, "m", api_key_env="SOME_KEY"), LOAD, None, processes=processes).records
        assert {request.headers["authorization"] for request in server.posts} == {"Bearer sk-secret"}
    assert (seen.completed.sum(), seen.content_counts.tolist()) == (6, [5] * 6)


def test_a_server_that_nobody_vouches_for_gets_no_request(monkeypatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with playing(completion, CERTIFICATE) as server:
        with pytest.raises(DynoError, match="TLS failed"):
            measure(Target(server.url, "m"), LOAD, None)
        assert server.posts == []
