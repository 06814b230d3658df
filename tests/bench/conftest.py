"""Servers that live as long as a test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.bench.scripted import Script, ScriptedServer, playing


@pytest.fixture
def play() -> Iterator[Callable[[Script], ScriptedServer]]:
    """`play(script)` starts a server."""
    with ExitStack() as servers:
        yield lambda script: servers.enter_context(playing(script))
