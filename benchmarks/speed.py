"""Whole runs over fresh tables, beside the peers and the ideal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pairs import Comparison, compare
from benchmarks.peers import BATCH
from benchmarks.programs import Failed, by_name, expect_done, forget, make_table, peer, process, run

QUICK = 100
IDEAL = "the ideal"
PLAIN = "the same without the import"


@dataclass(frozen=True, slots=True)
class Case:
    """A task over a table. `aims`: peer -> the ratio to reach, None where none was set.

    `row_seconds`: what a row takes by itself, where rows wait; the ideal is as many at once as there are jobs.
    `peer_task`: what the peers call, where that is not the same function. `command`: a program for each row,
    instead of a task. `plain_task`: the same without what is measured. `batch`: so many rows in one call.
    """

    work: str
    rows: int
    task: str
    jobs: int
    aims: Mapping[str, float | None]
    row_seconds: float = 0.0
    peer_task: str = ""
    command: str = ""
    plain_task: str = ""
    batch: int = 0

    def ideal(self, rows: int) -> float:
        """Seconds that the rows take if nothing else costs anything."""
        return rows * self.row_seconds / self.jobs


CASES = [
    Case(
        "trivial rows, 2 jobs",
        200_000,
        "tasks:trivial",
        2,
        {"joblib": 1.8, "one file a row": 50, "pool": 1.0, "mpire": None, "pebble": None, "ray": None},
    ),
    Case(
        "rows with messy replies, 2 jobs",
        50_000,
        "tasks:messy",
        2,
        {"joblib": 1.0, "pool": None},
        peer_task="tasks:messy_read",
    ),
    Case(
        "rows that sleep 50 ms, 50 jobs",
        4_000,
        "tasks:sleeping",
        50,
        {IDEAL: 1 / 1.2, "joblib": None, "pool": None, "mpire": None, "pebble": None},
        0.05,
    ),
    Case(
        "async rows of 0.5 s, 500 jobs",
        10_000,
        "tasks:waiting",
        500,
        {IDEAL: 1 / 1.08, "asyncio": None},
        0.5,
    ),
    # 1.05 of what Pool takes, and 0.3 s of start-up beside its 2.9.
    Case("rows of 2 ms CPU, 2 jobs", 4_000, "tasks:busy", 2, {"joblib": None, "pool": 0.87, "mpire": None}),
    Case(
        "rows that sleep 50 ms, `import pandas`, 50 jobs",
        4_000,
        "heavy_tasks:sleeping",
        50,
        {IDEAL: None, PLAIN: 1 / 1.5, "joblib": None, "pool": 1.0},
        0.05,
        plain_task="tasks:sleeping",
    ),
    Case(
        "rows of linear algebra in batches of 64, 2 jobs",
        20_000,
        "tasks:waves",
        2,
        {"datasets map": 1.0, "ray map_batches": 1.0},
        peer_task="tasks:waves_of_columns",
        batch=BATCH,
    ),
    Case("rows with a program each, 2 jobs", 2_000, "", 2, {"GNU parallel": None}, command="echo {id}"),
]


def speed(folder: Path, pairs: int, quick: bool) -> Iterator[Comparison]:
    """Each case, beside each of its peers."""
    for case in CASES:
        rows = max(case.rows // QUICK, case.jobs) if quick else case.rows
        table = make_table(folder / f"{rows}.csv", rows)
        yield from _compare(case, rows, table, pairs)
        forget(table)
        table.unlink()


def _compare(case: Case, rows: int, table: Path, pairs: int) -> Iterator[Comparison]:
    def ours(what: tuple[str, ...] = _what(case)) -> float:
        forget(table)
        ended = run(process(table, case.jobs, *what))
        expect_done(ended, rows)
        return ended.seconds

    def theirs(name: str) -> float:
        if name == IDEAL:
            return case.ideal(rows)
        if name == PLAIN:
            return ours(by_name(case.plain_task))
        ended = run(peer(name, case.peer_task or case.task or "tasks:trivial", table, case.jobs))
        if ended.stdout.split()[-1:] != [str(rows)]:
            raise Failed(f"did {ended.stdout.strip() or 'none'} of {rows} rows")
        return ended.seconds

    others = {name: (lambda name=name: theirs(name)) for name in case.aims}
    aims = {name: aim for name, aim in case.aims.items() if aim is not None}
    yield from compare(f"{rows:,} {case.work}", ours, others, aims, pairs)


def _what(case: Case) -> tuple[str, ...]:
    if case.batch:
        return (*by_name(case.task), "--batch", str(case.batch))
    return ("--command", case.command) if case.command else by_name(case.task)
