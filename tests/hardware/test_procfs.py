"""What the kernel counts, from recorded files and from this machine."""

import os

import pytest

from dyno.hardware.procfs import (
    CpuUse,
    Process,
    available_bytes,
    parse_process,
    processor_time,
    read_process,
    read_processes,
    thread_waits,
    used_between,
    within,
)

STAT = b"""cpu  469083 6364 141191 715997 2782 0 2914 913 0 0
cpu0 200000 1000 70000 350000 1000 0 1400 500 0 0
cpu1 269083 5364 71191 365997 1782 0 1514 413 0 0
intr 1 2 3
"""
PROCESS = (b"3347 (VLLM::Worker (0) x) R 3284 3200 3200 0 -1 4194560 3463 57466 0 2 1913 87 3 7 20 0 41 0 661444 "
           b"5124096 965 18446744073709551615 0 0 0 0 0 0")  # fmt: skip


def process(pid: int, parent: int, cpu_s: float = 0.0) -> Process:
    return Process(pid, f"p{pid}", parent, cpu_s, 0)


def table(*processes: Process) -> dict[int, Process]:
    return {each.pid: each for each in processes}


def test_processor_time_is_of_the_processors_that_may_be_used():
    both, one = processor_time(STAT, {0, 1}), processor_time(STAT, {1})
    assert (both.busy_s, both.idle_s, both.steal_s) == (6166.38, 7187.79, 9.13)
    assert (one.busy_s, one.steal_s) == (3456.38, 4.13)


def test_a_process_is_read_whatever_its_name_and_with_the_children_it_collected():
    parsed = parse_process(PROCESS)
    assert (parsed.pid, parsed.name, parsed.parent) == (3347, "VLLM::Worker (0) x", 3284)
    assert (round(parsed.cpu_s, 2), parsed.rss_bytes) == (20.1, 965 * os.sysconf("SC_PAGE_SIZE"))


def test_available_memory_is_in_bytes():
    assert available_bytes(b"MemTotal: 10 kB\nMemFree: 1 kB\nMemAvailable:    4 kB\nBuffers: 2 kB\n") == 4096


def test_this_process_is_found_and_one_that_is_gone_is_none():
    here = read_processes()[os.getpid()]
    assert (here.parent, here.rss_bytes > 0) == (os.getppid(), True)
    assert read_process(2**22 + 1) is None


def test_a_tree_is_everybody_below():
    assert within(table(process(1, 0), process(2, 1), process(3, 2), process(4, 9)), [2]) == {2, 3}


def test_use_is_what_was_added_most_first():
    before = table(process(1, 0, 5), process(2, 1, 1))
    after = table(process(1, 0, 6), process(2, 1, 4), process(3, 1, 0.5), process(4, 1))
    assert used_between(before, after) == (CpuUse(2, "p2", 3), CpuUse(1, "p1", 1), CpuUse(3, "p3", 0.5))


def test_what_a_process_did_before_it_was_collected_is_not_use():
    before = table(process(1, 0, 0), process(2, 1, 10), process(3, 2, 100))
    after = table(process(1, 0, 112))
    assert used_between(before, after) == (CpuUse(1, "p1", 2),)


def schedstat(root, pid: int, thread: int, text: str) -> None:
    folder = root / str(pid) / "task" / str(thread)
    folder.mkdir(parents=True)
    (folder / "schedstat").write_text(text)


def test_waiting_for_a_processor_is_told_of_every_thread_without_what_waking_takes(tmp_path):
    schedstat(tmp_path, 7, 7, "5000000000 2000000000 1000\n")
    schedstat(tmp_path, 7, 8, "1000 10000 1000\n")
    assert thread_waits([7, 9], tmp_path) == {(7, 7): 1.98, (7, 8): 0.0}


@pytest.mark.parametrize("told", [None, "0 0 0\n"], ids=["no such file", "not counted"])
def test_a_kernel_that_does_not_count_waiting_tells_nothing(tmp_path, told):
    if told:
        schedstat(tmp_path, 7, 7, told)
    assert thread_waits([7], tmp_path) is None


def test_this_machines_own_waiting_is_read_or_known_to_be_untold():
    waits = thread_waits([os.getpid()])
    assert waits is None or (os.getpid(), os.getpid()) in waits
