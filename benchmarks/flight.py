"""What rows in flight cost: the memory of a lane that holds many rows of an `async def` at once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.programs import batchrun, by_name, expect_done, forget, make_table, process, run

JOBS, QUICK_JOBS = (2, 20, 500, 2_000), (2, 20)
ROUNDS = 4

HEADER = "| rows in flight | in each lane | memory of a lane |\n|---|---|---|"


@dataclass(frozen=True, slots=True)
class Flight:
    """`jobs` rows in flight in so many lanes. `peak`: bytes that the largest lane has held at its most."""

    jobs: int
    lanes: int
    peak: int

    def __str__(self) -> str:
        return f"| {self.jobs:,} | {self.jobs // self.lanes:,} | {self.peak / 1e6:.0f} MB |"


def flight(folder: Path, quick: bool) -> Iterator[Flight]:
    """Rows that wait half a second, ever more of them at once. Raises `Failed`."""
    for jobs in QUICK_JOBS if quick else JOBS:
        yield _flight(folder, jobs)


def _flight(folder: Path, jobs: int) -> Flight:
    """The rows themselves say what the process that they run in has held at its most."""
    rows = ROUNDS * jobs
    table = make_table(folder / f"{rows}.csv", rows)
    task = by_name("tasks:weighing")
    expect_done(run(process(table, jobs, *task)), rows)
    told = run(batchrun("export", table, *task, "-o", "-", "--format", "jsonl")).stdout
    found = [json.loads(line)["result"] for line in told.splitlines()]
    forget(table)
    table.unlink()
    return Flight(jobs, len({result["process"] for result in found}), max(result["peak"] for result in found))
