"""The in-flight file: what one process writes while another reads, and what a kill in mid-write leaves."""

import os
import signal
import struct
from itertools import count, islice
from mmap import mmap

from batchrun.checkpoint import rings
from batchrun.checkpoint.inflight import InFlight


def write_without_end(path):
    """A worker that starts and ends rows as fast as it can, each with its number for a start."""
    worker = InFlight(path)
    for row in count(1):
        worker.start(0, row, float(row), 1, bytes(16))
        worker.hold(0, row, float(row), threads=False)
        worker.let_go(0)
        worker.clear(0)


def test_a_row_is_never_seen_with_the_start_of_another(tmp_path):
    with InFlight(tmp_path / "inflight", 1) as cells:
        if not (worker := os.fork()):
            write_without_end(cells.path)
        try:
            seen = list(islice(filter(None, (cells.running(0) for _ in count())), 50_000))
            held = list(islice(filter(None, (cells.holder(0) for _ in count())), 50_000))
        finally:
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
    assert [row for row in seen if row.started != row.position] == []
    assert [row for row in held if row.since != row.position] == []


def test_a_ring_whose_writer_was_killed_between_an_entry_and_the_zero_behind_it_is_read_and_goes_on():
    room = rings.LEAST
    with mmap(-1, rings.size_of(room)) as file:
        entries = [row << 16 | 1 for row in range(1, room + 2)]
        struct.pack_into(f"<{room + 1}q", file, 0, *entries)
        found, full = rings.starts_in(bytes(file))
        assert sorted(found) == [(row, 1) for row in range(1, room + 2)]
        assert full
        rings.Ring(file, 0, room).add(99, 2)
        assert rings.starts_in(bytes(file))[0][-1] == (99, 2)
