"""Rows that hurt others in ways of their own, where many rows share one worker."""

import gc
import os
import resource
import select
import signal
import time
import traceback
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support import batchrun, count_settled, lines_of, numbered, records, settled, start, wait_for

from batchrun.core.descriptors import A_LANE, BESIDES
from batchrun.core.money import Prices
from batchrun.engine.deal import Deal, Ticket
from batchrun.engine.events import Finished, Returned, TimedOut
from batchrun.engine.local.lanes import Lanes
from batchrun.engine.seam import Rows
from batchrun.engine.wire import Reply
from batchrun.engine.worker_setup import WorkerSetup
from batchrun.errors import StoppedError
from batchrun.run.allowance import Allowance
from batchrun.run.backlog import Backlog
from batchrun.run.bucket import Bucket
from batchrun.run.retry import after_refusal

TASKS = '''
import asyncio, contextvars, ctypes, os, time
import batchrun
from tasks import note

SEEN = contextvars.ContextVar("seen", default=0)

async def setting(row):
    """Each row sets a variable of its context, and must not find another's."""
    before = SEEN.get()
    SEEN.set(row["id"])
    await asyncio.sleep(0.01)
    return {"before": before, "after": SEEN.get()}

async def leaving(row):
    """Row 5 ends, and leaves a task behind that blocks the loop for ever."""
    async def block():
        await asyncio.sleep(0.2)
        while True:
            pass
    if row["id"] == 5:
        globals()["kept"] = asyncio.create_task(block())
    else:
        await asyncio.sleep(0.5)
    return {"double": row["id"] * 2}

async def calling(row):
    """Row 5 blocks the loop in a callback, not in its coroutine."""
    if row["id"] == 5:
        asyncio.get_running_loop().call_later(0.1, time.sleep, 1000)
        await asyncio.sleep(1000)
    await asyncio.sleep(0.3)
    return {"double": row["id"] * 2}

def deadly():
    time.sleep(0.05)
    ctypes.string_at(0)

async def threading_(row):
    """Row 5 dies in a thread, while the others take the event loop in turns."""
    if row["id"] == 5:
        await asyncio.to_thread(deadly)
    for _ in range(20):
        until = time.perf_counter() + 0.003
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)
    return {"double": row["id"] * 2}

async def cancelling(row):
    """The first row cancels every other task of its loop: most have not begun."""
    if row["id"] == 1:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
    await asyncio.sleep(0.01)
    return {"double": row["id"] * 2}

def close_pipes():
    for fd in range(900, 1100):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("pipe"):
                os.close(fd)
        except OSError:
            pass

async def closing(row):
    if row["id"] == 5:
        close_pipes()
    await asyncio.sleep(0.02)
    return {"double": row["id"] * 2}

def closing_in_a_thread(row):
    if row["id"] == 5:
        close_pipes()
    time.sleep(0.02)
    return {"double": row["id"] * 2}

async def dying_later(row):
    """Row 1 ends, and leaves a task behind that ends the worker; row 2 sleeps there, and returns when it runs again."""
    note(row)
    if row["id"] == 1:
        async def die():
            while not os.path.exists("die"):
                await asyncio.sleep(0.005)
            os._exit(7)
        globals()["kept"] = asyncio.create_task(die())
    elif not os.path.exists("slept"):
        os.mkdir("slept")
        await asyncio.sleep(1000)
    return {"double": row["id"] * 2}

def overrunning(row):
    """Row 1 runs for too long, and ends the worker once nobody waits for it any more."""
    note(row)
    while row["id"] != 1 or not os.path.exists("die"):
        time.sleep(0.005)
    os._exit(7)

async def paying(row):
    batchrun.count_tokens(prompt=10)
    await asyncio.sleep(1000 if row["id"] == 2 else 0)
    return {"a": 1}

def stuck(row):
    note(row)
    time.sleep(1000 if row["id"] <= 2 else 0)
    return {}
'''


@pytest.fixture
def folder(folder):
    (folder / "hurting.py").write_text(TASKS)
    return folder


def process(folder, task, *options, rows=40):
    table = numbered(folder / "data.csv", rows)
    command = ("process", table, "--task", f"hurting.py:{task}", "--retries", 0, "--json")
    ran = batchrun(*command, *options, cwd=folder)
    return records(ran.stdout)[-1], settled(table, task)


def test_what_an_async_row_sets_in_its_context_is_not_seen_by_the_row_that_its_end_starts(folder):
    _, found = process(folder, "setting", "--jobs", 4)
    assert found == {row: (1, {"before": 0, "after": row}) for row in range(1, 41)}


def test_a_task_that_a_finished_row_has_left_behind_cannot_block_the_loop_for_ever(folder):
    done, _ = process(folder, "leaving", "--jobs", 20, "--timeout", 1)
    assert (done["done"], done["timed_out"]) == (40, 0)


def test_a_callback_that_blocks_the_loop_is_charged_to_its_row_and_no_other(folder):
    done, found = process(folder, "calling", "--jobs", 10, "--timeout", 1, rows=10)
    assert (done["done"], done["timed_out"]) == (9, 1)
    assert found[5][0] == 3


def test_a_row_that_dies_in_a_thread_is_charged_and_not_the_one_that_had_the_loop(folder):
    done, found = process(folder, "threading_", "--jobs", 20, rows=20)
    assert (done["done"], done["crashed"]) == (19, 1)
    assert found[5][0] == 4


def test_rows_that_were_cancelled_before_they_began_fail_and_are_not_waited_for(folder):
    done, found = process(folder, "cancelling", "--jobs", 20)
    assert done["left"] == 0
    assert done["done"] + done["failed"] == 40
    assert found[1][0] == 1


def test_a_row_is_not_charged_for_what_a_finished_row_has_left_behind(folder):
    table = numbered(folder / "data.csv", 2)
    command = ("process", table, "--task", "hurting.py:dying_later", "--jobs", 1, "--retries", 0, "--json")
    run = start(*command, cwd=folder)
    wait_for(lambda: (folder / "slept").exists() and count_settled(table, "dying_later") == 1)
    (folder / "die").touch()
    stdout, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr
    assert records(stdout)[-1]["done"] == 2
    assert settled(table, "dying_later") == {1: (1, {"double": 2}), 2: (1, {"double": 4})}
    assert [line.split()[0] for line in lines_of(folder / "started")].count("2") == 2


@pytest.mark.parametrize("task", ["closing", "closing_in_a_thread"])
def test_a_worker_that_cannot_reply_any_more_ends_and_its_rows_run_again(folder, task):
    done, found = process(folder, task, "--jobs", 10, *["--threads", 5] * (task != "closing"))
    assert (done["done"], done["crashed"]) == (39, 1)
    assert found[5][0] == 4


def test_what_a_cancelled_attempt_had_used_is_counted(folder):
    done, _ = process(folder, "paying", "--jobs", 4, "--timeout", 1, "--price-in", 1, rows=4)
    assert (done["timed_out"], done["tokens"]["prompt"]) == (1, 40)


def engine(stack: ExitStack, folder: Path, task: str, slots: int, jobs: int = 1) -> Lanes:
    """One lane with so many slots, which has loaded the task; of a run with at least so many `jobs`."""
    setup = WorkerSetup(f"{folder}/hurting.py:{task}", str(folder / "inflight"), strict=False, accept_truncated=False)
    lanes = stack.enter_context(Lanes(max(slots, jobs), setup, folder / "inflight", lambda *_: None))
    lanes.start(1)
    wait_for(lambda: lanes.collect(0.1) and lanes.lanes[0].ready)
    lanes.prepare(Rows(("id",), ("int",), (), (), (slots,)))
    return lanes


def deal(row: int) -> Deal:
    return Ticket(row, 1, bytes(16), (str(row),)).alone()


def test_a_row_behind_threads_that_are_all_given_up_comes_back(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with ExitStack() as stack:
        lanes = engine(stack, folder, "stuck", slots=2)
        lane = lanes.lanes[0]
        lane.give([deal(1)])
        wait_for(lambda: len(lines_of(folder / "started")) == 1)
        time.sleep(0.2)
        lane.give([deal(2), deal(3)])
        wait_for(lambda: len(lines_of(folder / "started")) == 2)
        first, second = sorted(lane.running())
        # The first is over its limit, the second is not, and nothing seems to be held up yet.
        lane.rows.heard = first.started + 100
        lanes._clock.waited(first.started + 100, 100)  # it has waited so long, and has not stood still
        events = lanes.expire(first.started + 100, 100 - (second.started - first.started) / 2)
        lane.rows.heard = first.started + 200
        events += lanes.expire(first.started + 200, 1)
        assert {event.ticket.position for event in events if isinstance(event, TimedOut)} == {1, 2}
        assert [event.deals for event in events if isinstance(event, Returned)] == [(deal(3),)]
        assert not lanes.busy()


def test_a_row_within_its_limit_is_not_charged_for_a_thread_that_was_given_up(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with ExitStack() as stack:
        lanes = engine(stack, folder, "overrunning", slots=2)
        lane = lanes.lanes[0]
        lane.give([deal(1)])
        wait_for(lambda: len(lines_of(folder / "started")) == 1)
        lane.give([deal(2)])
        wait_for(lambda: len(lines_of(folder / "started")) == 2)
        first, second = sorted(lane.running())
        # The first is over its limit, the second is not, and nothing seems to be held up yet.
        lane.rows.heard = first.started + 100
        lanes._clock.waited(first.started + 100, 100)  # it has waited so long, and has not stood still
        events = lanes.expire(first.started + 100, 100 - (second.started - first.started) / 2)
        assert [event.ticket for event in events if isinstance(event, TimedOut)] == [deal(1).ticket(0)]
        (folder / "die").touch()
        died = wait_for(lambda: lanes.collect(0.1))
        assert died == [Returned(0, (deal(2),))]


def test_the_system_is_looked_at_once_to_end_every_lane(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with ExitStack() as stack:
        lanes = engine(stack, folder, "stuck", slots=1, jobs=3)
        lanes.start(3)
        wait_for(lambda: lanes.collect(0.1) and [lane.ready for lane in lanes.lanes] == [True] * 3)
        looks = []
        listed = os.listdir
        monkeypatch.setattr(os, "listdir", lambda path=".": looks.append(path) or listed(path))
        lanes.withdraw("kill")
        wait_for(lambda: lanes.collect(0.1) or not lanes.lanes)
        assert looks == ["/proc"]


def test_a_row_that_is_sent_again_does_not_pass_for_one_that_was_taken_back(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with ExitStack() as stack:
        lanes = engine(stack, folder, "leaving", slots=2)
        lane = lanes.lanes[0]
        lane.give([deal(1)])
        wait_for(lane.running)
        lanes.withdraw("recall")
        assert lane.rows.doubts == {1}
        wait_for(lambda: lanes.collect(0.1) and not lane.rows.sent)
        lane.give([deal(1)])  # its next attempt
        assert not lane.resolve([])
        assert lane.rows.sent.keys() == {1}


def test_a_row_whose_rest_is_over_does_not_make_the_run_spin_while_it_cannot_be_taken():
    backlog = Backlog(iter(()), 0)
    backlog.rest(deal(1).ticket(0), until=10.0)
    assert backlog.next_due(9.0, 5.0) == 1.0
    assert backlog.next_due(11.0, 5.0) == 5.0


def in_child(function):
    """Call it in a process of its own, which may lower for good what the system allows it."""
    pid = os.fork()
    if not pid:
        failed = True
        try:
            function()
            failed = False
        finally:
            if failed:
                traceback.print_exc()
            os._exit(failed)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def use_up_descriptors(stack: ExitStack) -> None:
    """Open as many files as are allowed to lanes for two rows, but for one."""
    gc.collect()  # what other tests have left open must not be closed meanwhile
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, files)
    resource.setrlimit(resource.RLIMIT_NOFILE, (BESIDES + 2 * A_LANE, files[1]))
    crowd = []
    with suppress(OSError):
        while True:
            crowd.append(os.dup(0))
    os.close(crowd.pop())
    for fd in crowd:
        stack.callback(os.close, fd)


def test_lanes_that_cannot_be_replaced_say_so_when_they_are_asked_to_be_more(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with ExitStack() as stack:
        lanes = engine(stack, folder, "closing", slots=1)
        use_up_descriptors(stack)
        os.kill(lanes.lanes[0].worker.pid, signal.SIGKILL)
        wait_for(lambda: lanes.collect(0.1) or not lanes.lanes)
        with pytest.raises(StoppedError, match="a worker cannot be started"):
            lanes.grow(2)
        with pytest.raises(StoppedError, match="a worker cannot be started"):
            lanes.collect(0.1)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_lanes_that_cannot_be_more_go_on_as_they_are(folder, monkeypatch):
    monkeypatch.chdir(folder)

    def grow_beyond_the_limit():
        with ExitStack() as stack:
            lanes = engine(stack, folder, "closing", slots=1)
            use_up_descriptors(ExitStack())  # for good
            resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[0],) * 2)
            with pytest.raises(StoppedError, match="a worker cannot be started"):
                lanes.grow(2)
            lanes.send([deal(1)])
            wait_for(lambda: [event for event in lanes.collect(0.1) if isinstance(event, Finished)])

    in_child(grow_beyond_the_limit)


def test_what_has_ended_is_told_before_it_is_said_that_a_further_lane_cannot_start(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with ExitStack() as stack:
        lanes = engine(stack, folder, "closing", slots=1, jobs=2)
        lanes.send([deal(1)])
        wait_for(lambda: select.select([lanes.lanes[0].worker.pipes.outbox], [], [], 1)[0])
        use_up_descriptors(stack)
        told = []
        with suppress(StoppedError):
            lanes.start(2)
        with pytest.raises(StoppedError, match="a worker cannot be started"):
            wait_for(lambda: told.extend(lanes.collect(0.1)))
        assert [event for event in told if isinstance(event, Finished)]


def test_a_row_that_must_run_alone_waits_for_the_end_of_a_pause_as_all_others_do():
    backlog = Backlog(iter(()), 0)
    backlog.set_aside(deal(1))
    backlog.pause(until=10.0)
    assert backlog.take_alone(9.0) == []
    assert backlog.take_alone(10.0) == [deal(1)]


def test_a_generous_tpm_hands_out_as_many_rows_as_it_has_tokens_for():
    generous, small = Allowance(tpm=Bucket(60e6, 0.0)), Allowance(tpm=Bucket(60.0, 0.0))
    assert generous.rows(0, 1.0) == 100
    assert small.rows(0, 10.0) == 1
    small.handed_out(1, 10.0)
    assert small.rows(0, 10.0) == 0


@pytest.mark.parametrize(("prices", "rows"), [(Prices(1, 1), 0), (Prices(0, 0), 1 << 30)])
def test_a_row_that_cost_nothing_does_not_let_all_others_loose(prices, rows):
    allowance = Allowance(prices=prices, most=1.0)
    allowance.ended(Reply(1, "done", 0.1, tokens=(0, 0, 0, 0)), 1.0)
    assert allowance.rows(1, 1.0) == rows


@pytest.mark.parametrize("wait", [0.0, -3.0])
def test_a_server_that_says_come_back_at_once_is_not_asked_without_a_pause(wait):
    assert after_refusal(0.0, 5, wait, 0.5) > 1
