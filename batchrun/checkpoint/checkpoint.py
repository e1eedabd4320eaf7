"""The checkpoint: the SQLite file that remembers settled rows across runs. See docs/checkpoint-format.md.

One writer (the coordinator), readers at any time. Everything that a commit has acknowledged survives
kill -9 and power loss: write-ahead log, `synchronous=FULL`.
"""

import json
import os
import sqlite3
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Self
from zlib import crc32

from batchrun.core.money import Tokens
from batchrun.core.states import DONE, LEFT, SETTLED_NAMES

from . import seal
from .damage import corruption, damaged_rows
from .explain import as_checkpoint_error, damaged, explained, status_name
from .records import Failure, Reached, Settled, Stretch

_BLOCK = 8192
_AT_ONCE = 50
_HERE = "FROM ledger WHERE position BETWEEN ? AND ?"
_ALIKE = f"SELECT count(*) {_HERE} AND status = ? AND task = ?"
_EACH = f"SELECT position, position, status, task {_HERE} ORDER BY position"
_REACHED = "SELECT (SELECT max(id) FROM result), (SELECT max(id) FROM failure)"
_FACTS_SEAL = "seal"


class Checkpoint:
    """An open checkpoint. Made by `opening.opened`.

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
            # The writer's lock at once: a transaction that only reads at first could be refused when it comes to write.
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
            if self._any_changed():  # and not settled again with the content that it had
                self.db.executemany(
                    "DELETE FROM changed WHERE position = ?1 "
                    "AND ?2 != (SELECT fingerprint FROM ledger WHERE position = ?1)",
                    [(row.position, row.fingerprint) for row in settled],
                )
            self._write_settled(run, settled, next_failure + len(failures))
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

    def forget_damaged(self, asked: Collection[int] | None) -> list[int]:
        """Take away the records that are not what was written; returns their rows, which are left again.

        `asked`: of these rows only, if not None.
        """
        with explained(self.path):
            rows = [row for row in damaged_rows(self.db) if asked is None or row in asked]
            self.db.executemany("DELETE FROM ledger WHERE position = ?", [(row,) for row in rows])
        return [row for row in rows if row > 0]

    def counts(self) -> dict[str, int]:
        """How many rows of the table have each settled state."""
        counts = dict.fromkeys(SETTLED_NAMES, 0)
        with explained(self.path):
            self._last_position()
            (total,) = self.db.execute("SELECT count(*) FROM ledger WHERE position > 0").fetchone()
            # Only the others are sorted: nearly all rows are done.
            others = f"SELECT status, count(*) FROM ledger WHERE position > 0 AND status != {DONE} GROUP BY status"
            counts.update((status_name(self.path, status), count) for status, count in self.db.execute(others))
        counts["done"] = total - sum(counts.values())
        return counts

    def replies(self) -> dict[str, int]:
        """How many rows of the table are done, by how their results were found; the most common first."""
        with explained(self.path):
            found = self.db.execute(
                "SELECT how, count(*) FROM ledger l JOIN result r ON r.id = l.result "
                f"WHERE l.position > 0 AND l.status = {DONE} GROUP BY how ORDER BY 2 DESC, 1"
            ).fetchall()
        return {how: count for how, count in found if how}

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

    def attempts_made(self, rows: Iterable[int]) -> dict[int, int]:
        """Of these rows, those with attempts that are written down, whether they have settled the row or not."""
        sql = """WITH asked AS (SELECT value AS position FROM json_each(?))
                 SELECT position, max(attempt) FROM (
                   SELECT position, attempts AS attempt FROM ledger WHERE position IN asked
                   UNION ALL SELECT position, attempt FROM failure WHERE position IN asked)
                 GROUP BY position"""
        with explained(self.path):
            return dict(self.db.execute(sql, (json.dumps(sorted(rows)),)).fetchall())

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
                raise as_checkpoint_error(self.path, error) from error
            if isinstance(error, (LookupError, TypeError, ValueError, AttributeError)) and (why := corruption(self.db)):
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


def _seal_of_facts(db: sqlite3.Connection) -> int:
    facts = db.execute("SELECT key, value FROM meta WHERE key != ? ORDER BY key", (_FACTS_SEAL,))
    return crc32("".join(f"{key}\0{value}\0" for key, value in facts).encode())


def last_run(db: sqlite3.Connection) -> dict[str, Any] | None:
    """The last run that is written down: started, ended, exit, pid; counts (a text of JSON)."""
    with closing(db.execute("SELECT started, ended, exit, pid, counts FROM run ORDER BY id DESC LIMIT 1")) as cursor:
        found = cursor.fetchone()
    return dict(zip(("started", "ended", "exit", "pid", "counts"), found, strict=True)) if found else None
