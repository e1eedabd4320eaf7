"""The checkpoint: the SQLite file that remembers settled rows across runs. See docs/checkpoint-format.md.

One writer (the coordinator), readers at any time. Everything that a commit has acknowledged survives
kill -9 and power loss: write-ahead log, `synchronous=FULL`.
"""

import json
import os
import sqlite3
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Self
from zlib import crc32

from batchrun.core.money import Tokens
from batchrun.core.states import SETTLED_NAMES

from . import reading
from .damage import corruption, damaged_rows, naming_damage
from .explain import as_checkpoint_error, damaged, explained, status_name
from .fact_shapes import nonsense_in
from .gathering import blocks_of, stretches_of
from .old_formats import numbers_reached
from .placing import cut, next_number, put
from .records import Failure, Reached, Settled, Stretch
from .row_reader import row_at
from .sheets import NAME_BYTES, Block

_FACTS_SEAL = "seal"
KEPT_TRACEBACKS = 5
"""A row's latest failed attempts that keep their tracebacks: a thousand retries must not fill the disk."""
# The one that a settled row stands with is sealed with it. It goes once the row is settled anew, and so is looked at
# again for a while.
_FORGET_TRACEBACKS = f"""
UPDATE failure SET traceback = NULL
WHERE id IN (SELECT id FROM failure WHERE position = :row ORDER BY id DESC LIMIT 20 OFFSET {KEPT_TRACEBACKS})
  AND traceback IS NOT NULL
  AND id NOT IN (SELECT b.failure FROM place p JOIN block b ON b.id = p.block
                 WHERE b.failure IS NOT NULL AND {reading.COVERED.format(at=":row")})
"""


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
            raise damaged(self.path, "what it remembers about the table does not match its checksum")
        if why := nonsense_in(self.db.execute("SELECT key, value FROM meta").fetchall()):
            raise damaged(self.path, why)
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
        settled: Iterable[Settled],
        failures: Sequence[Failure],
        spent: tuple[Tokens, float | None] | None = None,
        standing: Mapping[str, int] | None = None,
        blocks: Sequence[Block] = (),
    ) -> None:
        """Commit settled rows and failed attempts of rows that will be tried again, in one transaction.

        `blocks`: further settled rows, which have come as sheets. `spent`: the tokens that the run has used so far, and
        what they cost. `standing`: how the table stands with this commit, for those who look at the run while it is
        in progress.
        """
        settled = list(settled)
        failed = [_failure_row(run, failure) for failure in failures]
        with self.transaction():
            first = next_number(self.db, "failure")
            self._unmark_changed(settled, blocks)
            put(self.db, run, _with_failures(run, chain(blocks, blocks_of(settled)), failed, first))
            rows = [(first + n, *row) for n, row in enumerate(failed)]
            self.db.executemany(f"INSERT INTO failure VALUES ({','.join('?' * 13)})", rows)
            self.db.executemany(_FORGET_TRACEBACKS, [{"row": row[0]} for row in failed if row[1] > KEPT_TRACEBACKS])
            if spent:
                self.db.execute("INSERT OR REPLACE INTO spent VALUES (?,?,?,?,?,?)", (run, *spent[0], spent[1]))
            if standing:
                self.db.execute("UPDATE run SET counts = ? WHERE id = ?", (json.dumps(standing), run))

    def _unmark_changed(self, settled: Iterable[Settled], blocks: Iterable[Block]) -> None:
        """Rows that are settled anew are what they are now, unless they have run with the content that they had."""
        marked = set(reading.changed_rows(self.db))
        if not marked:
            return
        now = {row.position: row.fingerprint for row in settled if row.position in marked}
        for block in blocks:
            names = block.sheet.names
            now |= {
                position: names[NAME_BYTES * nth : NAME_BYTES * (nth + 1)]
                for nth, position in enumerate(block.positions)
                if position in marked
            }
        for position, name in now.items():
            before = row_at(self.db, position)
            if before is None or before.fingerprint != name:
                self.db.execute("DELETE FROM changed WHERE position = ?", (position,))

    def reached(self) -> Reached:
        """How far it has come."""
        with explained(self.path):
            return Reached(self.get("id", ""), *(numbers_reached(self.db) or reading.newest(self.db)))

    def stretches(self) -> Iterator[Stretch]:
        """The table's settled rows in order, neighbours of one state and task version taken together."""
        with naming_damage(self.path, self.db):
            self._last_position()
            for stretch in reading.stretches(self.db):
                status_name(self.path, stretch.status)
                yield stretch

    def forget_damaged(self, asked: Collection[int] | None) -> list[int]:
        """Take away the records that are not what was written, inside the caller's transaction.

        Returns their rows, which are left again.
        `asked`: of these rows only, if not None.
        """
        with explained(self.path):
            rows = [row for row in damaged_rows(self.db) if asked is None or row in asked]
            for first, count, _ in stretches_of(rows) if rows else ():
                cut(self.db, first, first + count - 1)
        return [row for row in rows if row > 0]

    def counts(self) -> dict[str, int]:
        """How many rows of the table have each settled state."""
        with explained(self.path):
            self._last_position()
            return self.counted()

    def counted(self) -> dict[str, int]:
        """The same, however many rows the table has."""
        counts = dict.fromkeys(SETTLED_NAMES, 0)
        counts.update((status_name(self.path, status), rows) for status, rows in reading.rows_by_state(self.db))
        return counts

    def replies(self) -> dict[str, int]:
        """How many rows of the table are done, by how their results were found; the most common first."""
        with explained(self.path):
            return reading.replies(self.db)

    def _last_position(self) -> int:
        """The last settled row. Raises `CheckpointError` if the table does not have so many."""
        last = reading.last_position(self.db)
        if last > self.get("rows", last):
            raise damaged(self.path, f"it knows of row {last:,}, which the table does not have")
        return last

    def failed_rows(self) -> Generator[tuple[int, str, str, str | None, str | None], None, None]:
        """Position, kind, message and traceback of each row of the table that has failed, in order."""
        with explained(self.path):
            yield from reading.failed_rows(self.db)

    def attempts_under_way(self) -> dict[int, int]:
        """Attempts already made at rows that an earlier run left before it settled them."""
        with explained(self.path):
            return reading.attempts_under_way(self.db)

    def attempts_made(self, rows: Iterable[int]) -> dict[int, int]:
        """Of these rows, those with attempts that are written down, whether they have settled the row or not."""
        with explained(self.path):
            return reading.attempts_made(self.db, sorted(rows))

    def attempts_and_status(self, position: int) -> tuple[int, int]:
        """Attempts made at a settled row, and its state."""
        with explained(self.path):
            return reading.attempts_and_status(self.db, position)

    def close(self) -> None:
        """Close the file. What was committed is on disk already."""
        self.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if isinstance(error, sqlite3.Error):
                raise as_checkpoint_error(self.path, error) from error
            if isinstance(error, (OverflowError, RecursionError)):  # no run writes such a number, or such JSON
                raise damaged(self.path, str(error)) from error
            if isinstance(error, (LookupError, TypeError, ValueError, AttributeError)) and (why := corruption(self.db)):
                raise damaged(self.path, why) from error
        finally:
            self.close()


def _with_failures(
    run: int, blocks: Iterable[Block], failed: list[tuple[Any, ...]], first: int
) -> Iterator[tuple[Block, int | None]]:
    """Each block with the number of its failure, which is added to those that have `failed`; `first` is the first's."""
    for block in blocks:
        if block.failure is None:
            yield block, None
        else:
            failed.append(_failure_row(run, block.failure))
            yield block, first + len(failed) - 1


def _failure_row(run: int, failure: Failure) -> tuple[Any, ...]:
    return (
        failure.position, failure.attempt, run, failure.at, failure.seconds, failure.lane, failure.kind,
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
