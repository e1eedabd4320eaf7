"""What many tests need: the real command as a real process, tables, and the oracle."""

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "batchrun"]
IMPATIENT = [
    sys.executable,
    "-c",
    """
from batchrun.engine.local import still_loading
still_loading.LEAST_SECONDS, still_loading.PATIENCE = 0.25, 2
from batchrun.__main__ import main
main()
""",
]
"""The same, with less patience for a task that does not come to the end of loading."""
NOTE = '''
import os, time
from pathlib import Path

STARTED = Path(os.environ.get("NOTES") or Path(__file__).with_name("started"))


def note(row):
    """Write down that a row has started, when and where: one atomic append."""
    fd = os.open(STARTED, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{row['id']} {time.monotonic()} {os.getpid()}\\n".encode())
    os.close(fd)
'''
"""For tasks of tests: `note(row)`, which `starts` counts. The variable `NOTES` names another file for it."""


def batchrun(*args: object, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 90):
    """Run the command to its end; stdout and stderr as text."""
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def batchrun_ignoring_sigchld(*args: object, cwd: Path | None = None, timeout: float = 90):
    """Run the command as services do that ignore the ends of their children: no exec changes that."""
    ignore = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    return subprocess.run(
        [sys.executable, "-c", ignore, *COMMAND, *map(str, args)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def start(*args: object, cwd: Path | None = None, env: dict[str, str] | None = None, **options: Any):
    """Start the command and go on; its output is kept in pipes."""
    return subprocess.Popen(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        **options,
    )


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """This environment without what would change the command's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BATCHRUN_")}
    return {**kept, **(extra or {})}


def write_table(path: Path, rows: Iterable[Iterable[object]], header: Iterable[str] = ("id", "text")) -> Path:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


def numbered(path: Path, rows: int) -> Path:
    """A CSV file with columns id (1, 2, …) and text."""
    return write_table(path, ((n, f"text {n}") for n in range(1, rows + 1)))


def database(table: Path, name: str) -> Path:
    """The checkpoint of a task."""
    return table.parent / f"{table.name}.batchrun" / f"{name}.sqlite"


LEDGER = """
CREATE TEMP VIEW IF NOT EXISTS ledger AS
SELECT p.position - p.nth + e.key AS position, substr(b.names, 1 + 16 * e.key, 16) AS fingerprint,
  substr(b.keys, 1 + 16 * e.key, 16) AS key, b.status, b.attempts, b.task, b.run, e.value / 1e6 AS seconds,
  b.id * 65536 + e.key AS result, b.failure, b.at, b.lane
FROM place p JOIN block b ON b.id = p.block JOIN json_each(b.seconds) e
WHERE e.key >= p.nth AND e.key < p.nth + p.rows;
CREATE TEMP VIEW IF NOT EXISTS result AS
SELECT b.id * 65536 + e.key AS id, b.bodies -> e.key AS body, json_extract(b.raws, e.fullkey) AS raw,
  coalesce(json_extract(b.hows, e.fullkey), CASE WHEN b.bodies IS NOT NULL THEN 'value' END) AS how, b.note
FROM block b JOIN json_each(b.seconds) e;
"""
"""A line for each settled row, in the table or gone; `result` and `ledger` are joined by `result`, or by a row."""


def with_rows(db: sqlite3.Connection) -> sqlite3.Connection:
    """A checkpoint's database with the views `ledger` and `result`."""
    if db.execute("SELECT 1 FROM pragma_table_info('block')").fetchone():  # else it is of an older format
        for view in LEDGER.split(";"):
            db.execute(view)  # not as a script, which would end a transaction
    return db


def reading(table: Path, name: str) -> "closing[sqlite3.Connection]":
    """The database of a task's checkpoint, to be read, with these views."""
    return closing(with_rows(sqlite3.connect(f"file:{database(table, name)}?mode=ro", uri=True)))


def settled(table: Path, name: str) -> dict[int, tuple[int, Any]]:
    """The oracle's view: position -> (status, result) of every settled row."""
    with reading(table, name) as db:
        rows = db.execute("SELECT position, status, body FROM ledger LEFT JOIN result ON id = result").fetchall()
    return {position: (status, json.loads(body) if body else None) for position, status, body in rows}


def known(table: Path, name: str) -> dict[int, tuple[int, Any]]:
    """What is settled; nothing while the checkpoint is being made, or where a run was killed before it had made it."""
    try:
        return settled(table, name)
    except sqlite3.OperationalError:
        return {}


def count_settled(table: Path, name: str) -> int:
    """Rows on disk so far; none while the checkpoint is being made."""
    try:
        with reading(table, name) as db:
            found = db.execute("SELECT count(*) FROM ledger").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    return int(found)


def records(stdout: str) -> list[dict[str, Any]]:
    """The records that `process --json` prints."""
    return [json.loads(line) for line in stdout.splitlines()]


def ran(done: "subprocess.CompletedProcess[str]") -> int:
    """How many rows a run that ended well has run, by what `process --json` prints."""
    assert done.returncode == 0, done.stderr
    return int(records(done.stdout)[1]["ran"])


def wait_for(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true value of `condition()`; fails when there is none in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError(f"waited {seconds} s in vain")


def lines_of(path: Path) -> list[str]:
    """The lines that tasks have written so far."""
    return path.read_text().splitlines() if path.exists() else []


def starts(folder: Path, file: str = "started") -> Counter[int]:
    """Row -> how often it has started, by what tasks have noted."""
    return Counter(int(line.split()[0]) for line in lines_of(folder / file))


def descendants(pid: int) -> list[psutil.Process]:
    """Every process that `pid` has started."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run (a zombie does not)."""
    return [process for process in processes if _runs(process)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it has ended between the two questions
        return False


def kill(process: "subprocess.Popen[str]") -> None:
    """kill -9, and wait until it is gone."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def kill_amid(command: Iterable[object], folder: Path, rows: int, *, frozen: bool = False) -> None:
    """Kill a run when so many rows have started; `frozen`: when it has not listened to its lanes for a while."""
    run = start(*command, cwd=folder)
    wait_for(lambda: len(lines_of(folder / "started")) >= rows)
    workers = descendants(run.pid)
    if frozen:
        run.send_signal(signal.SIGSTOP)
        before = 0
        while before < (before := len(lines_of(folder / "started"))):  # until the lanes have run all that they hold
            time.sleep(0.3)
    kill(run)
    wait_for(lambda: not alive(workers))
