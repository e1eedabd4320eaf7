"""Tables that a checkpoint's folder keeps, for what they came from can be read only once.

A run reads its table twice, and again when it is resumed. So what comes through a pipe is written down first, in the
checkpoint's folder, under the name that the user gives it: `NAME.batchrun/NAME`. `NAME` means that table from then on.
"""

import os
import select
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from batchrun.errors import CheckpointError, InputError, Interrupted, UsageError
from batchrun.table.members import is_pattern
from batchrun.task.encode import Unencodable, encode

from .atomic import replacing
from .places import safe

_BLOCK = 1 << 20
_LOOK_SECONDS = 0.1

Bring = Callable[[Callable[[], int]], None]
"""Puts a table where it is read from. It is given a function that is the signal that asks to end, or 0."""


def kept_path(name: str, directory: Path | None) -> Path:
    """Where a table called `name` is kept."""
    return (directory or Path.cwd()) / f"{safe(name)}.batchrun" / safe(name)


def meant_table(path: Path, directory: Path | None) -> Path:
    """The table that a user means by a path: what is there, or else what is kept under that name."""
    if path.exists() or is_pattern(path):
        return path
    name = safe(path.name)
    kept = (directory or path.parent) / f"{name}.batchrun" / name
    return kept if os.path.isfile(kept) else path


def as_said(table: Path) -> Path:
    """The path by which a user means a table; see `meant_table`."""
    folder = table.parent
    return folder.with_name(table.name) if folder.name == f"{table.name}.batchrun" else table


def piped(name: str | None, directory: Path | None) -> Path:
    """Where the table that comes from stdin is kept. Raises `UsageError` if it has no name, or nothing is piped in."""
    if not name:
        raise UsageError(
            "a table from a pipe needs a name, under which it and its results are kept",
            "give it one with --name: 'PROGRAM | batchrun process - --name NAME'",
        )
    path = kept_path(name, directory)
    if as_said(path).exists():
        raise UsageError(
            f"{as_said(path)} already exists, and its checkpoint would be in the same place as the pipe's",
            "choose another --name",
        )
    if path.suffix == ".sqlite":
        raise UsageError(f"--name {name}: a table of that name would look like a checkpoint", "choose another --name")
    try:
        typed_in = stat.S_ISCHR(os.fstat(0).st_mode)
    except OSError:
        typed_in = True
    if typed_in:
        goes_on = f"; 'batchrun process {path.name}' reads what is kept" if path.exists() else ""
        raise UsageError(
            "nothing is piped in: stdin is a terminal, a device or closed",
            f"'PROGRAM | batchrun process - --name {name}', or '- < FILE'{goes_on}",
        )
    return path


def keep_stream(source: int, path: Path, stop: Callable[[], int]) -> None:
    """Write down at `path`, for this user alone, all that a descriptor has to say; as a whole, or not at all.

    Raises `InputError` if that is nothing, `Interrupted` by a signal, `CheckpointError` if it cannot be written.
    """
    try:
        with replacing(path, mode=0o600) as file:
            _copy(source, file, stop)
            if signum := stop():  # it may have ended the program before us in the pipe, too
                raise Interrupted(signum, "interrupted while the table came through the pipe; nothing was changed")
            if not file.tell():
                raise InputError(
                    "nothing came through the pipe",
                    "Find out why the program before it wrote nothing; a table that was kept before is still there.",
                )
    except OSError as error:
        raise CheckpointError(
            f"the table cannot be kept in {path}: {error.strerror or error}",
            "free some space, check permissions, or choose another folder with --dir",
        ) from error


def keep_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write down at `path`, for this user alone, dicts as JSON Lines. Raises `InputError`, `CheckpointError`."""
    try:
        with replacing(path, mode=0o600) as file:
            for number, row in enumerate(rows, 1):
                file.write(_line(row, number))
            if not file.tell():
                raise InputError("the list has no rows", "give at least one dict")
    except OSError as error:
        raise CheckpointError(
            f"the rows cannot be kept in {path}: {error.strerror or error}",
            "free some space, check permissions, or choose another folder with dir=",
        ) from error


def _line(row: Mapping[str, Any], number: int) -> bytes:
    if not isinstance(row, Mapping):
        raise InputError(f"row {number:,} of the list is not a dict: {type(row).__name__}", "give a list of dicts")
    if key := next((key for key in row if not isinstance(key, str)), None):
        raise InputError(
            f"row {number:,} of the list: the key {key!r} is not text", "keys are the columns' names: make them text"
        )
    try:
        return encode(dict(row))[0] + b"\n"
    except Unencodable as error:
        where = error.path.removeprefix("result")
        raise InputError(
            f"row {number:,} of the list, {where.lstrip('.')}: {error.reason}", "change it, or give a DataFrame"
        ) from None


def _copy(source: int, file: IO[bytes], stop: Callable[[], int]) -> None:
    for block in _blocks(source, stop):
        file.write(block)


def _blocks(source: int, stop: Callable[[], int]) -> Iterator[bytes]:
    """Until the end, or a signal: a read that blocks would not see one."""
    while not stop():
        if select.select([source], [], [], _LOOK_SECONDS)[0]:
            block = os.read(source, _BLOCK)
            if not block:
                return
            yield block
