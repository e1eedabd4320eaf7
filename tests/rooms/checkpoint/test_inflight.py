"""The in-flight file: what one process writes while another reads, and what a kill in mid-write leaves."""

import os
import signal
from array import array
from contextlib import contextmanager
from itertools import count, islice

from batchrun.checkpoint import rings
from batchrun.checkpoint.inflight import InFlight


@contextmanager
def while_another(works, path):
    """Meanwhile another process works on the file, row after row without end."""
    if not (other := os.fork()):
        cells = InFlight(path)
        for row in count(1):
            works(cells, row)
    try:
        yield
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


def start_and_end(cells, row):
    """A row with its number for a start."""
    cells.start(0, row, float(row), 1, bytes(16))
    cells.hold(0, row, float(row), threads=False)
    cells.let_go(0)
    cells.clear(0)


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
        with while_another(lambda it, later: it.recall(0, many + later), cells.path):
            assert not any(cells.may_start(0, many) for _ in range(300_000))


def test_a_row_that_lets_no_other_start_is_seen_running_all_the_while(tmp_path):
    with InFlight(tmp_path / "inflight", 1) as cells:
        cells.start(0, 7, 1.0, 1, bytes(16))
        with while_another(lambda it, _: it.halt(0), cells.path):
            assert all(cells.running(0) for _ in range(300_000))


def test_a_file_that_has_grown_is_written_and_read_as_before(tmp_path):
    with InFlight(tmp_path / "inflight", 1) as cells:
        cells.start(0, 7, 1.0, 1, bytes(16))
        cells.grow(3)
        cells.start(2, 8, 2.0, 3, b"f" * 16)
        assert [cells.running(cell) for cell in range(3)] == [(1.0, 1, bytes(16), 7), None, (2.0, 3, b"f" * 16, 8)]


def test_a_ring_whose_writer_was_killed_between_an_entry_and_the_zero_behind_it_is_read_and_goes_on():
    room = rings.LEAST
    words = memoryview(array("q", [row << 16 | 1 for row in range(1, room + 2)]))
    found, full = rings.starts_in(bytes(words))
    assert sorted(found) == [(row, 1) for row in range(1, room + 2)]
    assert full
    rings.Ring(words, 0, room).add(99, 2)
    assert rings.starts_in(bytes(words))[0][-1] == (99, 2)
