"""`batchrun ctl`: a running job is told to run fewer rows at once, or more, to pause, to end; by its owner."""

import json
import os
import socket
import stat
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import (
    binary,
    booleans,
    builds,
    dictionaries,
    floats,
    integers,
    lists,
    none,
    recursive,
    text,
)
from support import batchrun, kill, lines_of, numbered, records, settled, start, wait_for

from batchrun.checkpoint.lock import held
from batchrun.checkpoint.places import places_of
from batchrun.cli.steering import request_of, running_place, steer
from batchrun.errors import UsageError
from batchrun.options.parsing import MOST_JOBS
from batchrun.outcome.status import statuses
from batchrun.run.remote import NotListening, Request, ask, controlled, request_in


@contextmanager
def answering(path, answer=lambda request: {"jobs": request.jobs}):
    """A run's side that does nothing but listen."""
    over = threading.Event()

    def loop(remote):
        while not over.wait(0.005):
            remote.heed(answer)

    with controlled(path) as remote:
        thread = threading.Thread(target=loop, args=(remote,))
        thread.start()
        try:
            yield remote
        finally:
            over.set()
            thread.join()


def test_a_request_arrives_as_it_was_made_and_so_does_the_answer(tmp_path):
    got = []

    def answer(request):
        got.append(request)
        return {"text": "機場", "n": 1}

    with answering(tmp_path / "a.sock", answer):
        for request in (Request(), Request(jobs=7), Request(paused=True), Request(paused=False, drain=True)):
            assert ask(tmp_path / "a.sock", request, 30) == {"text": "機場", "n": 1}
            assert got.pop() == request


@pytest.mark.parametrize("length", [1, 107, 108, 250, 1000])
def test_a_path_of_any_length_will_do(tmp_path, length):
    folder = tmp_path
    while len(os.fsencode(folder / "a.sock")) < length:
        folder = folder / ("d" * min(200, length))
    folder.mkdir(parents=True, exist_ok=True)
    with answering(folder / "a.sock"):
        assert ask(folder / "a.sock", Request(jobs=3), 30) == {"jobs": 3}
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["f", "n" * 200, "機" * 60])
def test_a_task_of_any_name_has_a_short_socket_of_its_own(name):
    sockets = {places_of(Path("data.csv"), None, task).socket.name for task in (name, f"{name}2")}
    assert len(sockets) == 2
    assert all(len(os.fsencode(found)) < 80 for found in sockets)


def test_only_the_owner_can_open_it(tmp_path):
    before = os.umask(0)
    try:
        with controlled(tmp_path / "a.sock"):
            assert stat.S_IMODE((tmp_path / "a.sock").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_what_a_killed_run_left_is_nobodys(tmp_path):
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "a.sock"))
    dead.close()
    with pytest.raises(NotListening):
        ask(tmp_path / "a.sock", Request(), 5)
    with answering(tmp_path / "a.sock"):
        assert ask(tmp_path / "a.sock", Request(jobs=1), 30) == {"jobs": 1}


def test_where_no_socket_can_be_made_the_run_goes_on(tmp_path):
    with controlled(tmp_path / "missing" / "a.sock") as remote:
        assert "a socket cannot be created" in remote.trouble
        remote.heed(lambda request: pytest.fail("nobody can have asked"))


NONSENSE = [
    b"\n",
    b"{}{}\n",
    b"[1]\n",
    b"null\n",
    b"\xff\xfe\n",
    b"x" * 5000,
    b"[" * 5000,
    b'{"a":' * 800 + b"\n",
    b"1" * 4095 + b"\n",
    *(
        b'{"jobs": %s}\n' % value
        for value in (
            b'"x"',
            b"0",
            b"-3",
            b"1.5",
            b"NaN",
            b"Infinity",
            b"1e400",
            b"true",
            b"[2]",
            b"1" * 4000,
            b"100001",
        )
    ),
    *(b'{"paused": %s}\n' % value for value in (b"0", b'"no"', b"{}")),
    *(b'{"drain": %s}\n' % value for value in (b"null", b"1", b'"false"')),
    b'{"sing": 1}\n',
    b'{"jobs": 1, "self": 2}\n',
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_answered_and_obeyed_by_nobody_and_others_are_heard_after_it(tmp_path, nonsense):
    obeyed = []
    with answering(tmp_path / "a.sock", lambda request: obeyed.append(request) or {}):
        assert "error" in json.loads(said(tmp_path / "a.sock", nonsense))
        assert ask(tmp_path / "a.sock", Request(jobs=2), 30) == {}
    assert obeyed == [Request(jobs=2)]


@given(
    binary()
    | builds(
        lambda value: json.dumps(value).encode() + b"\n",
        dictionaries(
            text(),
            recursive(
                none() | booleans() | integers() | floats() | text(),
                lambda more: lists(more) | dictionaries(text(), more),
            ),
        ),
    )
)
def test_a_request_is_one_that_makes_sense_or_none(asked):
    try:
        request = request_in(asked)
    except ValueError:
        return
    assert request.jobs is None or 1 <= request.jobs <= MOST_JOBS
    assert request.paused in (None, True, False)
    assert request.drain in (True, False)


def said(path, text):
    """What a run answers to this, whoever has sent it."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(30)
        line.connect(str(path))
        line.sendall(text)
        return line.recv(4096)


def test_a_thousand_callers_who_say_nothing_or_half_a_message_keep_nobody_from_being_heard(tmp_path):
    with answering(tmp_path / "a.sock"), ExitStack() as stack:
        for n in range(1000):
            line = stack.enter_context(socket.socket(socket.AF_UNIX))
            line.connect(str(tmp_path / "a.sock"))
            if n % 2:
                line.sendall(b'{"jobs": ')
        assert wait_for(lambda: answered(tmp_path / "a.sock", Request(jobs=2))) == {"jobs": 2}


def answered(path, request):
    """The answer; None where too many wait to be heard for one more to join them."""
    with suppress(NotListening):
        return ask(path, request, 30)


@pytest.mark.parametrize("answer", [b"", b"x\n", b"[]\n", b"{}\n", b"\xff\n", b"x" * 100_000, b'{"error": {}}\n'])
def test_what_is_no_answer_of_a_run_is_told_as_an_error(tmp_path, answer):
    places = replace(places_of(tmp_path / "data.csv", None, "task"), folder=tmp_path)
    with held(places.lock, "fail"), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(places.socket))
        listener.listen()

        def serve():
            caller, _ = listener.accept()
            with caller, suppress(OSError):
                caller.recv(4096)
                caller.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(UsageError):
            steer(places, Request(), 0.5)
        thread.join()


def test_a_caller_that_says_nothing_or_hangs_up_holds_nobody_up(tmp_path):
    with answering(tmp_path / "a.sock"), socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as half:
        silent.connect(str(tmp_path / "a.sock"))
        half.connect(str(tmp_path / "a.sock"))
        half.sendall(b'{"jobs": ')
        with socket.socket(socket.AF_UNIX) as gone:
            gone.connect(str(tmp_path / "a.sock"))
            gone.sendall(b'{"jobs": 5}\n')
        assert ask(tmp_path / "a.sock", Request(jobs=2), 30) == {"jobs": 2}
        half.settimeout(30)
        half.sendall(b"4}\n")
        assert json.loads(half.recv(100)) == {"jobs": 4}


def test_a_run_that_does_not_answer_is_not_waited_for_for_ever(tmp_path):
    with controlled(tmp_path / "a.sock"), pytest.raises(TimeoutError):
        ask(tmp_path / "a.sock", Request(), 0.05)


@pytest.mark.parametrize(
    "options",
    [{"pause": True, "resume": True}, {"drain": True, "pause": True}, {"drain": True, "jobs": "3"}, {"jobs": "many"}],
)
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(UsageError) as refused:
        request_of(options.get("jobs"), **{name: options.get(name, False) for name in ("pause", "resume", "drain")})
    assert refused.value.hint


def test_without_a_run_it_says_so(folder):
    table = numbered(folder / "data.csv", 2)
    for _ in range(2):  # before the first run, and after it
        done = batchrun("ctl", table, "--pause", cwd=folder)
        assert (done.returncode, "no run is in progress" in done.stderr) == (2, True)
        batchrun("process", table, "-t", "repair", "--no-output", cwd=folder)
    with pytest.raises(UsageError, match="of task 'other'"):
        running_place(table, None, "other")


def running_now(folder, rows=400, *options):
    """A run of rows that take a while, one of them started."""
    table = numbered(folder / "data.csv", rows)
    command = ("process", table, "-t", "tasks.py:short", "--no-output", "--json", "--progress", "plain", *options)
    run = start(*command, cwd=folder, env={"SECONDS": "0.1"})
    wait_for(lambda: lines_of(folder / "started"))
    return table, run


def ctl(table, *options):
    done = batchrun("ctl", table, *options, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_paused_run_starts_no_row_until_it_is_resumed(folder):
    table, run = running_now(folder, 60, "-j", 2)
    try:
        assert ctl(table, "--pause")["paused"]
        wait_for(lambda: ctl(table)["in_flight"] == 0)
        before = len(lines_of(folder / "started"))
        assert ctl(table)["paused"]
        (told,) = statuses(table, None)
        assert told["paused"]
        assert "paused by ctl" in batchrun("status", table).stdout
        assert len(lines_of(folder / "started")) == before < 60
        told = batchrun("ctl", table).stdout
        assert "paused" in told
        assert not ctl(table, "--resume")["paused"]
        out, err = run.communicate(timeout=90)
    finally:
        kill(run)
    assert (records(out)[-1]["done"], run.returncode) == (60, 0)
    assert "ctl: paused" in err
    assert "ctl: resumed" in err
    assert len(lines_of(folder / "started")) == 60, "no row ran twice"


def test_a_pause_holds_for_rows_that_must_run_alone_too(folder):
    table = numbered(folder / "data.csv", 4)
    command = ("process", table, "-t", "tasks.py:short", "-j", 4, "--no-output")
    for death in (1, 2, 3):  # each in company of the same rows: from now on they run alone
        run = start(*command, cwd=folder, env={"SECONDS": "60"})
        wait_for(lambda death=death: len(lines_of(folder / "started")) == 4 * death)
        kill(run)
    run = start(*command, cwd=folder, env={"SECONDS": "1"})
    try:
        wait_for(lambda: len(lines_of(folder / "started")) > 12)
        assert ctl(table, "--pause")["paused"]
        wait_for(lambda: ctl(table)["in_flight"] == 0)
        before = len(lines_of(folder / "started"))
        assert ctl(table)["paused"]
        assert len(lines_of(folder / "started")) == before < 16
        ctl(table, "--resume")
        run.communicate(timeout=90)
    finally:
        kill(run)
    assert run.returncode == 0
    assert len(lines_of(folder / "started")) == 16


def test_whatever_arrives_the_run_goes_on(folder):
    table, run = running_now(folder, 100, "-j", 2)
    try:
        (path,) = folder.glob("*.batchrun/*.sock")
        for nonsense in NONSENSE:
            said(path, nonsense)
        for nonsense in NONSENSE:  # and nobody waits for an answer
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(path))
                line.sendall(nonsense)
        told = ctl(table)
        assert (told["jobs"], told["paused"], told["draining"]) == (2, False, False)
        out, err = run.communicate(timeout=90)
    finally:
        kill(run)
    assert (records(out)[-1]["done"], run.returncode) == (100, 0), err


def test_jobs_can_be_lowered_and_raised_beyond_what_the_run_began_with(folder):
    table, run = running_now(folder, 4000, "-j", 2)
    try:
        assert ctl(table, "--jobs", 1)["jobs"] == 1
        wait_for(lambda: ctl(table)["in_flight"] <= 1)
        assert ctl(table, "--jobs", 6)["jobs"] == 6
        wait_for(lambda: len({line.split()[2] for line in lines_of(folder / "started")[-40:]}) == 6)
        assert "6 rows at once" in batchrun("ctl", table).stdout
        assert ctl(table, "--drain")["draining"]
        out, _ = run.communicate(timeout=90)
    finally:
        kill(run)
    assert run.returncode == 143
    assert records(out)[-1]["done"] == len(settled(table, "short")) < 4000


def test_an_async_run_can_be_made_larger(folder):
    (folder / "waits.py").write_text(
        "import asyncio\n"
        "now = most = 0\n"
        "async def task(row):\n"
        "    global now, most\n"
        "    now += 1\n"
        "    most = max(most, now)\n"
        "    await asyncio.sleep(0.2)\n"
        "    now -= 1\n"
        "    return most\n"
    )
    table = numbered(folder / "data.csv", 20_000)
    run = start("process", table, "-t", "waits.py:task", "-j", 2, "--no-output", "--json", cwd=folder)
    try:
        wait_for(lambda: "in_flight" in batchrun("ctl", table, "--json").stdout)
        assert ctl(table, "--jobs", 100)["jobs"] == 100
        wait_for(lambda: max((result for _, result in settled(table, "task").values()), default=0) > 50)
        ctl(table, "--drain")
        run.communicate(timeout=90)
    finally:
        kill(run)
    assert run.returncode == 143


def test_a_drained_run_finishes_what_is_in_flight_and_the_same_command_goes_on(folder):
    table, run = running_now(folder, 40, "-j", 2)
    try:
        told = batchrun("ctl", table, "--drain")
        assert (told.returncode, "ends after the rows in flight" in told.stdout) == (0, True), told.stderr
        out, _ = run.communicate(timeout=90)
    finally:
        kill(run)
    assert run.returncode == 143
    assert records(out)[-1]["exit"] == 143
    begun = len(lines_of(folder / "started"))
    assert len(settled(table, "short")) == begun < 40
    assert not list(table.parent.glob("*.batchrun/*.sock"))
    again = batchrun("process", table, "-t", "tasks.py:short", "--no-output", cwd=folder, env={"SECONDS": "0"})
    assert again.returncode == 0
    assert len(lines_of(folder / "started")) == 40


def test_a_run_that_was_killed_cannot_be_controlled_and_its_socket_hinders_nobody(folder):
    table, run = running_now(folder, 40, "-j", 1)
    kill(run)
    assert list(table.parent.glob("*.batchrun/*.sock"))
    assert batchrun("ctl", table, "--pause").returncode == 2
    again = start("process", table, "-t", "tasks.py:short", "--no-output", cwd=folder, env={"SECONDS": "0.1"})
    try:
        wait_for(lambda: batchrun("ctl", table, "--drain").returncode == 0)
        again.communicate(timeout=90)
    finally:
        kill(again)
    assert again.returncode in (143, 0)


def test_of_several_runs_it_must_be_said_which(folder):
    table = numbered(folder / "data.csv", 400)
    runs = [
        start("process", table, "-t", "tasks.py:short", "--name", name, "--no-output", cwd=folder, env={"SECONDS": "1"})
        for name in ("one", "two")
    ]
    try:
        wait_for(lambda: len(list(folder.glob("*.batchrun/*.sock"))) == 2)
        refused = batchrun("ctl", table, "--drain")
        assert (refused.returncode, "one, two" in refused.stderr) == (2, True)
        for name, run in zip(("one", "two"), runs, strict=True):
            assert ctl(table, "--drain", "--name", name)["task"] == name
            run.communicate(timeout=90)
    finally:
        for run in runs:
            kill(run)
