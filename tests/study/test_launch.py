"""What the machine did to a test, as a launch takes it."""

import pytest
from made import ENGINE, journal
from tests.hardware.replay import samples

from dyno.study.journal import append, read_journal
from dyno.study.launch import Launch, Session
from dyno.study.schedule import LaunchPlan

BUSY = {"host__busy_s": 1.9, "host__idle_s": 0.0}


@pytest.fixture
def launch(tmp_path, request):
    """A launch in a study's folder, and the notes it left there."""
    made, spec = journal((), shared_host=request.param)
    append(tmp_path, made.study)
    plan = LaunchPlan(3, 1, "screen", None, "eager", ("throughput",), 1, 1)
    session = Session(tmp_path, spec, ENGINE, 4096, 1, None)
    return Launch(session, plan, made.study.candidates[1], lambda *_: None), lambda: read_journal(tmp_path).notes


@pytest.mark.parametrize("launch", [False], indirect=True)
def test_others_work_on_the_host_voids_a_test(launch):
    (reason,) = launch[0].host_reasons("ttft", samples(**BUSY))
    assert reason.startswith("other processes took 0.79 of a processor")
    assert launch[1]() == ()


@pytest.mark.parametrize("launch", [True], indirect=True)
def test_on_a_host_that_is_always_shared_it_is_noted_where_it_decides_most(launch):
    assert (
        launch[0].host_reasons("throughput", samples(**BUSY)) == launch[0].host_reasons("ttft", samples(**BUSY)) == ()
    )
    (note,) = launch[1]()
    assert note.startswith("Launch 3, throughput: other processes took 0.79 of a processor")
