"""Bind the checkpoint to the table: which rows there are, and what has become of each."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from batchrun.checkpoint.anchoring.anchor import Moved
from batchrun.checkpoint.anchoring.binding import bind
from batchrun.core.suggest import listing
from batchrun.errors import InputError, UsageError
from batchrun.options.settings import Settings
from batchrun.table.changes import changed, digest_of
from batchrun.table.column_types import RULES
from batchrun.table.detect import open_table, with_part
from batchrun.table.doubts import Doubt
from batchrun.table.interface import Table
from batchrun.table.members import files_of, unread_files
from batchrun.table.options import FORM, ReadOptions, form_in, task_columns
from batchrun.table.scan import Scan
from batchrun.task.spec import Spec, named_columns

from .checkpoint import Checkpoint
from .places import Places
from .reading import any_settled

_TWINS = 8192


class Retyped(NamedTuple):
    """A column whose type is another than it was for rows that have run."""

    column: str
    before: str
    now: str


@dataclass(frozen=True, slots=True)
class Bound:
    """A table that the checkpoint is bound to. `types`: one a column. `stamp`: tells a later change of the file.

    `unread`: where the table is a folder, files within that bear a table's name and are not part of it.
    """

    table: Table
    options: ReadOptions
    rows: int
    types: tuple[str, ...]
    stamp: tuple[int, ...]
    moved: Moved
    bad_rows: int = 0
    doubts: tuple[Doubt, ...] = ()
    retyped: tuple[Retyped, ...] = ()
    empty_rows: int = 0
    unread: tuple[str, ...] = ()

    def task_table(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names and types of the columns that the task is given."""
        names = task_columns(self.table.columns, self.options)
        kinds = dict(zip(self.table.columns, self.types, strict=True))
        return names, tuple(kinds[name] for name in names)

    def check(self) -> None:
        """Raise `InputError` if the table was written to, replaced or removed after it had been bound."""
        with suppress(OSError):
            if stamp_of(self.table.path) == self.stamp:
                return
        raise changed(self.table.path)


def read_options(settings: Settings, spec: Spec | None = None) -> ReadOptions:
    """How to read the table. `spec`: the task, if it matters what makes a row's content."""
    return ReadOptions(
        encoding=settings.encoding,
        sep=settings.sep,
        skip_bad_rows=settings.bad_rows == "skip",
        dtypes=settings.dtype,
        missing=settings.missing,
        columns=settings.columns,
        key=settings.key,
        no_header=settings.no_header,
        skip_lines=settings.skip_lines,
        escape=settings.escape,
        content=named_columns(spec) if spec is not None else None,
        file_column=settings.file_column,
        table=settings.table,
        sheet=settings.sheet,
    )


def stamp_of(path: Path) -> tuple[int, ...]:
    """Changes whenever the file (or a folder's files) is written to."""
    stats = [os.stat(file) for file in files_of(path)]
    return tuple(value for stat in stats for value in (stat.st_size, stat.st_mtime_ns, stat.st_ino))


class Binder:
    """Decides whether the table must be read to know what is in it, and binds the checkpoint to it."""

    def __init__(self, checkpoint: Checkpoint, path: Path, settings: Settings, spec: Spec) -> None:
        self.checkpoint = checkpoint
        self.path = path
        before = checkpoint.get("reading")
        said = replace(read_options(settings, spec), form=FORM if before is None else form_in(before))
        self.table = open_table(path, said)
        self.options = with_part(self.table, said)
        self._reading = {**self.options.as_fact(), "rules": RULES}
        self.stamp = stamp_of(path)
        self.size = sum(self.stamp[::3])
        self.unchanged = checkpoint.get("digest") == digest_of(path) and before == self._reading

    def bind(self, places: Places, stop: Callable[[], int], *, keep_roll: bool = True) -> Bound:
        """Bind, inside the caller's transaction. `stop()` is the signal that asks to end, or 0."""
        if self.unchanged:
            before = self.checkpoint.get("input") or ""
            if before != str(places.input) and not os.path.exists(before):  # it was moved
                self.checkpoint.put(**_whereabouts(places))
            return self._bound(Moved(0, 0, 0))
        # Positions, digest, types and the words for missing belong into one transaction. `unchanged` believes the
        # digest and reads no table: beside lines that have not moved with it, it would give results to other rows.
        self._refuse_other_table(places)
        found, moved = bind(self.checkpoint, self.table, self.options, self._reading, places, stop, keep_roll=keep_roll)
        retyped = self._retyped(found)
        name = self.checkpoint.get("id") or os.urandom(16).hex()
        self.checkpoint.put(
            id=name, **_whereabouts(places),
            digest=found.digest, reading=self._reading, rows=found.rows, bad_rows=found.bad_rows,
            columns=found.columns, types=found.types, doubts=found.doubts, empty_rows=found.empty_rows,
        )  # fmt: skip
        return self._bound(moved, retyped)

    def _retyped(self, found: Scan) -> tuple[Retyped, ...]:
        """Columns that rows which are settled have seen as another type."""
        if not any_settled(self.checkpoint.db):
            return ()
        get = self.checkpoint.get
        before = dict(zip(get("columns") or (), get("types") or (), strict=True))
        now = zip(found.columns, found.types, strict=True)
        return tuple(Retyped(name, before[name], kind) for name, kind in now if before.get(name, kind) != kind)

    def _bound(self, moved: Moved, retyped: tuple[Retyped, ...] = ()) -> Bound:
        get = self.checkpoint.get
        table = open_table(self.path, self.options, tuple(get("columns")))
        doubts = tuple(
            Doubt(column, tuple(lines), tuple(cells), dtype) for column, lines, cells, dtype in get("doubts", ())
        )
        return Bound(
            table,
            self.options,
            get("rows"),
            tuple(get("types")),
            self.stamp,
            moved,
            get("bad_rows"),
            doubts,
            retyped,
            get("empty_rows", 0),
            tuple(str(file.relative_to(self.path)) for file in unread_files(self.path)),
        )

    def _refuse_other_table(self, places: Places) -> None:
        """Under --key, the rows of two tables that are called the same would pass for each other's.

        In the place that the table had beside its checkpoint there is the same table, or a copy of both.
        """
        before, reading = self.checkpoint.get("input"), self.checkpoint.get("reading") or {}
        for part in ("table", "sheet"):
            if reading.get(part) and reading[part] != self._reading.get(part):
                raise UsageError(
                    f"this checkpoint belongs to the {part} {reading[part]!r}, and its results would go to rows of "
                    f"{self._reading.get(part)!r}",
                    f"--{part} {reading[part]} resumes it; --name NAME starts another checkpoint",
                )
        if places.beside or self.checkpoint.get("place") == _whereabouts(places)["place"]:
            return
        if before and self._reading["key"] and os.path.exists(before) and not os.path.samefile(before, self.path):
            raise UsageError(
                f"this checkpoint belongs to {before}, and --key would give its results to rows of {self.path}",
                "give this table another --name or --dir; if it is the same table, remove the old file",
            )


def _whereabouts(places: Places) -> dict[str, str]:
    """Where the table is, and where that is seen from the checkpoint."""
    table, folder = (os.path.realpath(path) for path in (places.input, places.folder))
    return {"input": str(places.input), "place": os.path.relpath(table, folder)}


class Twins:
    """Which rows are the same as one before them; asked in the table's order."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._known = _twins(checkpoint)
        self._next = next(self._known, None)

    def begin_by(self, position: int) -> bool:
        """Whether one of the rows up to this one is the same as one before it, of those not asked for yet."""
        return self._next is not None and self._next[0] <= position

    def occurrence(self, position: int) -> int:
        """How many rows before this one are the same."""
        while self._next and self._next[0] < position:
            self._next = next(self._known, None)
        return self._next[1] if self._next and self._next[0] == position else 0


def _twins(checkpoint: Checkpoint) -> Iterator[tuple[int, int]]:
    """Piece by piece: a reader that stays open would keep the log from being emptied."""
    after = 0
    while block := checkpoint.db.execute(
        "SELECT position, occurrence FROM twin WHERE position > ? ORDER BY position LIMIT ?", (after, _TWINS)
    ).fetchall():
        yield from block
        after = block[-1][0]


def open_bound(checkpoint: Checkpoint, path: Path) -> Bound:
    """The table as the checkpoint knows it, for readers. Raises `InputError` if it has changed since."""
    columns = checkpoint.get("columns")
    if columns is None:
        raise UsageError(f"no run of this task has read {path} yet", f"'batchrun process {path}' with its --task does")
    if checkpoint.get("digest") != digest_of(path):
        raise InputError(
            f"{path} has changed since the last run, so results could be joined to the wrong rows",
            "'batchrun process' picks up the change (with --limit 0 it runs nothing)",
        )
    options = ReadOptions.of(checkpoint.get("reading"))
    table = open_table(path, options, tuple(columns))
    if table.columns != tuple(columns):  # an earlier version took another line for the header
        raise InputError(
            f"{path} is read differently by this version: its columns were taken to be {listing(columns)}",
            "'batchrun process' reads it again (with --limit 0 it runs nothing)",
        )
    types = tuple(checkpoint.get("types"))
    return Bound(table, options, checkpoint.get("rows"), types, stamp_of(path), Moved(0, 0, 0))
