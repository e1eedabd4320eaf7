"""Plain functions: the loop that is written out says of every row what the shared functions say of it."""

import ctypes
import fcntl
import os
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchrun
from batchrun.checkpoint.inflight import InFlight
from batchrun.engine.deal import Deal
from batchrun.engine.slate import Slate, new_slate
from batchrun.engine.wire import Frames, SheetFrame, unpack_plain
from batchrun.engine.worker import slate_writer
from batchrun.engine.worker.attempt import attempt, finisher
from batchrun.engine.worker.desk import Desk, TypedDeal
from batchrun.engine.worker.enough import Enough
from batchrun.engine.worker.lifeline import mark_of_this_process
from batchrun.engine.worker.one_by_one import one_by_one
from batchrun.engine.worker.service import Service
from batchrun.engine.worker.slate_writer import SlateWriter
from batchrun.engine.worker_setup import Limits


def counting(_row):
    batchrun.count_tokens(3, 4)
    return {"a": 1}


def deep(_row):
    value = []
    value.append(value)
    return {"a": value}


def task(row):
    """Ends as its row says."""
    return ENDS[row["end"]](row)


def raising(error):
    def end(_row):
        raise error

    return end


ENDS = {
    "dict": lambda row: {"double": row["end"] * 2},
    "null": lambda _: {"a": None, "b": "null"},
    "lost": lambda _: {"a": float("nan"), "b": 1},
    "number": lambda _: 7,
    "list": lambda _: [1, {"a": 2}],
    "text": lambda _: 'so: {"a": 1}',
    "nothing": lambda _: None,
    "large": lambda _: {"a": "x" * 400_000},
    "tokens": counting,
    "cycle": deep,
    "fails": raising(ValueError("no")),
    "exits": raising(SystemExit(3)),
    "skips": raising(batchrun.Skip("why")),
    "busy": raising(batchrun.RetryLater(5)),
}


class Printed:
    """Lines without an end, and for which rows they were ended."""

    def __init__(self):
        self.unfinished = ({}, {})
        self.ended = []

    def end(self, row):
        self.ended.append(row)


@contextmanager
def a_worker(folder, function=task, limits=Limits()):  # noqa: B008 - immutable
    """A worker's service and cell; `heard` reads what it has said."""
    inbox, inbox_end = os.pipe()
    outbox_end, outbox = os.pipe()
    fcntl.fcntl(outbox, fcntl.F_SETPIPE_SZ, 1 << 20)  # nobody reads while the worker writes
    os.set_blocking(outbox_end, False)
    fd = new_slate()
    slate = SlateWriter(Slate(fd), inbox, outbox)
    finish = finisher("auto", strict=False, accept_truncated=False)
    ours = mark_of_this_process()

    def heard():
        said = b"".join(iter(lambda: _read(outbox_end), b""))
        messages = list(Frames(unpack_plain).feed(said))
        return [reply for some in messages for reply in (some.replies() if type(some) is SheetFrame else [some])]

    with InFlight(folder / "own", 1) as own, InFlight(folder / "own") as cells:
        service = Service(function, finish, cells, bool, outbox, Printed(), ours, Enough(limits), slate)
        yield SimpleNamespace(service=service, slate=slate, cell=cells.cell(0, 0), own=own, heard=heard, fd=fd)
    for end in (inbox, inbox_end, outbox_end, outbox, fd):
        os.close(end)


def _read(fd):
    try:
        return os.read(fd, 1 << 20)
    except BlockingIOError:
        return b""


def dealt(ends, first=0, stop=None, batch=1):
    rows = [end if isinstance(end, Exception) else {"end": end} for end in ends][first:stop]
    return TypedDeal(batch, 2, True, range(first + 1, first + 1 + len(rows)), [bytes(16)] * len(rows), rows)


def on_slate(worker):
    sheet = Slate(worker.fd).sheet()
    return sheet.replies() if sheet else []


def said(replies):
    """All but how long it took, and where in which file it went wrong."""
    return [(reply._replace(seconds=0.0, error=reply.error and reply.error[:4])) for reply in replies]


@settings(max_examples=30)
@given(st.lists(st.sampled_from([*ENDS, ValueError("a cell no longer fits")]), max_size=12))
def test_every_end_of_a_row_is_told_as_a_single_attempt_tells_it(tmp_path_factory, ends):
    with a_worker(tmp_path_factory.mktemp("worker")) as worker:
        expected = [attempt(task, row, worker.service.finish, 0.0) for row in dealt(ends).rows()]
        replies = []
        for nth in range(len(ends)):
            one_by_one(worker.service, worker.slate, worker.cell, dealt(ends, nth, nth + 1))
            replies += worker.heard()
            worker.own.resume()
        worker.slate.send()
        assert said([*replies, *worker.heard()]) == said(expected)
        assert worker.own.running(0) is None


def test_a_row_is_in_its_cell_while_it_runs_and_on_the_slate_before_the_next_one(tmp_path):
    seen = []

    def looking(row):
        seen.append((worker.own.running(0).position, len(on_slate(worker))))
        return row

    with a_worker(tmp_path, function=looking) as worker, patch.object(slate_writer, "SEND_SECONDS", 60.0):
        one_by_one(worker.service, worker.slate, worker.cell, dealt(["dict"] * 3))
    assert seen == [(1, 0), (2, 1), (3, 2)]


def test_a_line_without_an_end_is_ended_before_the_row_is_told(tmp_path):
    def printing(row):
        worker.service.output.unfinished[1][2] = "a line"
        return row

    with a_worker(tmp_path, function=printing) as worker:
        one_by_one(worker.service, worker.slate, worker.cell, dealt(["dict"]))
        assert worker.service.output.ended == [1]


def test_rows_that_were_called_back_do_not_start(tmp_path):
    with a_worker(tmp_path) as worker:
        worker.own.recall(0, 1)
        one_by_one(worker.service, worker.slate, worker.cell, dealt(["dict"] * 3))
        assert (worker.heard(), on_slate(worker)) == ([], [])
        one_by_one(worker.service, worker.slate, worker.cell, dealt(["dict"] * 3, batch=2))
        worker.slate.send()
        assert len(worker.heard()) == 3


def test_a_worker_that_has_had_enough_starts_no_further_row(tmp_path):
    with a_worker(tmp_path, limits=Limits(rows=2)) as worker:
        one_by_one(worker.service, worker.slate, worker.cell, dealt(["dict"] * 5))
        worker.slate.send()
        assert [reply.position for reply in worker.heard()] == [1, 2]


@pytest.mark.parametrize("fork", [os.fork, lambda: ctypes.CDLL(None).fork()], ids=["by Python", "by a library"])
@pytest.mark.parametrize("end", ["returns", "raises"])
def test_only_the_process_that_got_a_row_speaks_for_it(tmp_path, fork, end):
    def forking(row):
        children.append(fork())
        if end == "raises" and not children[-1]:
            raise ValueError
        return row

    children = []
    with a_worker(tmp_path, function=forking) as worker:
        one_by_one(worker.service, worker.slate, worker.cell, dealt(["dict"] * 2))
        ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        worker.slate.send()
        assert (ended, [reply.outcome for reply in worker.heard()]) == ([0, 0], ["done", "done"])


@pytest.mark.parametrize("columns", [[], [["1", "2", "x"]]], ids=["none", "one with a cell that no longer fits"])
def test_a_row_is_typed_or_says_why_it_cannot_be_and_may_have_no_columns(columns):
    desk = Desk()
    desk.deals(("table", ["a"][: len(columns)], ["int"][: len(columns)], (), 0, 1))
    (deal,) = desk.deals(("rows", 1, [Deal(range(1, 4), 1, bytes(48), columns).for_worker()]))
    *fit, last = deal.cells
    assert fit == ([{"a": 1}, {"a": 2}] if columns else [{}, {}])
    assert "no longer fits" in str(last) if columns else last == {}
