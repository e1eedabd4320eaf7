"""The checkpoint: the SQLite file that remembers settled rows across runs. See docs/checkpoint-format.md.

One writer (the coordinator), readers at any time. Everything that a commit has acknowledged survives
kill -9 and power loss: write-ahead log, `synchronous=FULL`.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from . import seal
from .errors import CheckpointError

FORMAT = 1
DONE, FAILED, TIMED_OUT, CRASHED, SKIPPED = 1, 2, 3, 4, 5
LEFT = 0
_BLOCK = 8192
STATUS_NAMES = ("left", "done", "failed", "timed_out", "crashed", "skipped")

_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE run(
  id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, exit INTEGER, pid INTEGER NOT NULL,
  versions TEXT NOT NULL, options TEXT NOT NULL, counts TEXT
);
CREATE TABLE task(id INTEGER PRIMARY KEY, version TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, first_used REAL NOT NULL);
CREATE TABLE ledger(
  position INTEGER PRIMARY KEY, fingerprint BLOB NOT NULL, key BLOB, status INTEGER NOT NULL,
  attempts INTEGER NOT NULL, task INTEGER NOT NULL, run INTEGER NOT NULL, seconds REAL, result INTEGER,
  failure INTEGER, crc INTEGER NOT NULL
);
CREATE TABLE result(id INTEGER PRIMARY KEY, body BLOB, raw TEXT, how TEXT, note TEXT);
CREATE TABLE failure(
  id INTEGER PRIMARY KEY, position INTEGER NOT NULL, attempt INTEGER NOT NULL, run INTEGER NOT NULL,
  at REAL NOT NULL, seconds REAL, lane INTEGER, kind TEXT NOT NULL, message TEXT NOT NULL, type TEXT,
  http_status INTEGER, traceback TEXT, raw TEXT
);
CREATE INDEX failure_position ON failure(position);
CREATE TABLE twin(position INTEGER PRIMARY KEY, occurrence INTEGER NOT NULL);
CREATE TABLE changed(position INTEGER PRIMARY KEY);
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt, as it is kept. `at`: seconds since 1970; `seconds`: how long it ran."""

    position: int
    attempt: int
    at: float
    seconds: float
    lane: int
    kind: str
    message: str
    type: str | None = None
    http_status: int | None = None
    traceback: str | None = None
    raw: str | None = None


class Settled(NamedTuple):
    """A row that is settled: what a run leaves on disk about it. `body` is JSON."""

    position: int
    fingerprint: bytes
    key: bytes | None
    status: int
    attempts: int
    task: int
    seconds: float
    body: bytes | None = None
    raw: str | None = None
    how: str | None = None
    note: str | None = None
    failure: Failure | None = None


class Checkpoint:
    """An open checkpoint. Make one with `opened`."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self.db = db

    def get(self, key: str, default: Any = None) -> Any:
        """A fact about the checkpoint (any JSON value)."""
        found = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if found is None else json.loads(found[0])

    def put(self, **facts: Any) -> None:
        """Remember facts (inside a transaction, if one is open)."""
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        self.db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    @contextmanager
    def transaction(self, *, keep: bool = True) -> Iterator[None]:
        """All or nothing, and durable when the block has been left. Without `keep`, nothing in any case."""
        with explained(self.path):
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT" if keep else "ROLLBACK")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    def task_id(self, version: str, spec: str) -> int:
        """The number of a task version, new or known."""
        row = (version, spec, time.time())
        self.db.execute("INSERT OR IGNORE INTO task(version, spec, first_used) VALUES (?, ?, ?)", row)
        found = self.db.execute("SELECT id FROM task WHERE version = ?", (version,)).fetchone()
        return int(found[0])

    def begin_run(self, versions: dict[str, str], options: dict[str, Any]) -> int:
        """Write down that a run has started; returns its number."""
        row = (time.time(), os.getpid(), json.dumps(versions), json.dumps(options))
        sql = "INSERT INTO run(started, pid, versions, options) VALUES (?, ?, ?, ?)"
        return int(self.db.execute(sql, row).lastrowid or 0)

    def end_run(self, run: int, exit_code: int, counts: dict[str, Any]) -> None:
        """Write down how a run ended."""
        row = (time.time(), exit_code, json.dumps(counts), run)
        self.db.execute("UPDATE run SET ended = ?, exit = ?, counts = ? WHERE id = ?", row)

    def write(self, run: int, settled: list[Settled], failures: list[Failure]) -> None:
        """Commit settled rows and failed attempts of rows that will be tried again, in one transaction."""
        with self.transaction():
            next_failure = self._next("failure")
            rows = [*failures, *(row.failure for row in settled if row.failure)]
            self.db.executemany(
                f"INSERT INTO failure VALUES ({','.join('?' * 13)})",
                [_failure_row(next_failure + n, run, failure) for n, failure in enumerate(rows)],
            )
            self._write_settled(run, settled, next_failure + len(failures))
            if self._any_changed():
                self.db.executemany("DELETE FROM changed WHERE position = ?", [(row.position,) for row in settled])

    def _write_settled(self, run: int, settled: list[Settled], next_failure: int) -> None:
        next_result = self._next("result")
        ledger: list[tuple[Any, ...]] = []
        results: list[tuple[Any, ...]] = []
        for row in settled:
            position, fingerprint, key, status, attempts, task, seconds, body, raw, how, note, failed = row
            result = failure = None
            if body is not None or note is not None or raw is not None:
                result = next_result + len(results)
                results.append((result, body, raw, how, note))
            if failed:
                failure = next_failure
                next_failure += 1
            crc = seal.of(row)
            ledger.append((position, fingerprint, key, status, attempts, task, run, seconds, result, failure, crc))
        self.db.executemany("INSERT INTO result VALUES (?,?,?,?,?)", results)
        self.db.executemany("INSERT OR REPLACE INTO ledger VALUES (?,?,?,?,?,?,?,?,?,?,?)", ledger)

    def _any_changed(self) -> bool:
        return self.db.execute("SELECT 1 FROM changed LIMIT 1").fetchone() is not None

    def _next(self, table: str) -> int:
        found = self.db.execute(f"SELECT max(id) FROM {table}").fetchone()
        return (found[0] or 0) + 1

    def statuses(self) -> Iterator[list[tuple[int, int, int]]]:
        """Position, status and task version of the table's settled rows, in order, some thousands at a time."""
        with explained(self.path):
            sql = "SELECT position, status, task FROM ledger WHERE position > 0 ORDER BY position"
            cursor = self.db.execute(sql)
            while block := cursor.fetchmany(_BLOCK):
                yield block

    def counts(self) -> dict[str, int]:
        """How many rows of the table have each settled state."""
        counts = dict.fromkeys(STATUS_NAMES[1:], 0)
        with explained(self.path):
            found = self.db.execute("SELECT status, count(*) FROM ledger WHERE position > 0 GROUP BY status")
            counts.update((STATUS_NAMES[status], count) for status, count in found)
        return counts

    def attempts_under_way(self) -> dict[int, int]:
        """Attempts already made at rows that an earlier run left before it settled them."""
        sql = """SELECT f.position, max(f.attempt) FROM failure f LEFT JOIN ledger l USING (position)
                 WHERE f.position > 0 GROUP BY f.position HAVING max(f.attempt) > coalesce(max(l.attempts), 0)"""
        with explained(self.path):
            return dict(self.db.execute(sql).fetchall())

    def attempts_and_status(self, position: int) -> tuple[int, int]:
        """Attempts made at a settled row, and its state."""
        found = self.db.execute("SELECT attempts, status FROM ledger WHERE position = ?", (position,)).fetchone()
        return found or (0, LEFT)

    def close(self) -> None:
        """Close the file. What was committed is on disk already."""
        self.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _failure_row(number: int, run: int, failure: Failure) -> tuple[Any, ...]:
    return (
        number, failure.position, failure.attempt, run, failure.at, failure.seconds, failure.lane, failure.kind,
        failure.message, failure.type, failure.http_status, failure.traceback, failure.raw,
    )  # fmt: skip


def opened(path: Path, *, write: bool) -> Checkpoint:
    """Open the checkpoint at `path`; with `write`, make it if it is missing or empty.

    Raises `CheckpointError` if it is damaged, of a newer format, no checkpoint, or cannot be written.
    """
    with explained(path):
        mode = "rwc" if write else "ro"
        # Autocommit: transactions are ours to begin and end. A reader waits for a writer's checkpoint.
        db = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=30,
            check_same_thread=False, cached_statements=256,
        )  # fmt: skip
        try:
            _prepare(db, path, write=write)
        except BaseException:
            db.close()
            raise
    return Checkpoint(path, db)


def _prepare(db: sqlite3.Connection, path: Path, *, write: bool) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    empty = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version > FORMAT:
        raise CheckpointError(
            f"{path} was written by a newer batchrun (format {version}, this one reads up to {FORMAT})",
            "upgrade batchrun, or give --name to start another checkpoint",
        )
    if version != FORMAT and not empty:
        raise CheckpointError(f"{path} is not a checkpoint of batchrun", "move it away, or give --name or --dir")
    if write:
        mode = db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise CheckpointError(
                f"{path}: this file system cannot hold a write-ahead log", "give --dir a local folder"
            )
        db.execute("PRAGMA synchronous=FULL")
        os.chmod(path, 0o600)
        if empty:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={FORMAT}; COMMIT;")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into an error that tells the user what to do."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _in_words(path, error) from error


def _in_words(path: Path, error: Exception) -> CheckpointError:
    text = str(error)
    if "full" in text or getattr(error, "errno", None) in (28, 122):
        return CheckpointError(
            f"{path}: the disk is full; everything that was acknowledged is safe",
            "make room and run the same command again",
        )
    if "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        return CheckpointError(
            f"{path} cannot be written: {text}", "check its permissions, or give --dir another folder"
        )
    if "malformed" in text or "not a database" in text or "no such" in text:
        return CheckpointError(
            f"{path} is damaged: {text}",
            "'batchrun verify' says what can be saved; --fresh starts over and keeps the old file",
        )
    if "locked" in text:
        return CheckpointError(f"{path} is locked by another program", "close what has it open and run again")
    return CheckpointError(f"{path}: {text}", "check the disk, or give --dir another folder")


def last_run(db: sqlite3.Connection) -> dict[str, Any] | None:
    """The last run that is written down: started, ended, exit, pid."""
    with closing(db.execute("SELECT started, ended, exit, pid FROM run ORDER BY id DESC LIMIT 1")) as cursor:
        found = cursor.fetchone()
    return dict(zip(("started", "ended", "exit", "pid"), found, strict=True)) if found else None
