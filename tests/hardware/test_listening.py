"""Which process serves an address."""

import socket
import subprocess
import sys

from dyno.hardware.listening import listener
from dyno.hardware.sampler import UNSEEN

SERVE = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"


def test_a_process_that_listens_on_this_host_is_found():
    with subprocess.Popen([sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        port = int(server.stdout.readline())
        assert listener("localhost", port) == listener("127.0.0.1", port) == server.pid
        server.communicate(b"\n")


def test_an_address_here_that_nobody_is_seen_to_serve_is_unseen():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert listener("127.0.0.1", bound.getsockname()[1]) == UNSEEN


def test_another_host_and_this_very_process_are_no_engine_here():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert listener("127.0.0.1", server.getsockname()[1]) is None
    assert listener("192.0.2.1", 8000) is None
    assert listener("nobody.invalid", 8000) is None
