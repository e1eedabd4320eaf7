"""What a finished table costs: the same run again, its results, its state, and start-up."""

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from benchmarks.pairs import Comparison, compare
from benchmarks.programs import (
    Ended,
    Failed,
    batchrun,
    by_name,
    expect_done,
    forget,
    insert_on_top,
    make_table,
    peer,
    process,
    reverse,
    run,
    started,
)

ROWS, QUICK_ROWS = 1_000_000, 20_000
BUSY_ROWS, QUICK_BUSY_ROWS = 1_000_000, 100_000
STATUS_LIMIT = 0.3
READING = "read with pandas"
COPYING = "copy with csv"
TASK = by_name("tasks:trivial")


def again(folder: Path, pairs: int, quick: bool) -> Iterator[Comparison]:
    """The export, restarts, the export of a table whose rows were moved, `status` beside a run, `--help`."""
    rows = QUICK_ROWS if quick else ROWS
    table = make_table(folder / "finished.csv", rows)
    expect_done(run(process(table, 2, *TASK)), rows)
    yield from _export(f"export of {rows:,} rows to CSV", table, {COPYING: 1.0}, pairs)
    yield from _restarts(table, rows, pairs)
    yield from _export("export of that to CSV", table, {}, pairs)
    yield from _status(make_table(folder / "busy.csv", QUICK_BUSY_ROWS if quick else BUSY_ROWS), pairs)
    yield from _start_up(pairs)


def _restarts(table: Path, rows: int, pairs: int) -> Iterator[Comparison]:
    """Unchanged, one row on top, the other way round; beside reading the file once."""
    done = f"{rows:,} of {rows:,} rows done"
    new = count(10 * rows)
    now = rows

    def unchanged() -> float:
        return _checked(run(process(table, 2, *TASK)), now, 0)

    def one_on_top() -> float:
        nonlocal now
        insert_on_top(table, next(new))
        now += 1
        return _checked(run(process(table, 2, *TASK)), now, 1)

    def other_way_round() -> float:
        reverse(table)
        return _checked(run(process(table, 2, *TASK)), now, 0)

    reading = {READING: lambda: run(peer(READING, "tasks:trivial", table, 1)).seconds}
    yield from compare(f"{done}, unchanged", unchanged, reading, {READING: 1 / 0.7}, pairs)
    yield from compare("the same, one row inserted on top", one_on_top, reading, {READING: 1 / 1.5}, pairs)
    yield from compare("the same, in reverse order", other_way_round, reading, {}, pairs)


def _checked(ended: Ended, rows: int, ran: int) -> float:
    expect_done(ended, rows)
    if ended.record["ran"] != ran:
        raise Failed(f"{ended.record['ran']} rows ran, and should have been {ran}")
    return ended.seconds


def _export(work: str, table: Path, aims: dict[str, float], pairs: int) -> Iterator[Comparison]:
    out = table.with_suffix(".out.csv")

    def ours() -> float:
        return run(batchrun("export", table, "-o", out, "--overwrite")).seconds

    others = {
        name: (lambda name=name: run(peer(name, "tasks:trivial", table, 1)).seconds)
        for name in (COPYING, "copy with pandas")
    }
    yield from compare(work, ours, others, aims, pairs)


def _status(table: Path, pairs: int) -> Iterator[Comparison]:
    """`status` beside a run at full speed: the slowest answer while it goes on."""

    def slowest() -> float:
        forget(table)
        seconds = []
        with started(process(table, 2, *TASK)) as busy:
            while busy.poll() is None:
                answer = run(batchrun("status", table, "--json"))
                if any(task["running"] for task in answer.record["tasks"]):
                    seconds.append(answer.seconds)
        if not seconds:
            raise Failed("the run was over before status could answer")
        return max(seconds)

    limit = f"{STATUS_LIMIT} s"
    yield from compare("`status` beside a run at full speed", slowest, {limit: lambda: STATUS_LIMIT}, {limit: 1}, pairs)


def _start_up(pairs: int) -> Iterator[Comparison]:
    libraries = "importing typer and rich"

    def ours() -> float:
        return run(batchrun("--help")).seconds

    def theirs() -> float:
        return run([sys.executable, "-c", "import typer, rich"]).seconds

    yield from compare("`batchrun --help`", ours, {libraries: theirs}, {libraries: 1 / 1.5}, max(pairs, 5))
