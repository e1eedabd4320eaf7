"""Results files: the table joined with its results, in input order, in one of the formats.

Both are read at one moment; the file is written beside the target and renamed into its place.
"""

import errno
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Literal

from batchrun.checkpoint.atomic import replacing, replacing_folder
from batchrun.errors import CheckpointError, UsageError
from batchrun.table.interface import Table

from .columns import LateColumn
from .exploded import Exploded
from .failed import failed_view
from .formats import FORMATS, Write, writer
from .joined import snapshot
from .picked import EVERYTHING, Names, Pick
from .view import Results

Show = Literal["all", "failed", "exploded"]
"""Every row; only those that have failed, with why in place of results; or a line for each element of an array."""

BeforeRename = Callable[[IO[bytes] | Path], None]


class ExportStopped(Exception):
    """`stop` said so. The target is as it was."""


def export(
    table: Table,
    types: tuple[str, ...],
    db: sqlite3.Connection,
    target: Path | None,
    format: str,  # noqa: A002 - the option's name
    *,
    stop: Callable[[], bool] | None = None,
    before_rename: BeforeRename | None = None,
    show: Show = "all",
    pick: Pick = EVERYTHING,
    key: tuple[str, ...] = (),
) -> int:
    """Write the results of `table` to `target` (None: stdout); returns the number of rows written.

    `types`: of each of the table's columns, as scanned. The columns of a JSON Lines table must be known.
    `stop` is asked every few thousand rows. `before_rename` is given the finished file (or folder).
    `show`, `pick`: see `Show`, `Pick`. `key`: the columns that name a row, and its file where each row has one.
    Whatever is raised, the old target stays. Raises `ExportStopped`, `UsageError` for a target that cannot be
    written, `CheckpointError` (exit code 4) for a full disk or a damaged checkpoint, `InputError` for a table
    that has changed, and `BrokenPipeError` when nobody reads stdout any more.
    """
    write = writer(format, target)
    view = {"all": Results, "exploded": Exploded}.get(show) or failed_view(format)
    if pick.results_only:
        names = Names(table, key, numbered=not FORMATS[format].objects)
        table, types = names, names.types(types)
    results = view(table, types, db, _pulse(stop), key=key, only=pick.columns)
    with snapshot(db):
        if target is None:
            if FORMATS[format].is_folder:
                raise UsageError(f"{format} is a folder of files", "name the folder with --output")
            sys.stdout.flush()
            # Not sys.stdout.buffer: with PYTHONUNBUFFERED that drops what a full disk does not take, and says nothing.
            with open(sys.stdout.fileno(), "wb", closefd=False) as stdout:
                return _to_stream(write, results, stdout, spool=FORMATS[format].seeks)
        with write_errors_explained(target):
            if FORMATS[format].is_folder:
                with replacing_folder(target, before_rename) as folder:
                    return write(results, folder)
            return _to_path(write, results, target, before_rename, spool=FORMATS[format].seeks)


def _to_path(write: Write, results: Results, target: Path, before_rename: BeforeRename | None, *, spool: bool) -> int:
    if target.is_dir():
        raise UsageError(f"{target} is a folder", "name a file in it")
    if target.exists() and not target.is_file():
        with open(target, "wb") as device:  # a pipe, /dev/stdout: renaming would put a file in its place
            return _to_stream(write, results, device, spool=spool)
    with replacing(target, before_rename) as file:
        # Looking at all results before the first is written takes a quarter of the time.
        with suppress(LateColumn):
            return write(replace(results, hasty=True), file)
        file.seek(0)
        file.truncate()
        return write(results, file)


def _to_stream(write: Write, results: Results, stream: IO[bytes], *, spool: bool) -> int:
    if not spool:
        rows = write(results, stream)
    else:
        with tempfile.NamedTemporaryFile() as file:
            rows = write(results, file)
            file.seek(0)
            shutil.copyfileobj(file, stream, 1 << 20)
    stream.flush()
    return rows


def _pulse(stop: Callable[[], bool] | None) -> Callable[[], None]:
    def pulse() -> None:
        if stop is not None and stop():
            raise ExportStopped

    return pulse


@contextmanager
def write_errors_explained(target: Path) -> Iterator[None]:
    """Turn what the system says about the target into an error that tells the user what to do."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        if error.errno == errno.EIO:
            raise CheckpointError(
                f"{target}: the disk reports an error: {why}", "the results are safe in the checkpoint"
            ) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CheckpointError(
                f"{target}: the disk is full; the results are safe in the checkpoint",
                "free some space and run the same command again, or choose another disk with --output",
            ) from error
        raise UsageError(
            f"{target} cannot be written: {why}",
            "check the folder and its permissions, or choose another one with --output",
        ) from error
