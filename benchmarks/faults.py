"""Rows that kill or never end, and the death of the program itself: what it costs the other rows."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.programs import Failed, by_name, forget, make_table, process, run, started

ROWS, JOBS = 40, 4
HANGS_AFTER = 20.0
WATCH = 10.0

HEADER = "| what happens | with | rows done | rows charged | rows started twice | seconds |\n|---|---|---|---|---|---|"
HEADER_OF_DEATHS = "| `kill -9` of | rows that start afterwards | all processes gone after |\n|---|---|---|"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one bad row among forty did. `trouble`: why there are no figures."""

    what: str
    tool: str
    done: int = 0
    charged: int = 0
    twice: int = 0
    seconds: float = 0.0
    trouble: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the bad row alone was charged, and no other row ran twice."""
        return (self.done, self.charged, self.twice) == (ROWS - 1, 1, 0)

    def __str__(self) -> str:
        if self.trouble:
            return f"| {self.what} | {self.tool} | {self.trouble} | | | |"
        return f"| {self.what} | {self.tool} | {self.done} | {self.charged} | {self.twice} | {self.seconds:.1f} |"


@dataclass(frozen=True, slots=True)
class Death:
    """What went on after the coordinator had been killed."""

    tool: str
    started: int
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether no row started afterwards, and all was over within a second."""
        return self.started == 0 and self.seconds < 1

    def __str__(self) -> str:
        gone = f"{self.seconds:.1f} s" if self.seconds < WATCH else f"not within {WATCH:g} s"
        return f"| {self.tool} | {self.started} | {gone} |"


def faults(folder: Path) -> Iterator[Outcome]:
    """One row of forty kills its process, or never ends; four jobs, no further attempts."""
    table = make_table(folder / "forty.csv", ROWS)
    for task, what in (("poison", "one row kills its process"), ("stuck", "one row never ends")):
        for tool in ("batchrun", "pebble", "loky"):
            yield _outcome(what, tool, task, table)


def _outcome(what: str, tool: str, task: str, table: Path) -> Outcome:
    notes = table.with_name(f"{tool}-{task}.notes")
    try:
        if tool == "batchrun":
            forget(table)
            options = ("--timeout", 1, "--retries", 0)
            ended = run(process(table, JOBS, *by_name(f"tasks:{task}"), *options), (1,), BENCH_NOTES=str(notes))
            record = ended.record
            done, charged = record["done"], record["crashed"] + record["timed_out"] + record["failed"]
        else:
            ended = run(_peer(tool, task, table), limit=HANGS_AFTER, BENCH_NOTES=str(notes))
            done, charged = map(int, ended.stdout.split())
    except Failed as failure:
        return Outcome(what, tool, trouble=str(failure))
    twice = sum(times > 1 for times in Counter(row for row, _ in _starts(notes)).values())
    return Outcome(what, tool, done, charged, twice, ended.seconds)


def _peer(tool: str, task: str, table: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.faulty_peers", tool, task, str(table), str(JOBS)]


def _starts(notes: Path) -> list[list[str]]:
    """The rows that have started, and when: `id`, monotonic seconds."""
    return [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []


def deaths(folder: Path) -> Iterator[Death]:
    """The coordinator is killed while rows run."""
    table = make_table(folder / "dying.csv", 10 * ROWS)
    forget(table)
    yield _death("batchrun", process(table, JOBS, *by_name("tasks:lasting")), folder / "batchrun.notes")
    yield _death("loky", _peer("loky", "lasting", table), folder / "loky.notes")


def _death(tool: str, command: list[str], notes: Path) -> Death:
    with started(command, BENCH_NOTES=str(notes)) as program:
        while len(_starts(notes)) < 2 * JOBS:
            if program.poll() is not None:
                raise Failed(f"{tool} ended by itself")
            time.sleep(0.01)
        family = psutil.Process(program.pid).children(recursive=True)
        program.kill()
        killed = time.monotonic()
        while (left := [member for member in family if _lives(member)]) and time.monotonic() < killed + WATCH:
            time.sleep(0.01)
        seconds = time.monotonic() - killed
        for member in left:
            member.kill()
    return Death(tool, sum(float(at) > killed for _, at in _starts(notes)), seconds)


def _lives(member: psutil.Process) -> bool:
    """Whether a process goes on. One that is dead and not yet collected by its parent does not."""
    try:
        return bool(member.is_running() and member.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
