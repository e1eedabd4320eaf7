"""What grows with the table, and what must not: rows a second, the coordinator's memory, the checkpoint's size."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.programs import (
    by_name,
    checkpoint_of,
    expect_done,
    forget,
    insert_on_top,
    make_table,
    process,
    run,
    run_and_weigh,
)

SIZES, QUICK_SIZES = (10_000, 100_000, 1_000_000), (1_000, 4_000, 16_000)
LARGEST = 10_000_000
JOBS = 2
MEGABYTE = 1e6

HEADER = (
    "| rows | rows a second | memory, CSV | memory, Parquet | memory, one row inserted on top | seconds for that"
    " | checkpoint, bytes a row |\n|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Size:
    """Measures at one number of rows. Memory is the coordinator's own at its most, in bytes."""

    rows: int
    rate: float
    csv: int
    parquet: int
    inserted: int
    inserted_seconds: float
    checkpoint: int

    def __str__(self) -> str:
        memory = " | ".join(f"{peak / MEGABYTE:.0f} MB" for peak in (self.csv, self.parquet, self.inserted))
        return (
            f"| {self.rows:,} | {self.rate:,.0f} | {memory} | {self.inserted_seconds:.1f} s"
            f" | {self.checkpoint / self.rows:.0f} |"
        )


def growth(folder: Path, quick: bool, largest: bool) -> Iterator[Size]:
    """The trivial task over tables of growing size, smallest first. Raises `Failed`."""
    sizes = QUICK_SIZES if quick else (*SIZES, *((LARGEST,) if largest else ()))
    for rows in sizes:
        yield _size(folder, rows)


def _size(folder: Path, rows: int) -> Size:
    task = by_name("tasks:trivial")
    table = make_table(folder / f"{rows}.csv", rows)
    columnar = _as_parquet(table)
    command = process(table, JOBS, *task)
    whole = run_and_weigh(command)
    expect_done(whole, rows)
    checkpoint = sum(path.stat().st_size for path in checkpoint_of(table).iterdir())
    insert_on_top(table, 10 * rows)
    inserted = run_and_weigh(command)
    expect_done(inserted, rows + 1)
    of_parquet = run_and_weigh(process(columnar, JOBS, *task))
    expect_done(of_parquet, rows)
    for path in (table, columnar):
        forget(path)
        path.unlink()
    seconds = whole.record["seconds"]
    return Size(rows, rows / seconds, whole.peak, of_parquet.peak, inserted.peak, inserted.seconds, checkpoint)


def _as_parquet(table: Path) -> Path:
    """The same table as Parquet, made by another process: this one stays small."""
    target = table.with_suffix(".parquet")
    code = "import sys; from pyarrow import csv, parquet; parquet.write_table(csv.read_csv(sys.argv[1]), sys.argv[2])"
    run([sys.executable, "-c", code, str(table), str(target)])
    return target
