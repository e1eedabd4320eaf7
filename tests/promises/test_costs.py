"""What it costs, counted instead of timed: so that a slow or busy machine says the same.

A limit is about twice what it takes; what it must not do is grow with the number of rows, or come to a Python
call a row.
"""

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import batchrun, environment, numbered

from batchrun.checkpoint.anchoring.anchor import anchor
from batchrun.checkpoint.anchoring.spool import Spool
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.ledger import Ledger
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.records import Settled
from batchrun.core.redact import Redactor
from batchrun.core.states import DONE
from batchrun.engine.deal import Ticket
from batchrun.engine.wire import Reply
from batchrun.outcome.export.writing import export
from batchrun.run.allowance import Allowance
from batchrun.run.backlog import Backlog
from batchrun.run.plan import Policy, make_plan
from batchrun.run.rules import Rules
from batchrun.run.settling import Settling
from batchrun.run.tally import Tally
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions
from batchrun.table.scan import scan

HEAVY = {"pandas", "pyarrow", "numpy", "json_repair", "asyncio", "openai", "pydantic", "distributed"}


def loaded(*command: object, cwd: Path) -> set[str]:
    """The top-level modules that a whole command loads."""
    code = "import sys, atexit\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    code += "from batchrun.cli.app import main\nmain()"
    ran = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)],
        cwd=cwd, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name.split(".")[0] for name in ran.stderr.splitlines()[-1].split()}


def test_a_command_that_runs_no_row_loads_nothing_heavy(folder: Path) -> None:
    table = numbered(folder / "data.csv", 5)
    done = ("process", table, "--task", "tasks.py:echo", "--jobs", 1)
    assert batchrun(*done, cwd=folder).returncode == 0
    for command in (["--help"], ["status", table], done):
        assert not loaded(*command, cwd=folder) & HEAVY, command


@contextmanager
def calls() -> Iterator[dict[str, int]]:
    """Counts the function calls that the interpreter makes within the block."""
    found = {"call": 0, "c_call": 0}

    def count(_frame: object, event: str, _arg: object) -> None:
        if event in found:
            found[event] += 1

    sys.setprofile(count)
    try:
        yield found
    finally:
        sys.setprofile(None)


def spooled(table: Path, spool: Spool) -> None:
    options = ReadOptions()
    scan(open_table(table, options), options, spool.add)


def bound(folder: Path, rows: int) -> Checkpoint:
    """A checkpoint of a numbered table of which all rows are done."""
    checkpoint = opened(folder / f"{rows}.sqlite", write=True)
    table = numbered(folder / "data.csv", rows)
    with Spool(folder) as spool, checkpoint.transaction():
        spooled(table, spool)
        anchor(checkpoint, spool, folder)
        names = list(spool.identities())
    body = json.dumps({"double": 2}).encode()
    checkpoint.write(1, [Settled(n, name, None, DONE, 1, 1, 0.1, body) for n, name in enumerate(names, 1)], [])
    return checkpoint


def steps(checkpoint: Checkpoint, work: Callable[[], object]) -> int:
    """Instructions of SQLite's machine that some work takes, in thousands."""
    found = 0

    def count() -> int:
        nonlocal found
        found += 1
        return 0

    checkpoint.db.set_progress_handler(count, 1000)
    work()
    checkpoint.db.set_progress_handler(None, 0)
    return found


def test_the_pass_over_a_table_makes_no_python_call_for_each_row(tmp_path: Path) -> None:
    rows = 40_000
    table = numbered(tmp_path / "data.csv", rows)
    with Spool(tmp_path) as spool:  # what is imported at its first use is not counted
        spooled(numbered(tmp_path / "small.csv", 1), spool)
    with Spool(tmp_path) as spool, calls() as made:
        spooled(table, spool)
    assert spool.rows == rows
    assert sum(made.values()) < rows / 10


def test_planning_a_finished_table_looks_at_each_row_once_and_in_sqlite(tmp_path: Path) -> None:
    rows = 30_000
    with bound(tmp_path, rows) as checkpoint:
        with calls() as made:
            plan = make_plan(rows, checkpoint.stretches(), Policy())
        assert plan.to_run == 0
        assert sum(made.values()) < rows / 50
        taken = steps(checkpoint, lambda: list(checkpoint.stretches()))
        assert taken * 1000 < 12 * rows


def test_one_row_on_top_makes_no_python_call_for_each_row_that_moves(tmp_path: Path) -> None:
    rows = 30_000
    with bound(tmp_path, rows) as checkpoint, Spool(tmp_path) as spool:
        lines = (tmp_path / "data.csv").read_text().splitlines()
        (tmp_path / "data.csv").write_text("\n".join([lines[0], "0,new", *lines[1:]]) + "\n")
        spooled(tmp_path / "data.csv", spool)
        with calls() as made, checkpoint.transaction():
            assert anchor(checkpoint, spool, tmp_path).moved == rows
        assert sum(made.values()) < rows / 10


def peak(work: Callable[[], Any]) -> int:
    """The most memory, in bytes, that some work holds at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def anchored(folder: Path, rows: int) -> None:
    table = numbered(folder / "data.csv", rows)
    with opened(folder / "empty.sqlite", write=True) as checkpoint, Spool(folder) as spool, checkpoint.transaction():
        spooled(table, spool)
        anchor(checkpoint, spool, folder)


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
def test_memory_of_an_export_does_not_grow_with_the_table(tmp_path: Path, format_: str) -> None:
    def exported(rows: int) -> int:
        with bound(tmp_path, rows) as checkpoint:
            table = open_table(tmp_path / "data.csv", ReadOptions())
            target = tmp_path / f"out.{format_}"
            return peak(lambda: export(table, ("int", "text"), checkpoint.db, target, format_))

    exported(100)  # what is imported stays
    assert exported(40_000) < 1.5 * exported(10_000) + (1 << 20)


def test_planning_holds_no_more_than_an_identity_for_each_row(tmp_path: Path) -> None:
    anchored(tmp_path, 100)
    few, many = (peak(lambda rows=rows: anchored(tmp_path, rows)) for rows in (20_000, 60_000))
    # 24 bytes a row lie in memory until 16 MiB have gathered; then they go to disk.
    assert many < few + 40_000 * 24 * 1.5


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_sixty_rows_of_a_megabyte_are_never_in_memory_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"data.{kind}"
    big = "x" * (1 << 20)
    if kind == "csv":
        path.write_text("n,text\n" + "".join(f'{n},"{big}"\n' for n in range(60)))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"n": n, "text": big}) + "\n" for n in range(60)))
    else:
        import pyarrow as pa
        from pyarrow.parquet import write_table

        write_table(pa.table({"n": range(60), "text": [f"{n}{big}" for n in range(60)]}), path)
    table = open_table(path, ReadOptions())
    assert sum(map(len, table.chunks())) == 60
    assert peak(lambda: [len(chunk) for chunk in table.chunks()]) < 25 << 20


TRIVIAL = """
import sys, threading
from collections import Counter
import batchrun

found = Counter()
def count(frame, event, _):
    if event == "call":
        found["calls"] += 1
        found[frame.f_code.co_qualname] += 1

if __name__ == "__main__":
    sys.setprofile(count)
    done = batchrun.process(sys.argv[1], task="tasks.py:echo", jobs=2, no_output=True, quiet=True)
    sys.setprofile(None)
    print(done.done, found["calls"], found["Checkpoint.write"], found["Lane.give"])
"""


def test_a_row_of_a_trivial_task_costs_the_coordinator_a_dozen_calls_and_parts_of_a_message_and_a_commit(
    folder: Path,
) -> None:
    (folder / "trivial.py").write_text(TRIVIAL)

    def counted(rows: int) -> list[int]:
        table = numbered(folder / f"{rows}.csv", rows)
        ran = subprocess.run(
            [sys.executable, "trivial.py", table], cwd=folder, env=environment(), capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        return [int(number) for number in ran.stdout.split()]

    small, large = counted(10_000), counted(40_000)
    assert (small[0], large[0]) == (10_000, 40_000)
    calls, commits, messages = ((more - few) / 30_000 for few, more in zip(small[1:], large[1:], strict=True))
    assert calls < 25
    assert commits < 1 / 50
    assert messages < 1 / 10


@pytest.mark.parametrize("outcome", ["done", "failed", "skipped"])
def test_memory_does_not_grow_with_rows_that_a_busy_server_had_refused_once(tmp_path: Path, outcome: str) -> None:
    busy = ("rate_limited", "busy", None, 429, None)

    def refused_once(rows: int) -> None:
        with opened(tmp_path / f"{rows}.sqlite", write=True) as checkpoint:
            backlog = Backlog(iter(()), 0)
            ledger = Ledger(checkpoint, checkpoint.begin_run({}, {}), rows, {})
            rules = Rules(None, None, rows, checkpoint.task_id("1", "task"))
            settling = Settling(rules, backlog, ledger, Tally(0.0), Redactor({}), Allowance())
            for first in range(1, rows, 500):
                tickets = [Ticket(row, 1, row.to_bytes(16, "big"), ()) for row in range(first, first + 500)]
                settling.finished(0, [(row, Reply(row.position, "refused", 0.0, error=busy)) for row in tickets])
                again = [deal.ticket(0) for deal in backlog.take(500, float("inf"))]
                error = busy if outcome == "failed" else None
                settling.finished(0, [(row, Reply(row.position, outcome, 0.0, b"1", error=error)) for row in again])
                ledger.commit()
            assert ledger.fresh == rows

    assert peak(lambda: refused_once(15_000)) < peak(lambda: refused_once(3_000)) + (1 << 20)
