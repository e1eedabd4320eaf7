"""`python -m benchmarks [PAIRS]`: run batchrun and its peers in turn, print medians and ratios.

Every figure is a whole process, start-up included. A B A B …, so that a machine whose speed drifts hurts both.
The ratio is that of the peer's time to batchrun's, pair by pair: above 1 batchrun is quicker.
"""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
ROWS = 200_000

# what, rows, task, jobs, peers (None: the ideal time in seconds)
WORK = [
    ("200,000 trivial rows", ROWS, "trivial", 2, ["joblib", "pool"]),
    ("20,000 trivial rows", 20_000, "trivial", 2, ["files"]),
    ("20,000 messy replies", 20_000, "messy", 2, ["joblib"]),
    ("1,000 rows of 2 ms CPU", 1_000, "busy", 2, ["joblib", "pool"]),
    ("4,000 rows that sleep 50 ms, 50 jobs", 4_000, "sleeping", 50, [4.0, "joblib"]),
]


def timed(command: list[str]) -> float:
    """Seconds that a command takes. Raises if it fails."""
    begin = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def batchrun(table: Path, task: str, jobs: int) -> list[str]:
    """The command that is measured, with its full durability."""
    spec = f"{ROOT}/benchmarks/tasks.py:{task}"
    return [sys.executable, "-m", "batchrun", "process", str(table), "-t", spec, "-j", str(jobs), "--no-output", "-q"]


def peer(name: str, table: Path, task: str, jobs: int) -> list[str]:
    """A peer's command."""
    return [sys.executable, "-m", "benchmarks.peers", name, task, str(table), str(jobs)]


def make_table(path: Path, rows: int) -> Path:
    """A CSV file of five columns."""
    lines = (f"{n},name of {n},Springfield {n % 977},{n % 90}.5,-{n % 180}.25\n" for n in range(rows))
    path.write_text("id,name,city,lat,lon\n" + "".join(lines))
    return path


def fresh(table: Path) -> None:
    """Forget what earlier runs have done."""
    shutil.rmtree(table.with_name(f"{table.name}.batchrun"), ignore_errors=True)


def compare(what: str, table: Path, task: str, jobs: int, other: str | float, pairs: int) -> None:
    """One line of the table."""
    name = other if isinstance(other, str) else f"the ideal {other:g} s"
    if name in ("joblib", "files") and importlib.util.find_spec("joblib") is None:
        print(f"| {what} | {name} | not installed | | |")
        return
    ours, ratios = [], []
    for _ in range(pairs):
        fresh(table)
        ours.append(timed(batchrun(table, task, jobs)))
        theirs = timed(peer(other, table, task, jobs)) if isinstance(other, str) else other
        ratios.append(theirs / ours[-1])
    row_of(what, name, ours, ratios)


def row_of(what: str, name: str, ours: list[float], ratios: list[float]) -> None:
    """Print medians, and the ratio with its extremes."""
    print(f"| {what} | {name} | {median(ours):.2f} s | {median(ratios):.2f} | {min(ratios):.2f}–{max(ratios):.2f} |")
    sys.stdout.flush()


def restarts(folder: Path, pairs: int) -> None:
    """A finished table of a million rows: again unchanged, and with one row on top; beside reading it once."""
    table = make_table(folder / "million.csv", 1_000_000)
    timed(batchrun(table, "trivial", 2))
    reading = peer("pandas", table, "trivial", 2)
    ours, ratios = [], []
    for _ in range(pairs):
        ours.append(timed(batchrun(table, "trivial", 2)))
        ratios.append(timed(reading) / ours[-1])
    row_of("1,000,000 of 1,000,000 done, unchanged", "pandas.read_csv", ours, ratios)
    ours, ratios = [], []
    for turn in range(pairs):
        header, _, rest = table.read_text().partition("\n")
        table.write_text(f"{header}\n{2_000_000 + turn},new,place,1.5,2.5\n{rest}")
        ours.append(timed(batchrun(table, "trivial", 2)))
        ratios.append(timed(reading) / ours[-1])
    row_of("the same, one row inserted on top", "pandas.read_csv", ours, ratios)


def main() -> None:
    """The whole table."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print("| work | peer | batchrun, median | peer / batchrun | min–max |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="batchrun-bench-") as place:
        for what, rows, task, jobs, others in WORK:
            table = make_table(Path(place, f"{rows}.csv"), rows)
            for other in others:
                compare(what, table, task, jobs, other, pairs)
        restarts(Path(place), pairs)


if __name__ == "__main__":
    main()
