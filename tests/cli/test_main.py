"""Signals that ask to stop."""

import subprocess
import sys

import pytest

READING = """
import asyncio, os, signal
import uvloop
from dyno.cli import main

class Reader(asyncio.Protocol):
    def data_received(self, data):
        os.kill(os.getpid(), signal.%s)

async def load():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Reader, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"x")
    await asyncio.sleep(20)
    print("not stopped")

def run(words):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(load())
        except KeyboardInterrupt:
            return 130

main.run = run
main.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_that_comes_while_a_token_is_read_stops_the_load(name):
    done = subprocess.run([sys.executable, "-c", READING % name], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (130, "")
    assert "Fatal error" not in done.stderr


def test_in_the_background_ctrl_c_changes_nothing_and_a_signal_to_stop_still_does():
    meant_for_another = READING.replace(
        "data_received(self, data):", "data_received(self, data):\n        os.kill(os.getpid(), signal.SIGINT)"
    )
    words = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c"]
    both = subprocess.run([*words, meant_for_another % "SIGTERM"], capture_output=True, text=True, timeout=60)
    assert (both.returncode, both.stdout) == (130, "")
    ended = READING.replace("sleep(20)", "sleep(0.1)") % "SIGINT"
    alone = subprocess.run([*words, ended], capture_output=True, text=True, timeout=60)
    assert alone.stdout == "not stopped\n"
