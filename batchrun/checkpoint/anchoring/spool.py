"""The identities of a table's rows, in order, on disk: what the pass over a changed table leaves behind.

Without `--key` a row's identity is its fingerprint; rows with the same content differ by their occurrence.
"""

import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import IO, Self

import xxhash

from batchrun.errors import InputError

from .align import WIDTH
from .partition import Partition

_CHUNK = 4096
_FEW = 250_000
_NAME = struct.Struct("16s")
_NUMBER = struct.Struct("<q")


class Spool:
    """Takes in the identities of one pass. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._file: IO[bytes] = self._stack.enter_context(_scratch(folder))
        self._contents: IO[bytes] = self._stack.enter_context(_scratch(folder))
        self._occurrences = self._stack.enter_context(_scratch(folder)).fileno()  # a number a row; mostly a hole
        self.rows = 0
        self.keyed = False
        self.has_twins = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, fingerprints: list[bytes], keys: list[bytes] | None) -> None:
        """Take in the next rows."""
        identities = fingerprints if keys is None else keys
        self.add_joined(b"".join(identities), b"" if keys is None else b"".join(fingerprints))

    def add_joined(self, identities: bytes, fingerprints: bytes) -> None:
        """Take in the next rows, their identities joined; the fingerprints too if rows are named by a key."""
        self.keyed = bool(fingerprints)
        self._file.write(identities)
        self._contents.write(fingerprints)
        self.rows += len(identities) // WIDTH

    def files(self) -> tuple[IO[bytes], ...]:
        """The identities, and the fingerprints of rows that are named by a key; each at its beginning."""
        for file in (self._file, self._contents):
            file.seek(0)
        return self._file, self._contents

    def tell_apart(self) -> None:
        """After the last row: look for twins. Raises `InputError` for two rows with one key."""
        if self._all_differ():
            return
        with Partition(self._folder) as partition:
            partition.add(zip(self.identities(), count(1), strict=False))
            for position, occurrence, first in partition.twins():
                if self.keyed:
                    raise InputError(
                        f"rows {first:,} and {position:,} have the same key",
                        "name rows by more columns (--key a,b), or leave --key out to name them by content",
                    )
                os.pwrite(self._occurrences, _NUMBER.pack(occurrence), _NUMBER.size * (position - 1))
                self.has_twins = True

    def _all_differ(self) -> bool:
        """Whether no two rows have one identity, of few enough rows for that to be seen at once; False: they may."""
        if self.rows > _FEW:
            return False
        return len(set(_halves(self.names(1, self.rows)))) == self.rows

    def twins(self) -> Iterator[tuple[int, int]]:
        """Position and occurrence of each row that is the same as one before it, in the table's order."""
        for first in range(1, self.rows + 1 if self.has_twins else 0, _CHUNK):
            for position, (occurrence,) in enumerate(self._occurrences_from(first, _CHUNK), start=first):
                if occurrence:
                    yield position, occurrence

    def _occurrences_from(self, first: int, count: int) -> Iterator[tuple[int]]:
        return _NUMBER.iter_unpack(os.pread(self._occurrences, _NUMBER.size * count, _NUMBER.size * (first - 1)))

    def any_repeated(self, stretches: list[tuple[int, int]]) -> bool:
        """Whether one of the rows `first` to `last` of each stretch may have a twin anywhere in the table."""
        found = [half for first, last in stretches for half in _halves(self.names(first, last + 1 - first))]
        looked_for = set(found)
        if len(looked_for) < len(found):
            return True
        ends = [*stretches, (self.rows + 1, 0)]
        starts = [1, *(last + 1 for _, last in stretches)]
        others = (
            self.names(at, min(_CHUNK, end - at))
            for start, (end, _) in zip(starts, ends, strict=True)
            for at in range(start, end, _CHUNK)
        )
        return not all(looked_for.isdisjoint(_halves(names)) for names in others)

    def identities(self) -> Iterator[bytes]:
        """Each row's identity, in the table's order."""
        if not self.has_twins:
            return _sixteens(self._file)
        blocks = (self.names(first, _CHUNK) for first in range(1, self.rows + 1, _CHUNK))
        return (name for block in blocks for (name,) in _NAME.iter_unpack(block))

    def names(self, first: int, count: int) -> bytes:
        """The joined identities of at most `count` rows from position `first`."""
        self._file.seek(WIDTH * (first - 1))
        names = self._file.read(WIDTH * count)
        if not self.has_twins:
            return names
        told_apart = bytearray(names)
        for nth, (occurrence,) in enumerate(self._occurrences_from(first, len(names) // WIDTH)):
            if occurrence:
                one = slice(WIDTH * nth, WIDTH * (nth + 1))
                told_apart[one] = occurrence_of(names[one], occurrence)
        return bytes(told_apart)

    def contents_at(self, first: int, count: int) -> bytes:
        """The joined fingerprints of at most `count` rows from position `first`, where rows are named by a key."""
        self._contents.seek(WIDTH * (first - 1))
        return self._contents.read(WIDTH * count)

    def contents(self) -> Iterator[bytes]:
        """Each row's fingerprint, in the table's order, where rows are named by a key."""
        return _sixteens(self._contents)


def _scratch(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder)


def _halves(names: bytes) -> memoryview:
    """A number for each of joined names, half of it: two that differ are different rows."""
    return memoryview(names).cast("Q")[::2]


def occurrence_of(fingerprint: bytes, occurrence: int) -> bytes:
    """The fingerprint of a row that is the same as `occurrence` rows before it."""
    if not occurrence:
        return fingerprint
    return xxhash.xxh3_128_digest(fingerprint + b"#%d" % occurrence)


def _sixteens(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(WIDTH * _CHUNK):
        for (name,) in _NAME.iter_unpack(block):
            yield name
