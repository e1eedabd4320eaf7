"""The slate: what stands on it is what was put there, whatever happens to the one who wrote it."""

import fcntl
import os
import signal
from contextlib import suppress
from itertools import cycle
from types import SimpleNamespace
from unittest.mock import patch

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchrun.engine.deal import Deal
from batchrun.engine.events import Finished
from batchrun.engine.local.held_rows import HeldRows
from batchrun.engine.local.lane import Lane
from batchrun.engine.local.pace import Absence, Pace
from batchrun.engine.local.pipes import Pipes
from batchrun.engine.slate import MOST_ROWS, SIZE, TEXT_SIZE, Slate, new_slate
from batchrun.engine.wire import Frames, Reply, pack_plain, unpack_plain
from batchrun.engine.worker import slate_writer
from batchrun.engine.worker.slate_writer import SlateWriter
from batchrun.engine.worker_setup import WorkerSetup

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
RESULTS = st.lists(JSON.map(orjson.dumps), min_size=1, max_size=20)


@pytest.fixture(autouse=True, scope="module")
def unhurried():
    """A sheet is sent when it is full, or when a test says so, however slow the machine is."""
    with patch.object(slate_writer, "SEND_SECONDS", 60.0):
        yield


@pytest.fixture
def slate():
    """A descriptor of a new slate, and what is on it for the one who looks."""
    fd = new_slate()
    yield fd, Slate(fd)
    os.close(fd)


@pytest.fixture
def pipe():
    """Two ends; nothing is read while the test writes, so it must write little."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def written(fd, position, text, seconds=1e-6):
    """What a worker does when a row has ended."""
    assert SlateWriter(Slate(fd), 0, 1).keep(position, 0.0, seconds, text)


@given(RESULTS)
def test_results_come_from_the_slate_byte_for_byte(bodies):
    fd = new_slate()
    worker, coordinator = SlateWriter(Slate(fd), 0, 1), Slate(fd)
    os.close(fd)
    for position, body in enumerate(bodies, 5):
        assert worker.keep(position, 0.0, 1e-6, body)
    assert [(reply.position, reply.body, reply.raw, reply.how) for reply in coordinator.sheet().replies()] == [
        (position, body, None, "value") for position, body in enumerate(bodies, 5)
    ]


@given(
    st.lists(
        st.tuples(JSON.map(orjson.dumps), st.none() | st.text(), st.sampled_from(["json", "fence", "text"])), min_size=1
    )
)
def test_replies_and_how_results_were_found_in_them_come_with_the_results(rows):
    inbox, outbox = os.pipe()
    fd = new_slate()
    writer = SlateWriter(Slate(fd), inbox, outbox)
    for position, (body, raw, how) in enumerate(rows, 1):
        assert writer.take(Reply(position, "done", 0.0, body, raw, how))
    sheet = Slate(fd).sheet()
    for end in (fd, inbox, outbox):
        os.close(end)
    assert sheet.is_whole()
    assert [reply[3:6] for reply in sheet.replies()] == rows


def test_what_is_on_the_slate_outlives_the_one_who_wrote_it(slate):
    fd, coordinator = slate
    child = os.fork()
    if child == 0:
        written(fd, 7, b'{"a":1}')
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [(reply.position, reply.body) for reply in coordinator.sheet().replies()] == [(7, b'{"a":1}')]


def test_a_sheet_that_was_sent_is_no_longer_on_the_slate_and_was_counted(slate, pipe):
    fd, coordinator = slate
    writer = SlateWriter(Slate(fd), pipe[0], pipe[1])
    writer.take(Reply(3, "done", 0.001, b"1", None, "value"))
    assert coordinator.sheets == 0
    writer.send_if_idle()
    assert coordinator.sheets == 1
    assert coordinator.sheet() is None
    (heard,) = Frames(unpack_plain).feed(os.read(pipe[0], 1 << 16))
    assert heard.number == 0
    assert heard.replies() == [Reply(3, "done", 0.001, b"1", None, "value")]


def test_a_row_that_took_long_is_a_sheet_of_its_own(slate, pipe):
    fd, coordinator = slate
    SlateWriter(Slate(fd), pipe[0], pipe[1]).take(Reply(3, "done", 61.0, b"1", None, "value"))
    assert coordinator.sheets == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(1, "skipped", 0.0, note="why"),
        Reply(1, "failed", 0.0, error=("exception", "no", None, None, None)),
        Reply(1, "done", 0.0, b"1", None, "value", "a note"),
        Reply(1, "done", 0.0, b"1", None, "value", tokens=(1, 2, 0, 0)),
        Reply(1, "done", 0.0, b'"%b"' % (b"x" * TEXT_SIZE), None, "value"),
    ],
    ids=["skipped", "failed", "with a note", "with tokens", "too large"],
)
def test_whatever_does_not_fit_a_sheet_travels_by_itself(slate, pipe, reply):
    fd, coordinator = slate
    assert not SlateWriter(Slate(fd), pipe[0], pipe[1]).take(reply)
    assert coordinator.sheet() is None


def test_a_full_slate_is_sent(slate, pipe):
    fd, coordinator = slate
    writer = SlateWriter(Slate(fd), pipe[0], pipe[1])
    large = b'"%b"' % (b"x" * (TEXT_SIZE // 2))
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 1 << 20)
    writer.take(Reply(1, "done", 0.0, b"1", None, "value"))
    writer.take(Reply(2, "done", 0.0, b'"a reply"', "a reply", "json"))  # of another kind
    assert coordinator.sheets == 1
    assert [reply.position for reply in coordinator.sheet().replies()] == [2]
    assert writer.keep(3, 0.0, 1e-6, large)
    assert not writer.keep(4, 0.0, 1e-6, b"x" * TEXT_SIZE)
    assert coordinator.sheet() is None


def test_no_more_rows_fit_than_there_are_places(slate, pipe):
    fd, coordinator = slate
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 1 << 20)
    writer = SlateWriter(Slate(fd), *pipe)
    for position in range(MOST_ROWS):
        assert writer.keep(position, 0.0, 1e-6, b"1")
    assert coordinator.sheet().numbers() == list(range(MOST_ROWS))
    assert writer.keep(MOST_ROWS, 0.0, 1e-6, b"1")
    assert (coordinator.sheets, coordinator.sheet().numbers()) == (1, [MOST_ROWS])


def test_a_row_that_writes_to_every_descriptor_hurts_no_slate(slate):
    fd, coordinator = slate
    written(fd, 1, b"1")
    for way in (lambda: os.write(fd, b"junk"), lambda: os.ftruncate(fd, 0), lambda: os.ftruncate(fd, SIZE * 2)):
        with suppress(OSError):
            way()
    assert os.fstat(fd).st_size == SIZE
    assert [reply.body for reply in coordinator.sheet().replies()] == [b"1"]


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(1, 2**40)), max_size=8), st.integers(1, 50))
def test_bytes_between_frames_are_passed_over(parts, size):
    replies = [Reply(position, "done", 0.0, b"1", None, "value") for _, position in parts]
    data = b"".join(junk + pack_plain(reply) for (junk, _), reply in zip(parts, replies, strict=True))
    frames = Frames(unpack_plain)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert [message for piece in pieces for message in frames.feed(piece)] == replies


def test_a_sheet_that_was_changed_on_its_way_is_refused(slate):
    fd, coordinator = slate
    written(fd, 1, b'"abc"')
    frame = pack_plain(coordinator.sheet())
    with pytest.raises(ValueError, match="unreadable frame"):
        list(Frames(unpack_plain).feed(frame.replace(b"abc", b"abd")))


class Watched:
    """A coordinator's look at pipes and slate, before each part of which the worker does some `steps` more."""

    def __init__(self, worker, steps):
        self._steps = cycle(steps)
        self.pipes = Pipes()
        _, self.outbox, _, fd = self.pipes.theirs
        self.its = Slate(fd)
        self.done = []
        self._worker = worker(self)
        seen, hear_out, step = self.pipes.slate, self.pipes.hear_out, self.step

        class Looks:
            @property
            def sheets(self):
                step()
                return seen.sheets

            def sheet(self):
                step()
                return seen.sheet()

        self.pipes.slate = Looks()
        self.pipes.hear_out = lambda: (step(), *hear_out())[1:]

    def step(self):
        self.work(next(self._steps))

    def work(self, steps):
        for _ in range(steps):
            next(self._worker, None)


def working(plan):
    """A worker that ends rows (True) and sends sheets (False), as `SlateWriter` does, one step at a time."""

    def worker(watched):
        slate = watched.its
        writer = SlateWriter(slate, 0, 1)
        for row_ends in plan:
            if row_ends:
                watched.done.append(len(watched.done) + 1)
                writer.keep(watched.done[-1], 0.0, 1e-6, b"1")
            elif sheet := slate.sheet():
                os.write(watched.outbox, pack_plain(sheet))
                yield
                slate._head[0] += 1
                yield
                slate._head[1] = 0
                writer._rows = writer._end = 0
            yield

    return worker


def told_by(events):
    ends = [event.ends if isinstance(event, Finished) else event.singly().ends for event in events]
    return [ticket.position for some in ends for ticket, _ in some]


@settings(max_examples=500)
@example([True, False], 1, [0, 0, 3])  # a sheet is sent between the look into the pipe and that at the slate
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 9), st.lists(st.integers(0, 4), min_size=3))
def test_what_was_done_when_the_coordinator_began_to_look_is_told_once_whatever_the_worker_does(plan, at, steps):
    watched = Watched(working(plan), steps)
    setup = WorkerSetup("repair", "inflight", strict=False, accept_truncated=False)
    lane = Lane(0, setup, None, Absence())
    lane.worker = SimpleNamespace(pipes=watched.pipes)
    lane.rows = HeldRows(0, Pace())
    lane.rows.give([Deal(range(1, 31), 1, bytes(16 * 30), [])])
    try:
        watched.work(at)
        done = list(watched.done)
        told = told_by(lane.pull())
        assert set(done) <= set(told)
        watched.work(4 * len(plan))
        told += told_by(lane.pull())
        assert sorted(told) == watched.done
    finally:
        watched.pipes.close()
