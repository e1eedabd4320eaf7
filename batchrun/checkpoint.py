"""The checkpoint: the SQLite file that remembers settled rows across runs. See docs/checkpoint-format.md.

One writer (the coordinator), readers at any time. Everything that a commit has acknowledged survives
kill -9 and power loss: write-ahead log, `synchronous=FULL`.
"""

import errno
import json
import os
import sqlite3
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self
from zlib import crc32

from . import seal
from .checkpoint_format import FORMAT, create, disguise, is_known, migrate
from .errors import BatchrunError, CheckpointError, UsageError
from .money import Tokens
from .oddity import oddity

DONE, FAILED, TIMED_OUT, CRASHED, SKIPPED = 1, 2, 3, 4, 5
LEFT = 0
_BLOCK = 8192
_AT_ONCE = 50
_PAGE_BYTES = 4096
_HERE = "FROM ledger WHERE position BETWEEN ? AND ?"
_ALIKE = f"SELECT count(*) {_HERE} AND status = ? AND task = ?"
_EACH = f"SELECT position, position, status, task {_HERE} ORDER BY position"
_REACHED = "SELECT (SELECT max(id) FROM result), (SELECT max(id) FROM failure)"
_FACTS_SEAL = "seal"
_SIGNS_OF_DAMAGE = ("malformed", "not a database", "no such", "constraint failed", "decode", "corrupt", "unsupported")
STATUS_NAMES = ("left", "done", "failed", "timed_out", "crashed", "skipped")


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


class Stretch(NamedTuple):
    """Rows `first` to `last`: all settled, in one state, under one version of the task."""

    first: int
    last: int
    status: int
    task: int


class Settled(NamedTuple):
    """A row that is settled: what a run leaves on disk about it. `body` is JSON.

    `seconds`, `at`, `lane`: how long its last attempt ran, when that ended (seconds since 1970), and where.
    """

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
    at: float | None = None
    lane: int | None = None


class Reached(NamedTuple):
    """How far a checkpoint has come: its name (empty before its table is known), and the highest numbers given."""

    checkpoint: str
    results: int
    failures: int


class NothingYet(UsageError):
    """The file is there, and no run has come as far as to write anything into it."""


class Checkpoint:
    """An open checkpoint. Make one with `opened`.

    As a context manager it tells what SQLite says inside the block as a `CheckpointError`.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self.db = db
        self._facts_are_whole = False

    def get(self, key: str, default: Any = None) -> Any:
        """A fact about the checkpoint (any JSON value). Raises `CheckpointError` if the facts are damaged."""
        with explained(self.path):
            self._check_facts()
            found = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if found is None else json.loads(found[0])

    def put(self, **facts: Any) -> None:
        """Remember facts (inside a transaction, if one is open)."""
        if not self.db.in_transaction:
            with self.transaction():
                self.put(**facts)
            return
        self._check_facts()
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        self.db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_FACTS_SEAL, str(_seal_of_facts(self.db))))

    def _check_facts(self) -> None:
        """Raise if the facts do not fit their seal: a wrong one would bind results to other rows."""
        if self._facts_are_whole:
            return
        kept = self.db.execute("SELECT value FROM meta WHERE key = ?", (_FACTS_SEAL,)).fetchone()
        any_fact = self.db.execute("SELECT 1 FROM meta LIMIT 1").fetchone()
        if any_fact and (kept is None or kept[0] != str(_seal_of_facts(self.db))):
            raise damaged(self.path, "what it remembers of the table does not fit its checksum")
        self._facts_are_whole = True

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
        with explained(self.path):
            self.db.execute("INSERT OR IGNORE INTO task(version, spec, first_used) VALUES (?, ?, ?)", row)
            found = self.db.execute("SELECT id FROM task WHERE version = ?", (version,)).fetchone()
        return int(found[0])

    def begin_run(self, versions: dict[str, str], options: dict[str, Any]) -> int:
        """Write down that a run has started; returns its number."""
        row = (time.time(), os.getpid(), json.dumps(versions), json.dumps(options))
        sql = "INSERT INTO run(started, pid, versions, options) VALUES (?, ?, ?, ?)"
        with explained(self.path):
            return int(self.db.execute(sql, row).lastrowid or 0)

    def end_run(self, run: int, exit_code: int, counts: dict[str, Any]) -> None:
        """Write down how a run ended."""
        row = (time.time(), exit_code, json.dumps(counts), run)
        with explained(self.path):
            self.db.execute("UPDATE run SET ended = ?, exit = ?, counts = ? WHERE id = ?", row)

    def write(
        self,
        run: int,
        settled: list[Settled],
        failures: list[Failure],
        spent: tuple[Tokens, float | None] | None = None,
        standing: Mapping[str, int] | None = None,
    ) -> None:
        """Commit settled rows and failed attempts of rows that will be tried again, in one transaction.

        `spent`: the tokens that the run has used so far, and what they cost. `standing`: how the table stands
        with this commit, for those who look at the run while it goes on.
        """
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
            if spent:
                self.db.execute("INSERT OR REPLACE INTO spent VALUES (?,?,?,?,?,?)", (run, *spent[0], spent[1]))
            if standing:
                self.db.execute("UPDATE run SET counts = ? WHERE id = ?", (json.dumps(standing), run))

    def _write_settled(self, run: int, settled: list[Settled], next_failure: int) -> None:
        next_result = self._next("result")
        ledger: list[tuple[Any, ...]] = []
        results: list[tuple[Any, ...]] = []
        for row in settled:
            position, fingerprint, key, status, attempts, task, seconds, body, raw, how, note, failed, at, lane = row
            result = failure = None
            if body is not None or note is not None or raw is not None:
                result = next_result + len(results)
                results.append((result, body, raw, how, note))
            if failed:
                failure = next_failure
                next_failure += 1
            crc = seal.of(row)
            ledger.append(
                (position, fingerprint, key, status, attempts, task, run, seconds, result, failure, crc, at, lane)
            )
        _insert(self.db, "INSERT INTO result", results)
        _insert(self.db, "INSERT OR REPLACE INTO ledger", ledger)

    def reached(self) -> Reached:
        """How far it has come."""
        with explained(self.path):
            results, failures = self.db.execute(_REACHED).fetchone()
        return Reached(self.get("id", ""), results or 0, failures or 0)

    def _any_changed(self) -> bool:
        return self.db.execute("SELECT 1 FROM changed LIMIT 1").fetchone() is not None

    def _next(self, table: str) -> int:
        found = self.db.execute(f"SELECT max(id) FROM {table}").fetchone()
        return (found[0] or 0) + 1

    def stretches(self) -> Iterator[Stretch]:
        """The table's settled rows in order, neighbours of one state and task version taken together.

        SQLite looks at blocks of rows; where all are alike, the usual case, no row of them becomes a Python object.
        """
        with explained(self.path):
            last = self._last_position()
            for first in range(1, last + 1, _BLOCK):
                block = (first, min(first + _BLOCK - 1, last))
                rows = block[1] - first + 1
                like = self.db.execute("SELECT status, task FROM ledger WHERE position = ?", (first,)).fetchone()
                if like and self.db.execute(_ALIKE, (*block, *like)).fetchone()[0] == rows:
                    found = [Stretch(*block, *like)]
                else:
                    found = list(map(Stretch._make, self.db.execute(_EACH, block)))
                for status in {stretch.status for stretch in found}:
                    status_name(self.path, status)
                yield from found

    def counts(self) -> dict[str, int]:
        """How many rows of the table have each settled state."""
        counts = dict.fromkeys(STATUS_NAMES[1:], 0)
        with explained(self.path):
            self._last_position()
            (total,) = self.db.execute("SELECT count(*) FROM ledger WHERE position > 0").fetchone()
            # Only the others are sorted: nearly all rows are done.
            others = f"SELECT status, count(*) FROM ledger WHERE position > 0 AND status != {DONE} GROUP BY status"
            counts.update((status_name(self.path, status), count) for status, count in self.db.execute(others))
        counts["done"] = total - sum(counts.values())
        return counts

    def _last_position(self) -> int:
        """The last settled row. Raises `CheckpointError` if the table does not have so many."""
        last = self.db.execute("SELECT max(position) FROM ledger").fetchone()[0] or 0
        if last > self.get("rows", last):
            raise damaged(self.path, f"it knows of row {last:,}, which the table does not have")
        return max(last, 0)

    def failed_rows(self) -> Generator[tuple[int, str, str, str | None], None, None]:
        """Position, kind, message and traceback of each row of the table that has failed, in order."""
        with explained(self.path):
            yield from self.db.execute(
                """SELECT l.position, f.kind, f.message, f.traceback FROM ledger l JOIN failure f ON f.id = l.failure
                   WHERE l.position > 0 ORDER BY l.position"""
            )

    def attempts_under_way(self) -> dict[int, int]:
        """Attempts already made at rows that an earlier run left before it settled them."""
        sql = """SELECT f.position, max(f.attempt) FROM failure f LEFT JOIN ledger l USING (position)
                 WHERE f.position > 0 GROUP BY f.position HAVING max(f.attempt) > coalesce(max(l.attempts), 0)"""
        with explained(self.path):
            return dict(self.db.execute(sql).fetchall())

    def attempts_and_status(self, position: int) -> tuple[int, int]:
        """Attempts made at a settled row, and its state."""
        with explained(self.path):
            found = self.db.execute("SELECT attempts, status FROM ledger WHERE position = ?", (position,)).fetchone()
        return found or (0, LEFT)

    def close(self) -> None:
        """Close the file. What was committed is on disk already."""
        self.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if isinstance(error, sqlite3.Error):
                raise _in_words(self.path, error) from error
            if isinstance(error, (LookupError, TypeError, ValueError, AttributeError)) and (why := oddity(self.db)):
                raise damaged(self.path, why) from error
        finally:
            self.close()


def _insert(db: sqlite3.Connection, into: str, rows: list[tuple[Any, ...]]) -> None:
    """Insert rows, fifty with one statement: a quarter less time than one by one."""
    if not rows:
        return
    marks = f"({','.join('?' * len(rows[0]))})"
    whole = len(rows) - len(rows) % _AT_ONCE
    many = f"{into} VALUES {','.join([marks] * _AT_ONCE)}"
    for start in range(0, whole, _AT_ONCE):
        db.execute(many, [*chain.from_iterable(rows[start : start + _AT_ONCE])])
    db.executemany(f"{into} VALUES {marks}", rows[whole:])


def _failure_row(number: int, run: int, failure: Failure) -> tuple[Any, ...]:
    return (
        number, failure.position, failure.attempt, run, failure.at, failure.seconds, failure.lane, failure.kind,
        failure.message, failure.type, failure.http_status, failure.traceback, failure.raw,
    )  # fmt: skip


def opened(path: Path, *, write: bool) -> Checkpoint:
    """Open the checkpoint at `path`; with `write`, make it if it is missing or empty.

    Raises `CheckpointError` if it is damaged, of a newer format, no checkpoint, or cannot be written, and
    `NothingYet` if it is empty and only to be read.
    """
    with explained(path):
        try:
            return _opened(path, "mode=rwc" if write else "mode=ro", write=write)
        except sqlite3.OperationalError as error:
            if not write and _is_half_made(path):
                raise _nothing_yet(path) from error
            # A read-only folder has no room for the files that readers share; nor is there a writer then.
            if write or _has_log(path) or os.access(path.parent, os.W_OK):
                raise
            return _opened(path, "immutable=1", write=False)


def _opened(path: Path, how: str, *, write: bool) -> Checkpoint:
    # Autocommit: transactions are ours to begin and end. A reader waits for a writer's checkpoint.
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?{how}", uri=True, isolation_level=None, timeout=30,
        check_same_thread=False, cached_statements=256,
    )  # fmt: skip
    try:
        _prepare(db, path, write=write)
    except BaseException:
        db.close()
        raise
    return Checkpoint(path, db)


def _is_half_made(path: Path) -> bool:
    """Whether a run was killed in the moment it made the file: a rollback journal is there only until the log is."""
    return Path(f"{path}-journal").exists() and path.exists() and path.stat().st_size <= _PAGE_BYTES


def _nothing_yet(path: Path) -> NothingYet:
    return NothingYet(f"{path} is empty: no run of this task has begun yet", "'batchrun process' begins one")


def _has_log(path: Path) -> bool:
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0


def _prepare(db: sqlite3.Connection, path: Path, *, write: bool) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    empty = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version > FORMAT:
        raise CheckpointError(
            f"{path} was written by a newer batchrun (format {version}, this one reads up to {FORMAT})",
            "upgrade batchrun, or give --name to start another checkpoint",
        )
    if not empty and not is_known(version):
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
            create(db)
        elif version < FORMAT:
            migrate(db, version)
    elif empty:
        raise _nothing_yet(path)
    else:
        disguise(db, version)


def _seal_of_facts(db: sqlite3.Connection) -> int:
    facts = db.execute("SELECT key, value FROM meta WHERE key != ? ORDER BY key", (_FACTS_SEAL,))
    return crc32("".join(f"{key}\0{value}\0" for key, value in facts).encode())


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into an error that tells the user what to do."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _in_words(path, error) from error
    except (OverflowError, UnicodeError) as error:  # a flipped bit can make a number or text that is none
        raise damaged(path, str(error)) from error


def status_name(path: Path, status: Any) -> str:
    """The name of a settled row's state. Raises `CheckpointError` for a number that stands for none."""
    if not isinstance(status, int) or not LEFT < status < len(STATUS_NAMES):
        raise damaged(path, f"it knows of rows in state {status!r}, which there is not")
    return STATUS_NAMES[status]


def damaged(path: Path, why: str) -> CheckpointError:
    """The error for a file that does not hold what was written."""
    return CheckpointError(
        f"{path} is damaged: {why}",
        "'batchrun verify' says what can be saved; --fresh starts over and keeps the old file",
    )


def _in_words(path: Path, error: Exception) -> BatchrunError:
    text = str(error)
    if "full" in text or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return CheckpointError(
            f"{path}: the disk is full; everything that was acknowledged is safe",
            "make room and run the same command again",
        )
    if "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        what = "read" if "unable to open" in text and path.exists() else "written"
        return CheckpointError(
            f"{path} cannot be {what}: {text}", "check its permissions and its folder's, or give --dir another folder"
        )
    if "locked" in text:
        return CheckpointError(f"{path} is locked by another program", "close what has it open and run again")
    if any(word in text for word in _SIGNS_OF_DAMAGE):
        return damaged(path, text)
    return CheckpointError(f"{path}: {text}", "check the disk, or give --dir another folder")


def last_run(db: sqlite3.Connection) -> dict[str, Any] | None:
    """The last run that is written down: started, ended, exit, pid; counts (a text of JSON)."""
    with closing(db.execute("SELECT started, ended, exit, pid, counts FROM run ORDER BY id DESC LIMIT 1")) as cursor:
        found = cursor.fetchone()
    return dict(zip(("started", "ended", "exit", "pid", "counts"), found, strict=True)) if found else None
