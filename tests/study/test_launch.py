"""What the machine did to a test, as a launch takes it."""

import numpy as np
import pytest
from made import ENGINE, journal
from tests.hardware.replay import samples

from dyno.study.journal import append, read_journal
from dyno.study.launch import Launch, Session
from dyno.study.schedule import LaunchPlan

BUSY = {"host__busy_s": 1.9, "host__idle_s": 0.0}
HOT = {"card__clock_reasons": np.full(61, 0x40)}


@pytest.fixture
def launch(tmp_path):
    """A launch in a study's folder, and the notes it left there."""
    made, spec = journal(())
    append(tmp_path, made.study)
    plan = LaunchPlan(3, 1, "screen", None, "eager", ("throughput",), 1, 1)
    session = Session(tmp_path, spec, ENGINE, 4096, 1, None)
    return Launch(session, plan, made.study.candidates[1], lambda *_: None), lambda: read_journal(tmp_path).notes


def test_a_hot_card_voids_a_test_and_others_work_on_the_host_is_noted(launch):
    (reason,) = launch[0].machine_reasons("throughput", samples(**BUSY, **HOT))
    assert reason.startswith("the card slowed")
    (note,) = launch[1]()
    assert note.startswith("Launch 3, throughput: other processes took 0.79 of a processor")
