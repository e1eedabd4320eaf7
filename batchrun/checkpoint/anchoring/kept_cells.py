"""Digests of each cell of the table are kept, so that rows are known again when a column has gone.

A fingerprint is over all cells of a row; without one of its columns nobody could make it again. So the pass over a
table leaves, beside each row's fingerprint, a digest of each cell, in blocks that are named by the fingerprints in
them: a block that is met again stays as it is. All of it is in the checkpoint, in the transaction that binds it.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence

from xxhash import xxh3_128_digest

from batchrun.table.fingerprint import CELL

from .align import WIDTH

TABLES = """
CREATE TABLE IF NOT EXISTS kept_order(nth INTEGER PRIMARY KEY, name BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS kept_cells(
  id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, columns TEXT NOT NULL, fingerprints BLOB NOT NULL,
  cells BLOB NOT NULL
)
"""


class KeptCells:
    """The kept cells while a table is bound: the blocks of the table as it was, and those of the table as it is."""

    def __init__(self, db: sqlite3.Connection) -> None:
        for table in TABLES.split(";"):  # not as a script, which would end the transaction
            db.execute(table)
        self._db = db
        self._before = {name for (name,) in db.execute("SELECT name FROM kept_cells")}
        self._new: set[bytes] = set()
        self._order: list[bytes] = []

    def __bool__(self) -> bool:
        """Whether anything is known of the table as it was."""
        return bool(self._before)

    def holds(self, fingerprints: bytes) -> bool:
        """Whether there is a block of rows with these fingerprints (joined)."""
        return xxh3_128_digest(fingerprints) in self._before

    def again(self, fingerprints: bytes) -> None:
        """A block of the table as it was is in the table as it is, too."""
        self._order.append(xxh3_128_digest(fingerprints))

    def add(self, fingerprints: bytes, columns: Sequence[str], cells: list[bytes]) -> None:
        """Take in a block: joined fingerprints, and for each column the joined digests of its cells."""
        name = xxh3_128_digest(fingerprints)
        if name not in self._before and name not in self._new:
            row = (name, json.dumps(list(columns)), fingerprints, b"".join(cells))
            self._db.execute("INSERT INTO kept_cells(name, columns, fingerprints, cells) VALUES (?, ?, ?, ?)", row)
            self._new.add(name)
        self._order.append(name)

    def close(self) -> None:
        """Forget the table as it was."""
        gone = self._before.difference(self._order)
        self._db.executemany("DELETE FROM kept_cells WHERE name = ?", [(name,) for name in gone])
        self._db.execute("DELETE FROM kept_order")
        self._db.executemany("INSERT INTO kept_order VALUES (?, ?)", enumerate(self._order))

    def rows_before(self, columns: Sequence[str]) -> Iterator[tuple[bytes, bytes]]:
        """Of each row of the table as it was, in order: its content in these columns (see `shared`), fingerprint."""
        sql = "SELECT columns, fingerprints, cells FROM kept_order JOIN kept_cells USING (name) ORDER BY nth"
        for had, fingerprints, cells in self._db.execute(sql):
            size = len(fingerprints) // WIDTH * CELL
            digests = {column: cells[nth * size : (nth + 1) * size] for nth, column in enumerate(json.loads(had))}
            contents = shared([digests.get(column, bytes(size)) for column in columns])
            yield from zip(contents, _split(fingerprints, WIDTH), strict=True)


def shared(cells: list[bytes]) -> Iterator[bytes]:
    """Of each row, 16 bytes over the digests of some of its cells; `cells`: joined digests, one for each column."""
    rows = zip(*(_split(column, CELL) for column in cells), strict=True)
    return map(xxh3_128_digest, map(b"".join, rows))


def _split(joined: bytes, width: int) -> list[bytes]:
    return [joined[at : at + width] for at in range(0, len(joined), width)]
