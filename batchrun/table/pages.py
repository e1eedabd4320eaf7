"""Pages: stretches of a table's bytes that an earlier pass has read, found again wherever they stand now.

A pass over a changed file would find in most of its bytes what the last pass found there. So each stretch of
whole records is remembered by its digest. A known page is recognised by its first line, confirmed by its
digest, and not read again; between pages, records are read until the next line that begins a known one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from xxhash import xxh3_128_digest

from .column_types import Odd, Said

PAGE_BYTES = 64 << 10
"""Cells of a larger block fall out of the processor's caches: 256 KiB take twice as long."""

LARGEST_PAGE = 1 << 20
_WINDOW = 4 << 20
_MOST_LINES = 100_000
"""Lines in a row that are asked whether they begin a known page. After so many the file is another one."""


class Page(NamedTuple):
    """Some records. `start`, `digest`: of its first line and of all its `size` bytes. `kinds`, `odd`: see `Said`.

    `empty_rows`: those of its rows that are separators only; never the last one, which may come to end the file.
    """

    start: bytes
    digest: bytes
    size: int
    rows: int
    bad_rows: int
    kinds: str
    odd: tuple[Odd, ...]
    empty_rows: int = 0


Known = Mapping[bytes, Sequence[Page]]
"""Pages by what they start with; made by `by_start`."""


@dataclass(frozen=True, slots=True)
class Memo:
    """What an earlier pass has found, and where this one writes down what it finds.

    `known`: its pages, read with the same options under the same header. `again`: told of each that is met
    again, in place of its rows. `note`: told of each new one, after its rows.
    """

    known: Iterable[Page]
    again: Callable[[Page], None]
    note: Callable[[Page], None]


class Blocks(Protocol):
    """A text in blocks of whole lines."""

    def page(self) -> Page | None:
        """The known page that begins here, which is passed over."""

    def text(self) -> str:
        """The next whole lines, up to the next known page; nothing at the end."""


class Walk:
    """See `Blocks`: a UTF-8 file from the stream's place on, in blocks of about `size` bytes."""

    def __init__(self, stream: BinaryIO, size: int, known: Known) -> None:
        self._stream = stream
        self._size = size
        self._starts = known
        self._bytes = b""
        self._at = 0
        self._more = True
        self._asked = 0

    def page(self) -> Page | None:
        self._fill()
        found = self._known(self._at) if self._starts else None
        if found:
            self._at += found.size
            self._asked = 0
        return found

    def text(self) -> str:
        self._fill()
        end = self._line_end(self._at + self._size - 1)
        while not end and self._more:
            self._read()
            end = self._line_end(self._at + self._size - 1)
        end = self._next_page(end or len(self._bytes))
        block = self._bytes[self._at : end]
        self._at = end
        return block.decode()

    def _next_page(self, end: int) -> int:
        """Where the next known page begins, or `end`."""
        at = self._line_end(self._at)
        while 0 < at < end and self._asked < _MOST_LINES and self._starts:
            self._asked += 1
            if self._known(at):
                return at
            at = self._line_end(at)
        return end

    def _known(self, at: int) -> Page | None:
        line = self._bytes[at : self._line_end(at)]
        for page in self._starts.get(xxh3_128_digest(line), ()):
            if xxh3_128_digest(memoryview(self._bytes)[at : at + page.size]) == page.digest:
                return page
        return None

    def _line_end(self, at: int) -> int:
        """The place after the line end at `at` or later; 0 if none has been read."""
        return self._bytes.find(b"\n", at) + 1

    def _fill(self) -> None:
        """Have at least one largest page in memory, if there is so much."""
        if self._more and len(self._bytes) - self._at < self._size + LARGEST_PAGE:
            self._read()

    def _read(self) -> None:
        data = self._stream.read(_WINDOW)
        self._more = len(data) == _WINDOW  # whatever is appended from now on, this pass ends
        self._bytes = self._bytes[self._at :] + data
        self._at = 0


def by_start(pages: Iterable[Page]) -> Known:
    """The pages as they are looked for."""
    found: dict[bytes, list[Page]] = {}
    for page in pages:
        found.setdefault(page.start, []).append(page)
    return found


def page_of(text: str, rows: int, bad_rows: int, said: Said, empty_rows: int = 0) -> Page | None:
    """A block as a page; None if it is too large to be looked for, or if its last line could go on."""
    block = text.encode()
    if len(block) > LARGEST_PAGE or not block.endswith(b"\n"):
        return None
    start = block[: block.find(b"\n") + 1]
    return Page(xxh3_128_digest(start), xxh3_128_digest(block), len(block), rows, bad_rows, *said, empty_rows)
