"""The in-flight file: what one process writes while another reads, and what a kill in mid-write leaves."""

import os
import signal
from array import array
from contextlib import contextmanager
from itertools import count, islice
from threading import Thread

from batchrun.checkpoint import rings
from batchrun.checkpoint.inflight import HEADER_SIZE, MAGIC, InFlight, left_behind


@contextmanager
def while_another(works, path):
    """Meanwhile another process works on the file, row after row without end."""
    if not (other := os.fork()):
        cells = InFlight(path)
        cell = cells.cell(0, 0)
        for row in count(1):
            works(cells, cell, row)
    try:
        yield
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


def start_and_end(cells, cell, row):
    """A row with its number for a start."""
    cell.mark(row, float(row), 1, bytes(16))
    cells.hold(0, row, float(row), threads=False)
    cells.let_go(0)
    cell.clear()


def test_a_row_is_never_seen_with_the_start_of_another(tmp_path):
    with InFlight(tmp_path / "inflight", 1) as cells, while_another(start_and_end, cells.path):
        seen = list(islice(filter(None, (cells.running(0) for _ in count())), 50_000))
        held = list(islice(filter(None, (cells.holder(0) for _ in count())), 50_000))
    assert [row for row in seen if row.started != row.position] == []
    assert [row for row in held if row.since != row.position] == []


def test_a_recall_is_never_seen_undone_while_a_later_one_is_written(tmp_path):
    many = 1 << 40
    with InFlight(tmp_path / "inflight", 1) as cells:
        cells.recall(0, many)
        cell = cells.cell(0, 0)
        with while_another(lambda it, _, later: it.recall(0, many + later), cells.path):
            assert not any(cell.begin(many, 1, 1.0, 1, bytes(16)) for _ in range(300_000))


def test_a_row_that_lets_no_other_start_is_seen_running_all_the_while(tmp_path):
    with InFlight(tmp_path / "inflight", 1) as cells:
        cells.cell(0, 0).mark(7, 1.0, 1, bytes(16))
        with while_another(lambda _, cell, __: cell.halt(), cells.path):
            assert all(cells.running(0) for _ in range(300_000))


def test_a_file_that_has_grown_is_written_and_read_as_before(tmp_path):
    with InFlight(tmp_path / "inflight", 1) as cells:
        cells.cell(0, 0).mark(7, 1.0, 1, bytes(16))
        cells.grow(3)
        cells.cell(2, 2).mark(8, 2.0, 3, b"f" * 16)
        assert [cells.running(cell) for cell in range(3)] == [(1.0, 1, bytes(16), 7), None, (2.0, 3, b"f" * 16, 8)]


def test_a_ring_whose_writer_was_killed_between_an_entry_and_the_zero_behind_it_is_read_and_goes_on():
    room = rings.LEAST
    words = memoryview(array("q", [row << 16 | 1 for row in range(1, room + 2)]))
    found, full = rings.starts_in(bytes(words))
    assert sorted(found) == [(row, 1) for row in range(1, room + 2)]
    assert full
    rings.Ring(words, 0, room).add(99, 2)
    assert rings.starts_in(bytes(words))[0][-1] == (99, 2)


def may_start(path, gone=bool):
    with InFlight(path) as worker:
        return worker.cell(0, 0, gone).begin(1, 1, 1.0, 1, bytes(16))


def test_nothing_starts_once_the_coordinator_has_been_killed(tmp_path):
    path, (heard, said) = tmp_path / "inflight", os.pipe()
    if not (coordinator := os.fork()):
        InFlight(path, 1)
        os.write(said, b"+")
        signal.pause()
    os.read(heard, 1)
    while_it_lives = may_start(path)
    os.kill(coordinator, signal.SIGKILL)
    os.waitpid(coordinator, 0)
    assert (while_it_lives, may_start(path)) == (True, False)


def test_nothing_starts_once_the_coordinator_is_done_and_another_run_of_it_may(tmp_path):
    path = tmp_path / "inflight"
    for _ in range(2):
        with InFlight(path, 1):
            assert may_start(path)
        assert not may_start(path)


def test_a_coordinator_in_a_thread_that_may_end_before_the_process_is_asked_in_another_way(tmp_path):
    path = tmp_path / "inflight"
    thread = Thread(target=InFlight, args=(path, 1))
    thread.start()
    thread.join()
    assert may_start(path)
    assert not may_start(path, gone=lambda: True)


def test_what_a_run_of_an_earlier_version_has_left_is_read(tmp_path):
    with InFlight(tmp_path / "inflight", 2) as file:
        cell = file.cell(1, 0)
        cell.begin(1, 7, 1.0, 2, b"f" * 16)
        data = file.path.read_bytes()
        now = left_behind(file.path)
    before = tmp_path / "before"
    before.write_bytes(data[:64].replace(MAGIC, b"batchrun inflight 2\n") + data[HEADER_SIZE:])
    assert left_behind(before) == now
    assert (now.rows(), now.started[1]) == ({7}, ([(7, 2)], False))
