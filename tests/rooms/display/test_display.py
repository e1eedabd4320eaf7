"""What a run shows: honest numbers, in words, on any terminal or none."""

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support import ROOT

from batchrun.checkpoint.inflight import Running
from batchrun.checkpoint.ledger import Ledger
from batchrun.checkpoint.opening import opened
from batchrun.core import text as words
from batchrun.core.limits import Timeout
from batchrun.core.money import Prices, Tokens
from batchrun.core.signals import Signals
from batchrun.display import phrases
from batchrun.display.closing import as_text, closing
from batchrun.display.first_lines import Announcement
from batchrun.display.layout import ASCII, FANCY, bar, glyphs_for, layout
from batchrun.display.live import Live
from batchrun.display.plain import Plain
from batchrun.display.reporter import is_live, make
from batchrun.display.snapshot import (
    Allowed,
    Drain,
    LastError,
    Pause,
    Slowest,
    Snapshot,
    SpentSoFar,
    eta,
    pace,
    snapshot_of,
)
from batchrun.display.stream import Stream
from batchrun.engine.deal import Ticket
from batchrun.engine.events import Loading
from batchrun.engine.seam import EngineState
from batchrun.errors import Interrupted, StoppedError
from batchrun.run import backlog
from batchrun.run.advice import advice, as_typed
from batchrun.run.allowance import Allowance
from batchrun.run.backlog import Backlog
from batchrun.run.bucket import Bucket
from batchrun.run.plan import Plan
from batchrun.run.rules import Rules
from batchrun.run.run import Run
from batchrun.run.summary import Summary
from batchrun.run.tally import Tally
from batchrun.run.throttle import Throttle

SNAP = Snapshot(
    task="match",
    input="data.csv",
    rows=12_000,
    to_run=1_000,
    fresh=612,
    counts={"done": 11_594, "failed": 7, "timed_out": 2, "crashed": 1, "skipped": 8},
    retried=12,
    in_flight=50,
    resting=3,
    rate=41.3,
    eta=250.0,
    p50=1.23,
    p95=3.41,
    lanes=50,
    restarts=2,
    slowest=Slowest(8123, 12.3),
    last_error=LastError("exception", "RateLimitError: busy", 12),
    elapsed=75.0,
)
ASKING = replace(
    SNAP,
    p95=750.0,
    lanes=200,
    restarts=12,
    allowance=Allowed(150, 200, "throttled by the server"),
    spent=SpentSoFar(12_345_678, 98_765.4, 12.3456, 20.1),
)
DRAINING = replace(SNAP, in_flight=3, drain=Drain(signal.SIGINT, "", 1.0))
SUMMARY = Summary(
    rows=5_000,
    done=4_990,
    failed=7,
    timed_out=0,
    crashed=0,
    skipped=3,
    left=0,
    ran=5_012,
    seconds=250.0,
    exit_code=1,
    output=Path("/home/data.results.csv"),
    task="match",
    input=Path(os.path.abspath("data.csv")),
    errors=(("exception", "ValueError: bad", 12), ("timeout", "ran longer than 30 s and was ended", 2)),
)
TYPED = ["batchrun", "process", "data.csv", "--task", "my tasks.py:match", "-j", "50"]
PLAN = Plan(5_000, bytearray(), 12, 15, retry={"failed": 3}, kept={"done": 4_985})


class OneLane:
    """An engine in which row 7 has been running since second 100; counts how often it is looked at."""

    def __init__(self) -> None:
        self.looks = 0

    def state(self) -> EngineState:
        self.looks += 1
        running = [(0, Running(100.0, 1, b"", 7)), (1, Running(105.0, 2, b"", 3))]
        return EngineState(running, lanes=2, restarts=1)

    def busy(self) -> int:
        return 2


@pytest.fixture
def run(tmp_path):
    with opened(tmp_path / "match.sqlite", write=True) as checkpoint:
        ledger = Ledger(checkpoint, 1, 5_000, {"done": 4_000, "failed": 10})
        rules = Rules(None, None, 1_000, 1)
        yield Run(OneLane(), Backlog(iter(()), 1_000), ledger, rules, Tally(100.0), Signals(), lambda run: None)


def seen(run, now, **more):
    return snapshot_of(run, now, task="match", input_name="data.csv", **more)


def text_of(lines):
    return "\n".join("".join(part for part, _ in line) for line in lines)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.000003, "0.1 ms"), (0.25, "250 ms"), (0.9999, "1.0 s"), (3.21, "3.2 s"), (9.97, "10 s"),
        (59.7, "1 min 00 s"), (250, "4 min 10 s"), (3599.8, "1 h 00 min"), (7_500, "2 h 05 min"), (190_800, "2 d 05 h"),
    ],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (1234.4, "1,234 rows/s"), (41.3, "41 rows/s"), (4.23, "4.2 rows/s"), (1, "1 row/s"), (0.2, "12 rows/min"),
        (3.5 / 3600, "3.5 rows/h"), (0, "0 rows/s"),
    ],
)  # fmt: skip
def test_rates_have_the_unit_that_leaves_a_readable_number(per_second, text):
    assert words.rate(per_second) == text


def test_only_all_rows_are_a_hundred_percent():
    assert words.percent(999_999, 1_000_000) == "99.9 %"
    assert words.percent(1_000_000, 1_000_000) == words.percent(0, 0) == "100 %"


def test_a_text_of_the_tasks_cannot_steer_the_terminal():
    assert words.one_line("a\x1b[2J\r\nb\u202ec\td") == "a [2J b c d"
    assert len(words.one_line("x" * 1_000_000)) == 200


def test_the_snapshot_says_what_the_run_knows(run):
    run.tally.failed("exception", "ValueError: bad")
    run.tally.failed("exception", "ValueError: bad")
    snap = seen(run, 110.0)
    assert (snap.rows, snap.to_run, snap.fresh, snap.in_flight) == (5_000, 1_000, 0, 2)
    assert snap.counts["done"] == 4_000
    assert snap.slowest == Slowest(7, 10.0)
    assert snap.last_error == LastError("exception", "ValueError: bad", 2)
    assert (snap.lanes, snap.restarts, snap.elapsed) == (2, 1, 10.0)
    assert not snap.draining


def test_the_last_result_is_one_line_that_cannot_steer_the_terminal(run):
    run.tally.last_done = 1_234, b'{"a": "\x1b[2J \xe6\xa9\x9f"}' + b" " * 5000
    snap = seen(run, 110.0)
    assert ["result   ", 'row 1,234: {"a": " [2J 機"}'] in [
        [text for text, _ in line] for line in layout(snap, 80, FANCY)
    ]


def test_rows_of_earlier_runs_inflate_neither_rate_nor_eta(run):
    for _ in range(100):
        run.tally.settled(failed=False)
    snap = seen(run, 110.0)
    assert snap.rate == pytest.approx(10.0)
    assert snap.eta == pytest.approx(90.0)


def test_why_nobody_can_know_the_end_is_said_where_new_rows_wait_for_those_that_rest(run, monkeypatch):
    monkeypatch.setattr(backlog, "MOST_RESTING", 2)
    run.tally.settled(failed=False)
    for row in (1, 2):
        run.backlog.rest(Ticket(row, 2, bytes(16), ()), until=500.0)
    snap = seen(run, 110.0)
    assert (snap.full, snap.eta) == (True, None)
    assert "ETA unknown: new rows wait while 2 rest before a retry" in phrases.line(snap)


def test_there_is_no_eta_before_the_first_row(run):
    assert seen(run, 110.0).eta is None
    assert "ETA unknown" in phrases.line(seen(run, 110.0))
    assert eta(0, 0.0) == 0.0


def test_rows_slower_than_the_window_have_the_rate_of_the_whole_run():
    assert pace(0.0, 4, 240.0) == pytest.approx(4 / 240)


def test_a_stall_of_quick_rows_is_shown_as_it_is():
    assert pace(0.0, 10_000, 100.0) == 0.0


def test_a_pause_is_shown_with_its_reason_and_ends_by_itself(run):
    run.tally.refused("429: slow down")
    run.backlog.pause(125.0)
    assert seen(run, 110.0).pause == Pause(15.0, "429: slow down")
    assert seen(run, 125.0).pause is None
    assert phrases.pause(Pause(14.2, "429: slow down"), "data.csv") == "paused for 15 s: 429: slow down"


def test_what_ctl_has_changed_is_shown_while_it_lasts(run):
    assert (seen(run, 110.0).pause, seen(run, 110.0).jobs) == (None, None)
    run.helm.paused, run.helm.asked = True, 20
    snap = seen(run, 110.0)
    assert snap.pause == Pause(None, "by ctl")
    assert snap.eta is None
    text = " ".join(text_of(layout(snap, 60, FANCY)).split())
    assert "jobs limited to 20 rows at once by ctl" in text
    assert "paused by ctl: rows in flight finish; 'batchrun ctl data.csv --resume' resumes" in text
    assert "paused by ctl" in phrases.line(snap)
    run.helm.paused = False
    assert seen(run, 110.0).pause is None


def test_lanes_that_ctl_has_put_out_of_use_are_not_shown_once_their_rows_have_ended(run):
    run.helm.jobs = run.helm.asked = 1
    run.helm.lowered = True
    assert phrases.lanes(seen(run, 110.0)) == "2 lanes, 1 restart"
    run.engine.busy = lambda: 1
    assert phrases.lanes(seen(run, 110.0)) == "1 lane, 1 restart"
    run.helm.jobs, run.helm.lowered = 2, False
    assert phrases.lanes(seen(run, 110.0)) == "2 lanes, 1 restart"


def test_a_signal_is_told_apart_from_a_threshold(run):
    run.signals.stop(signal.SIGINT, None)
    run.stopped = Interrupted(signal.SIGINT, "interrupted")
    assert seen(run, 112.0, draining_since=110.0).drain == Drain(signal.SIGINT, "", 2.0)
    run.signals.stop(signal.SIGINT, None)
    assert seen(run, 112.0).drain.killing
    run.stopped = StoppedError("stopped early: 25 rows have failed")
    assert "25 rows have failed" in seen(run, 112.0).drain.reason


def test_a_run_that_stops_knows_when_the_last_row_ends_if_rows_have_a_timeout(run):
    run.stopped = Interrupted(signal.SIGINT, "interrupted")
    assert seen(run, 112.0).drain.most is None
    run.rules = replace(run.rules, timeout=Timeout(30))
    assert seen(run, 112.0).drain.most == 23.0
    run.rules = replace(run.rules, timeout=Timeout(10, multiple=True))
    assert seen(run, 112.0).drain.most is None, "too few rows have ended to know their median"


@pytest.mark.parametrize(
    ("drain", "text"),
    [
        (
            Drain(signal.SIGINT, "", 0),
            "stopping: 3 rows in flight (longest: row 8123, 12 s), however long they take; "
            "Ctrl-C again to end them now",
        ),
        (
            Drain(signal.SIGINT, "", 7),
            "stopping: 3 rows in flight (longest: row 8123, 12 s), however long they take, waited 7 s so far; "
            "Ctrl-C again to end them now",
        ),
        (
            Drain(signal.SIGTERM, "", 7, most=17.2),
            "stopping: 3 rows in flight (longest: row 8123, 12 s), at most 18 s more; a second signal to end them now",
        ),
        (
            Drain(0, "stopped early: too many", 0),
            "stopping: 3 rows in flight (longest: row 8123, 12 s), however long they take; "
            "Ctrl-C twice to end them now; too many",
        ),
        (Drain(signal.SIGINT, "", 1, True), "ending 3 rows in flight now"),
    ],
)
def test_a_run_that_stops_says_what_it_waits_for(drain, text):
    assert phrases.drain(drain, 3, Slowest(8123, 12.3)) == text


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("snap", [SNAP, DRAINING, replace(SNAP, rows=10**8, to_run=10**8, fresh=10**7, rate=12_345)])
def test_the_view_fits_every_width_and_leaves_nothing_out(snap, width):
    text = text_of(layout(snap, width, FANCY))
    assert max(len(line) for line in text.splitlines()) <= width
    assert len(text.splitlines()) <= 17
    flat = " ".join(text.split())
    for part in ("done 11,594", "failed 7", "timed out 2", "crashed 1", "skipped 8", "retried 12", "in flight",
                 "resting 3", "rows/s", "p50 1.2 s, p95 3.4 s", "50 lanes, 2 restarts", "row 8123, for 12 s",
                 "12 × RateLimitError: busy"):  # fmt: skip
        assert part in flat


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_view_of_calls_that_cost_money_fits_every_width_and_leaves_nothing_out(width):
    paused = replace(ASKING, pause=Pause(14.2, "HTTP 429: Rate limit reached, try again in 14 s"))
    text = text_of(layout(paused, width, ASCII))
    assert max(len(line) for line in text.splitlines()) <= width
    assert len(text.splitlines()) <= 18
    flat = " ".join(text.split())
    for part in ("p50 1.2 s, p95 12 min 30 s", "200 lanes, 12 restarts", "limit 150 of 200 in flight",
                 "waiting: throttled by the server", "spent 12,345,678 tokens, 98,765 a minute",
                 "cost 12.35, 20.10 projected", "paused for 15 s: HTTP 429: Rate limit reached"):  # fmt: skip
        assert part in flat


def test_what_has_been_spent_is_projected_to_all_rows_of_the_run(run):
    run.tally.used((3_000, 1_000, 0, 0))
    assert seen(run, 160.0).spent == SpentSoFar(4_000, 4_000.0, None, None), "there are no prices"
    run.allowance = Allowance(prices=Prices(prompt=1.0, completion=2.0))
    assert seen(run, 130.0).spent == SpentSoFar(4_000, 8_000.0, pytest.approx(0.005), None), "no row is settled"
    for _ in range(10):
        run.tally.settled(failed=False)
    assert seen(run, 160.0).spent == SpentSoFar(4_000, 4_000.0, pytest.approx(0.005), pytest.approx(0.5))


def test_why_rows_wait_for_a_limit_is_shown(run):
    assert seen(run, 110.0).allowance is None
    throttle = Throttle(40, careful=True)
    run.allowance = Allowance(throttle, rpm=Bucket(60, 110.0))
    run.allowance.handed_out(1, 110.0)
    assert seen(run, 110.0).allowance == Allowed(10, 40, "--rpm")
    throttle.refused(110.0, 110.5)
    assert seen(run, 112.0).allowance == Allowed(7, 40, "throttled by the server")


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_terminal_that_is_drawn_together_to_nothing_ends_no_run(width):
    assert layout(SNAP, width, FANCY)
    assert layout(DRAINING, width, FANCY)


def test_the_view_asks_for_the_second_ctrl_c_in_full_even_when_narrow():
    assert "Ctrl-C again to end them now" in " ".join(text_of(layout(DRAINING, 60, FANCY)).split())


def test_the_bar_is_empty_at_the_start_and_full_at_the_end():
    empty, full = (text_of([bar(replace(SNAP, fresh=fresh), 80, ASCII)]) for fresh in (0, 1_000))
    assert "#" not in empty
    assert empty.endswith(" 0.0 %")
    assert "." not in full
    assert full.endswith(" 100 %")


@pytest.mark.parametrize(
    ("encoding", "environment", "glyphs"),
    [
        ("utf-8", {"LANG": "de_DE.UTF-8"}, FANCY), ("utf-8", {}, FANCY), ("ascii", {}, ASCII), ("latin-1", {}, ASCII),
        ("utf-8", {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, ASCII), ("utf-8", {"LC_ALL": "POSIX"}, ASCII),
    ],
)  # fmt: skip
def test_a_terminal_without_unicode_gets_ascii(encoding, environment, glyphs):
    assert glyphs_for(encoding, environment) is glyphs
    if glyphs is ASCII:
        assert text_of(layout(SNAP, 80, glyphs)).isascii()


def test_the_line_for_logs_leaves_out_what_is_zero():
    line = phrases.line(SNAP)
    assert line.startswith("1 min 15 s: 61.2 %, 612 of 1,000 rows, 41 rows/s, ETA 4 min 10 s; 11,594 done, 7 failed")
    assert "last error 12 x RateLimitError: busy" in line
    assert "resting" not in phrases.line(replace(SNAP, resting=0))


def test_the_line_for_logs_tells_tokens_and_where_there_are_prices_money():
    line = phrases.line(ASKING)
    assert "; 150 of 200 in flight, waiting: throttled by the server; 12,345,678 tokens, 98,765 a minute;" in line
    assert line.endswith("; cost 12.35, 20.10 projected")
    free = phrases.line(replace(ASKING, spent=SpentSoFar(400, 0.25, None, None)))
    assert free.endswith("; 400 tokens, 0.2 a minute")
    assert "token" not in phrases.line(SNAP)


def test_what_runs_is_told_with_the_longest_first():
    rows = [(0, Running(105.0, 1, b"", 3)), (4, Running(100.0, 2, b"", 7))]
    assert phrases.running(rows, 110.0)[1:] == [
        "  row 7 for 10 s (lane 5, attempt 2)",
        "  row 3 for 5.0 s (lane 1, attempt 1)",
    ]


def test_where_no_worker_is_up_all_displays_say_what_is_loaded_and_for_how_long():
    snap = replace(SNAP, loading=Loading("tasks.py", 12.4))
    assert "loading tasks.py for 12 s" in phrases.line(snap)
    assert text_of(layout(snap, 80, FANCY)).endswith("\nloading tasks.py for 12 s")
    assert "loading" not in phrases.line(replace(SNAP, loading=Loading("tasks.py", 0.3)))


def test_what_does_not_run_because_it_is_loaded_is_told_with_its_place():
    stack = ('  File "tasks.py", line 3, in <module>',)
    assert phrases.running([], 110.0, Loading("tasks.py", 12.4, stack)) == [
        "running now: nothing, loading tasks.py for 12 s; it is here:",
        *stack,
    ]
    assert phrases.running([], 110.0, Loading("tasks.py", 0.3)) == ["running now: nothing, loading tasks.py"]


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        ("live", [f"loading tasks.py for {n} s" for n in range(1, 40)]),
        ("plain", ["loading tasks.py for 5 s", "loading tasks.py for 35 s"]),
        ("none", []),
    ],
)
def test_before_there_is_a_plan_the_module_that_is_loaded_is_told(progress, told):
    stream = io.StringIO()
    reporter = make(progress, False, False, stream)
    for tenth in range(395):
        reporter.loading(Loading("tasks.py", tenth / 10))
    reporter.loading(None)
    reporter.close()
    lines = re.findall(r"loading tasks\.py for \d+ s", stream.getvalue())
    assert list(dict.fromkeys(lines)) == told


@pytest.mark.parametrize(("kind", "draws"), [(Live, 9), (Plain, 0)])
def test_a_thousand_ticks_a_second_draw_at_most_four_times_a_second(run, kind, draws):
    reporter = kind(Stream(io.StringIO()))
    for tick in range(2_001):
        reporter.tick(run, 100.0 + tick / 1000)
    reporter.close()
    assert run.engine.looks == draws


def test_plain_says_how_far_it_is_every_half_minute(run):
    stream = io.StringIO()
    reporter = Plain(Stream(stream))
    for second in range(100, 200):
        reporter.tick(run, float(second))
    assert [line.split(":")[0] for line in stream.getvalue().splitlines()] == ["30 s", "1 min 00 s", "1 min 30 s"]


def test_plain_says_at_once_that_the_run_stops(run):
    stream = io.StringIO()
    reporter = Plain(Stream(stream))
    reporter.tick(run, 100.0)
    run.stopped = Interrupted(signal.SIGTERM, "interrupted")
    reporter.tick(run, 100.1)
    reporter.tick(run, 100.2)
    assert stream.getvalue().count("stopping: 2 rows in flight") == 1


def test_plain_has_no_control_characters(run):
    stream = io.StringIO()
    reporter = make("auto", False, False, stream)
    reporter.planned(Announcement(PLAN, "match", Path("da\x1bta.csv"), 50, ["a\x1b[31m note"]))
    run.tally.failed("exception", "\x1b[31mred\x07\x9b")
    for now in (100.0, 131.0):
        reporter.tick(run, now)
    reporter.say("two\nlines\x00")
    reporter.running(run.engine.state().running, 131.0)
    reporter.ended(replace(SUMMARY, errors=(("exception", "a\x1bb", 1),)), advice(SUMMARY, TYPED))
    reporter.close()
    text = stream.getvalue()
    assert "5,000 rows: 4,985 done, 12 new, 3 to retry (3 failed)" in text
    assert text.replace("\n", "").isprintable()


def test_without_progress_the_plan_and_the_summary_remain(run):
    stream = io.StringIO()
    reporter = make("none", False, False, stream)
    reporter.tick(run, 100.0)
    reporter.tick(run, 200.0)
    assert stream.getvalue() == ""
    reporter.ended(SUMMARY)
    assert stream.getvalue().startswith("finished after 4 min 10 s, 5,012 attempts")


def test_quiet_answers_only_what_it_is_asked(run):
    stream = io.StringIO()
    reporter = make("auto", True, False, stream)
    reporter.planned(Announcement(PLAN, "match", Path("data.csv"), 50, ["a note"]))
    reporter.tick(run, 100.0)
    reporter.say("something")
    reporter.ended(SUMMARY, ["see why: ..."])
    reporter.close()
    assert stream.getvalue() == ""
    reporter.running(run.engine.state().running, 110.0)
    assert "row 7 for 10 s" in stream.getvalue()


def test_records_on_stdout_come_beside_what_people_see(capsys):
    stream = io.StringIO()
    reporter = make("plain", False, True, stream)
    reporter.planned(Announcement(PLAN, "match", Path("/d/data.csv"), 50))
    reporter.ended(SUMMARY)
    start, done = map(json.loads, capsys.readouterr().out.splitlines())
    assert start == {
        "event": "start", "task": "match", "input": "/d/data.csv", "rows": 5_000, "done": 4_985, "to_run": 15,
    }  # fmt: skip
    assert done == {
        "event": "done", "rows": 5_000, "done": 4_990, "failed": 7, "timed_out": 0, "crashed": 0, "skipped": 3,
        "left": 0, "ran": 5_012, "seconds": 250.0, "exit": 1, "output": "/home/data.results.csv",
    }  # fmt: skip
    assert "finished" in stream.getvalue()


@pytest.mark.parametrize(
    ("progress", "terminal", "term", "live"),
    [
        ("auto", True, "xterm", True), ("auto", True, "dumb", False), ("auto", False, "xterm", False),
        ("live", False, "xterm", True), ("live", True, "dumb", False), ("plain", True, "xterm", False),
        ("none", True, "xterm", False),
    ],
)  # fmt: skip
def test_only_a_terminal_that_can_is_drawn_on(progress, terminal, term, live):
    assert is_live(progress, terminal, {"TERM": term}) is live


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(5, "the terminal is gone")


@pytest.mark.parametrize("progress", ["live", "plain"])
def test_a_terminal_that_goes_away_does_not_end_the_run(run, progress):
    reporter = make(progress, False, False, Broken())
    reporter.planned(Announcement(PLAN, "match", Path("data.csv"), 50))
    reporter.tick(run, 100.0)
    reporter.tick(run, 140.0)
    reporter.ended(SUMMARY)
    reporter.close()


def test_a_character_that_the_encoding_lacks_is_spelt_out():
    raw = io.BytesIO()
    reporter = make("plain", False, False, io.TextIOWrapper(raw, encoding="ascii"))
    reporter.say("機場")
    assert raw.getvalue() == b"\\u6a5f\\u5834\n"


def test_the_summary_says_counts_time_file_errors_and_the_next_command():
    text = as_text(closing(SUMMARY, advice(SUMMARY, TYPED), Path("/home")))
    assert text == [
        "finished after 4 min 10 s, 5,012 attempts",
        "  rows     4,990 of 5,000 done, 7 failed, 3 skipped",
        "  results  data.results.csv",
        "  errors   12 x exception: ValueError: bad",
        "           2 x timeout: ran longer than 30 s and was ended",
        "  next     see why: batchrun errors data.csv --task 'my tasks.py:match'",
        "           try again: batchrun process data.csv --task 'my tasks.py:match' -j 50 --retry failed",
    ]


def test_the_summary_says_what_was_used_and_what_the_rows_left_would_cost():
    spent = replace(SUMMARY, tokens=Tokens(9_000, 1_000, 300), cost=0.5, settled=1_000)
    text = as_text(closing(spent, [], Path("/home")))
    used = "  spent    10,000 tokens, 2,400 a minute (9,000 of prompts, 1,000 of completions, 300 cached)"
    assert text[2:4] == [used, "  cost     0.5000"]
    stopped = as_text(closing(replace(spent, left=4_000), [], Path("/home")))
    assert stopped[3] == "  cost     0.5000; about 2.00 more for the remaining 4,000 rows"
    free = as_text(closing(replace(spent, cost=None), [], Path("/home")))
    assert not any("cost" in line for line in free)


@pytest.mark.parametrize(
    ("changes", "retry"),
    [({}, "failed"), ({"failed": 0, "crashed": 2}, "crashed"), ({"crashed": 2}, "all"),
     ({"failed": 0, "timed_out": 1}, "failed")],
)  # fmt: skip
def test_the_next_command_takes_up_the_rows_that_ended_badly(changes, retry):
    steps = advice(replace(SUMMARY, **changes), [*TYPED, "--retry", "none"])
    assert shlex.split(steps[1])[-2:] == ["--retry", retry]
    assert steps[1].count("--retry") == 1


def test_where_all_is_done_there_is_nothing_to_advise():
    assert advice(replace(SUMMARY, failed=0, exit_code=0), TYPED) == []


def test_an_interrupted_run_goes_on_with_the_same_command_and_never_starts_over():
    summary = replace(SUMMARY, failed=0, left=100, exit_code=130)
    assert advice(summary, [*TYPED, "--fresh"]) == [f"resume: {shlex.join(TYPED)}"]
    assert as_text(closing(summary, [], Path("/")))[0].startswith("interrupted")


def test_after_a_trial_of_a_few_rows_the_next_command_runs_the_others():
    summary = replace(SUMMARY, failed=0, left=4_000, exit_code=0)
    assert advice(summary, [*TYPED, "--limit", "10"]) == [f"run the remaining 4,000: {shlex.join(TYPED)}"]


@pytest.mark.parametrize("some", [["--rows", "2"], ["--rows=2", "--redo"], ["--limit", "3", "--redo"]])
def test_rows_that_failed_elsewhere_are_tried_again_by_the_command_that_is_named(some):
    summary = replace(SUMMARY, exit_code=0, left=0)
    assert advice(summary, [*TYPED, *some])[1] == f"try again: {shlex.join(TYPED)} --retry failed"


@pytest.mark.parametrize("some", [["--rows", "2-9", "--redo"], ["--limit=3", "--redo"], ["--reparse"]])
def test_rows_that_were_being_run_anew_go_on_as_such_and_no_others_instead(some):
    summary = replace(SUMMARY, failed=0, exit_code=130)
    assert advice(summary, [*TYPED, *some]) == [f"resume: {shlex.join([*TYPED, *some])}"]


@pytest.mark.parametrize("naming", [["--dir", "a b"], ["--dir=a b"], ["--name", "second"], ["-t", "x:y"], ["-tx:y"]])
def test_what_names_the_checkpoint_is_named_again(naming):
    typed = ["batchrun", "process", *naming, "data.csv", "--limit=5"]
    assert advice(SUMMARY, typed)[0] == f"see why: {shlex.join(['batchrun', 'errors', 'data.csv', *naming])}"


def test_a_run_without_a_command_is_not_told_one():
    assert advice(SUMMARY, []) == []
    assert as_typed(["/usr/bin/batchrun", "process"]) == ["batchrun", "process"]
    assert as_typed(["/x/batchrun/__main__.py", "process"]) == ["python", "-m", "batchrun", "process"]


DRIVE = """
import sys, test_display as t
from batchrun.display.live import Live
from batchrun.display.stream import Stream
live = Live(Stream(sys.stderr))
live.planned(t.Announcement(t.PLAN, "match", t.Path("data.csv"), 50))
live._show(t.SNAP)
live.say("a warning")
live._show(t.DRAINING)
live.ended(t.SUMMARY, t.advice(t.SUMMARY, t.TYPED))
"""


def in_terminal(script: str, columns: int, **environment: str) -> bytes:
    """What a script writes to a real terminal as its stderr."""
    ours, theirs = os.openpty()
    env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "24", **environment}
    env["PYTHONPATH"] = str(ROOT / "tests")
    with subprocess.Popen([sys.executable, "-c", script], stderr=theirs, cwd=Path(__file__).parent, env=env):
        os.close(theirs)
        written = b""
        try:
            while came := os.read(ours, 65536):
                written += came
        except OSError:  # Linux says so when the last writer has gone
            pass
        os.close(ours)
    return written


def test_a_real_terminal_sees_view_and_summary_and_gets_its_cursor_back():
    text = in_terminal(DRIVE, 80, LANG="C.UTF-8").decode()
    for part in ("━━━", "11,594", "a warning", "Ctrl-C again", "finished", "--retry failed", "\x1b[32m"):
        assert part in text
    assert text.rindex("\x1b[?25h") > text.rfind("\x1b[?25l")


def test_a_real_terminal_without_colour_or_unicode_gets_neither():
    text = in_terminal(DRIVE, 60, LANG="C", NO_COLOR="1")
    assert b"####" in text
    assert text.isascii()
    assert b"\x1b[32m" not in text


def test_plain_mode_never_loads_rich():
    script = (
        "import sys; from batchrun.display.reporter import make\n"
        "make('plain', False, True, sys.stderr).say('x')\n"
        "sys.exit(any(name in sys.modules for name in ('rich', 'pandas', 'typer')))"
    )
    assert subprocess.run([sys.executable, "-c", script], stderr=subprocess.DEVNULL).returncode == 0


def test_a_tick_that_is_not_due_reads_nothing(run):
    reporter = Live(Stream(io.StringIO()))
    now = time.monotonic()
    reporter.tick(run, now)
    looks = run.engine.looks
    for _ in range(1_000):
        reporter.tick(run, now + 0.2)
    reporter.close()
    assert run.engine.looks == looks


def test_the_largest_worker_and_want_of_memory_are_shown_where_they_matter():
    short = replace(SNAP, largest=1300 << 20, scarce="900 MB of memory is free, less than --min-free-memory 1,000 MB")
    live = "\n".join("".join(text for text, _ in line) for line in layout(short, 100, FANCY))
    for shown in (live, phrases.line(short)):
        assert "50 lanes, 2 restarts, largest worker 1.3 GB" in shown
        assert "no row starts: 900 MB of memory is free" in shown
    assert "largest" not in phrases.line(SNAP)
