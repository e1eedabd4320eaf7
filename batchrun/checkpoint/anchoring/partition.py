"""Find equal 16-byte identities among any number of rows, in flat memory.

Rows are dealt into buckets by their identity's first byte, buckets that grow go to temporary files, and each
bucket is then small enough to be looked at in memory (a hash partition, as databases join large tables).
"""

import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Self

_ENTRY = struct.Struct("<16sq")
_BUCKETS = 256
_SPILL = 64 << 10
_CHUNK = 4096


class Partition:
    """Pairs of identity and position, dealt into buckets. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory = [bytearray() for _ in range(_BUCKETS)]
        self._files: dict[int, IO[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, pairs: Iterable[tuple[bytes, int]]) -> None:
        """Add identities with their positions, any number of them."""
        memory, pack, pairs = self._memory, _ENTRY.pack, iter(pairs)
        while chunk := list(islice(pairs, _CHUNK)):
            for identity, position in chunk:
                memory[identity[0]] += pack(identity, position)
            for number, bucket in enumerate(memory):
                if len(bucket) > _SPILL:
                    self._spill(number, bucket)

    def buckets(self) -> Iterator[list[tuple[bytes, int]]]:
        """Each bucket's pairs, in the order in which they were added."""
        for number in range(_BUCKETS):
            yield list(self._bucket(number))

    def twins(self) -> Iterator[tuple[int, int, int]]:
        """Position, occurrence (from 1) and first position of each identity that was there before."""
        for number in range(_BUCKETS):
            if len({identity for identity, _ in self._bucket(number)}) == self._rows(number):
                continue
            first: dict[bytes, int] = {}
            seen: dict[bytes, int] = {}
            for identity, position in self._bucket(number):
                if identity in first:
                    seen[identity] = seen.get(identity, 0) + 1
                    yield position, seen[identity], first[identity]
                else:
                    first[identity] = position

    def _spill(self, number: int, bucket: bytearray) -> None:
        if number not in self._files:
            file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - the stack closes it
            self._files[number] = self._stack.enter_context(file)
        self._files[number].write(bucket)
        bucket.clear()

    def _rows(self, number: int) -> int:
        spilled = self._files[number].tell() if number in self._files else 0
        return (spilled + len(self._memory[number])) // _ENTRY.size

    def _bucket(self, number: int) -> Iterator[tuple[bytes, int]]:
        """A bucket's pairs, read piece by piece: of rows that are all the same, one bucket holds all."""
        if number in self._files:
            file = self._files[number].fileno()
            for at in range(0, self._files[number].tell(), _CHUNK * _ENTRY.size):
                yield from _ENTRY.iter_unpack(os.pread(file, _CHUNK * _ENTRY.size, at))
        yield from _ENTRY.iter_unpack(self._memory[number])
