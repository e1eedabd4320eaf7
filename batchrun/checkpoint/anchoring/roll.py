"""The roll: the identities of a table's rows, page by page, kept from one pass over it for the next.

What a page of bytes holds depends on nothing else, given the header and the options of reading. So a pass over
a changed table takes from the roll what it says of pages that it meets again. The roll is worth no more than
the time it saves: one that is missing, damaged or of other options is as good as none.

A roll is one line of JSON, then the identities, 16 bytes a row, then with `--key` the fingerprints likewise.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import xxhash

from batchrun.checkpoint.atomic import replacing
from batchrun.core.ownership import open_own
from batchrun.table.pages import Memo, Page

from .align import WIDTH
from .kept_cells import KeptCells
from .spool import Spool

_FORMAT = 2
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A page, and the number of the first of its rows in the roll."""

    first: int
    page: Page


class Roll:
    """A roll that is open for reading. Make one with `opened_roll`."""

    def __init__(self, file: IO[bytes] | None = None, rows: int = 0, entries: tuple[Entry, ...] = ()) -> None:
        self._file = file
        self._start = file.tell() if file else 0
        self._rows = rows
        self._places = {entry.page.digest: entry.first for entry in entries}
        self.pages = [entry.page for entry in entries]

    def identities(self, page: Page) -> bytes:
        """The joined identities of a page's rows."""
        return self._read(self._places[page.digest] - 1, page.rows)

    def contents(self, page: Page) -> bytes:
        """The joined fingerprints of a page's rows, if rows are named by a key."""
        return self._read(self._rows + self._places[page.digest] - 1, page.rows)

    def _read(self, rows_before: int, rows: int) -> bytes:
        if self._file is None:
            return b""
        self._file.seek(self._start + WIDTH * rows_before)
        return self._file.read(WIDTH * rows)


class Recorder:
    """Fills the spool of a pass, from an old roll where it can, and remembers the pages for the next roll.

    `cells`: is told of the pages that are met again, too; those that it does not know are read.
    """

    def __init__(self, spool: Spool, old: Roll, cells: KeptCells | None = None) -> None:
        self._spool = spool
        self._old = old
        self._cells = cells
        self.entries: list[Entry] = []
        known = old.pages if cells is None else [page for page in old.pages if cells.holds(old.identities(page))]
        self.memo = Memo(known, self._again, self._note)

    def _again(self, page: Page) -> None:
        self.entries.append(Entry(self._spool.rows + 1, page))
        identities = self._old.identities(page)
        self._spool.add_joined(identities, self._old.contents(page))
        if self._cells:
            self._cells.again(identities)

    def _note(self, page: Page) -> None:
        self.entries.append(Entry(self._spool.rows - page.rows + 1, page))


@contextmanager
def opened_roll(path: Path, reading: Any) -> Iterator[Roll]:
    """The roll at `path`, an empty one if it does not serve. `reading`: header and options, any JSON value."""
    with ExitStack() as stack:
        roll = Roll()
        with suppress(OSError):
            roll = _whole(stack.enter_context(os.fdopen(open_own(path, os.O_RDONLY), "rb")), reading) or roll
        yield roll


def _whole(file: IO[bytes], reading: Any) -> Roll | None:
    with suppress(ValueError, TypeError, LookupError):
        head = json.loads(file.readline())
        if (head["format"], head["reading"]) == (_FORMAT, reading):
            entries = tuple(Entry(first, _page(*told)) for first, *told in head["pages"])
            roll = Roll(file, head["rows"], entries)
            if _digest(file) == head["digest"]:
                return roll
    return None


def keep_roll(path: Path, spool: Spool, entries: list[Entry], reading: Any) -> None:
    """Replace the roll at `path` by what a pass has found. Raises `OSError`."""
    head = {
        "format": _FORMAT,
        "reading": reading,
        "rows": spool.rows,
        "digest": _digest(*spool.files()),
        "pages": [[entry.first, *_told(entry.page)] for entry in entries],
    }
    with replacing(path, mode=0o600) as file:
        file.write(json.dumps(head).encode() + b"\n")
        for part in spool.files():
            while block := part.read(_BLOCK):
                file.write(block)


def _digest(*files: IO[bytes]) -> str:
    """Of what is left to read in the files."""
    digest = xxhash.xxh3_128()
    for file in files:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _told(page: Page) -> list[Any]:
    return [page.start.hex(), page.digest.hex(), *page[2:]]


def _page(
    start: str, digest: str, size: int, rows: int, bad_rows: int, kinds: str, odd: list[Any], empty_rows: int
) -> Page:
    told = tuple(map(tuple, odd))
    return Page(bytes.fromhex(start), bytes.fromhex(digest), size, rows, bad_rows, kinds, told, empty_rows)
