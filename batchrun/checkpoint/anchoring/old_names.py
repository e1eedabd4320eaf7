"""The names that a table's rows had before columns came or went, made in a second pass over the table as it is."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import inf
from pathlib import Path

from xxhash import xxh3_128

from batchrun.table.fingerprint import CELL, cell_digests, identities
from batchrun.table.interface import Table
from batchrun.table.options import ReadOptions

from .align import WIDTH
from .kept_cells import KeptCells, shared
from .naming import Naming
from .partition import Partition
from .spool import Spool

_CHUNK = 4096


def by_columns(table: Table, options: ReadOptions, before: Naming, was: Spool) -> None:
    """Name rows by the columns that named them before. Those that have gone are taken as null."""
    options = replace(options, columns=None, content=before.content, key=before.key or None)
    for chunk in table.chunks():
        was.add(*identities(table.columns, options)(chunk))


def by_cells(
    table: Table, columns: tuple[str, ...], form: int, kept: KeptCells, was: Spool, folder: Path
) -> int:  # fmt: skip
    """Name rows by what they have in common with the rows before, in `columns`. `form`: see `ReadOptions`.

    Rows that were different before, and are alike in these columns, can be told from each other only where all rows
    before stand where they stood. Elsewhere rows like them get no name, and are counted; so do rows that are all alike,
    whose order says nothing.
    """
    unclear = 0
    with (
        tempfile.TemporaryFile(dir=folder) as before,
        tempfile.TemporaryFile(dir=folder) as names,
        Partition(folder) as then,
        Partition(folder) as now,
    ):
        was_there, is_there = _Rows(), _Rows()
        then.add(was_there.numbered(_writing(kept.rows_before(columns), before.write)))
        before.flush()
        now.add(is_there.numbered(_shared_now(table, columns, form), stop_at=was_there.count))
        if is_there.order == was_there.order and not was_there.all_alike:
            names = before
        else:
            unclear = _deal(then, now, before.fileno(), names.fileno())
        os.truncate(names.fileno(), is_there.count * WIDTH)
        names.seek(0)
        while block := names.read(WIDTH * _CHUNK):
            was.add_joined(block, b"")
    return unclear


class _Rows:
    """Counts rows that pass by. `order`: a digest of their contents in order, of those before `stop_at`.

    `all_alike`: all have the same content.
    """

    def __init__(self) -> None:
        self.count = 0
        self.all_alike = True
        self._first = b""
        self._digest = xxh3_128()

    def numbered(self, contents: Iterable[bytes], stop_at: float = inf) -> Iterator[tuple[bytes, int]]:
        """Each content with its row's number, from 0."""
        for content in contents:
            self._first = self._first or content
            self.all_alike = self.all_alike and content == self._first
            if self.count < stop_at:
                self._digest.update(content)
            yield content, self.count
            self.count += 1

    @property
    def order(self) -> bytes:
        """The digest."""
        return self._digest.digest()


def _writing(rows: Iterable[tuple[bytes, bytes]], write: Callable[[bytes], object]) -> Iterator[bytes]:
    """Contents of rows, whose fingerprints are written down."""
    for content, fingerprint in rows:
        write(fingerprint)
        yield content


def _deal(then: Partition, now: Partition, before: int, names: int) -> int:
    """Write the fingerprints of rows before to the places of the rows that are alike; count those that are unclear."""
    unclear = 0
    for old, new in zip(then.buckets(), now.buckets(), strict=True):
        known: dict[bytes, bytes | None] = {}
        for content, nth in old:
            fingerprint = os.pread(before, WIDTH, nth * WIDTH)
            known[content] = fingerprint if known.get(content, fingerprint) == fingerprint else None
        for content, nth in new:
            found = known.get(content, b"")
            if found:
                os.pwrite(names, found, nth * WIDTH)
            unclear += found is None
    return unclear


def _shared_now(table: Table, columns: tuple[str, ...], form: int) -> Iterator[bytes]:
    for chunk in table.chunks():
        cells = dict(zip(table.columns, cell_digests(table.columns, chunk, form), strict=True))
        yield from shared([cells.get(column, bytes(CELL * len(chunk))) for column in columns])
