"""What is laid aside on disk for a while, to be taken up again in another order."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Self

from batchrun.errors import StoppedError


class Aside:
    """Holds pieces, each with its rank, in a file without a name: it is gone with this process, however that ends.

    Use as a context manager. Raises `StoppedError` where there is no room in `folder`.
    """

    def __init__(self, folder: Path) -> None:
        with NamedTemporaryFile(dir=folder) as file:
            self._db = sqlite3.connect(file.name, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = OFF")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute("CREATE TABLE aside (rank INTEGER, piece BLOB)")
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def lay(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        """Take in pieces, each after its rank (63 bits)."""
        try:
            self._db.executemany("INSERT INTO aside VALUES (?, ?)", pieces)
        except sqlite3.OperationalError as error:
            raise _no_room(error) from error

    def by_rank(self) -> Iterator[bytes]:
        """All pieces, the lowest rank first."""
        # Only the ranks are sorted: pieces may be large.
        ranked = "SELECT rowid AS id FROM aside ORDER BY rank"
        query = f"SELECT (SELECT piece FROM aside WHERE rowid = id) FROM ({ranked})"
        try:
            for (piece,) in self._db.execute(query):
                yield piece
        except sqlite3.OperationalError as error:
            raise _no_room(error) from error


def _no_room(error: sqlite3.OperationalError) -> StoppedError:
    return StoppedError(
        f"the rows cannot be put in random order: {error}",
        "have room for a copy of the table where the checkpoint is (another folder: --dir DIR), or leave --order out",
    )
