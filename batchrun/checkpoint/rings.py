"""The rows that a cell started last: a ring of entries in the in-flight file, for the next run to read.

A cell names a row only while it runs. One that has ended is in a pipe, or in the coordinator's memory, until the
next commit; if the coordinator dies then, it runs again, and the next run can name it from here.

An entry is 8 bytes: the row's number times 65,536, plus the attempt (modulo 65,536). Behind the newest stands a zero,
so that the oldest is known without a counter; a ring for N entries is therefore N + 1 long.
"""

import struct
from collections.abc import Sequence

ENTRY_SIZE = 8
_ATTEMPTS = 1 << 16
# What a lane can have started since the last commit: the rows that it may hold, and those that wait for the commit.
MOST = 3072
LEAST = 32
_IN_ALL = 1 << 17

Start = tuple[int, int]
"""A row that has started: its number, and the attempt."""


def room_for(cells: int) -> int:
    """Entries in each of so many rings: a megabyte in all, but for very many cells."""
    return max(LEAST, min(MOST, _IN_ALL // max(1, cells)))


def size_of(room: int) -> int:
    """Bytes of a ring for so many entries."""
    return (room + 1) * ENTRY_SIZE if room else 0


class Ring:
    """A worker's hand on the ring of one of its cells; goes on where another worker left it.

    `words`: the file as int64s; the ring begins at the one with the number `at`.
    """

    __slots__ = ("_at", "_end", "_next", "_words")

    def __init__(self, words: "memoryview[int]", at: int, room: int) -> None:
        self._words = words
        self._at = at
        self._end = at + room
        self._next = at + _newest(words[at : self._end + 1].tolist()) % room

    def add(self, position: int, attempt: int) -> None:
        """The row has started."""
        at = self._next
        # The entry, then the zero behind it. A worker that is killed between the two leaves a ring without a zero.
        self._words[at] = position * _ATTEMPTS + attempt % _ATTEMPTS
        at += 1
        self._words[at] = 0
        self._next = at if at < self._end else self._at

    def take_out(self) -> None:
        """The row that started last was refused: that was no attempt."""
        self._next = (self._next if self._next > self._at else self._end) - 1
        self._words[self._next] = 0


def starts_in(ring: bytes) -> tuple[list[Start], bool]:
    """The rows in a ring, oldest first; and whether there may have been others before them."""
    entries = _entries(ring)
    newest = _newest(entries)
    in_order = [entry for entry in (*entries[newest + 1 :], *entries[:newest]) if entry > 0]
    # The zero behind the newest, and one that was taken out, may each have cost the oldest entry.
    return [divmod(entry, _ATTEMPTS) for entry in in_order], len(in_order) >= max(1, len(entries) - 3)


def _newest(entries: Sequence[int]) -> int:
    """Where the zero stands, behind the entry that was written last; the end if there is none."""
    return entries.index(0) if 0 in entries else len(entries)


def _entries(ring: bytes) -> Sequence[int]:
    return struct.unpack(f"={len(ring) // ENTRY_SIZE}q", ring)
