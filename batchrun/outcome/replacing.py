"""What is at the place of a results file, and whether it may be replaced."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from batchrun.checkpoint.atomic import is_empty_folder
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.places import Places, names_in, places_of
from batchrun.core.ownership import whose
from batchrun.errors import BatchrunError, InputError, UsageError
from batchrun.outcome.export import outputs
from batchrun.outcome.export.formats import FORMATS
from batchrun.table.members import would_belong

_Answer = TypeVar("_Answer")


def refuse_input(table: Path, target: Path) -> None:
    """Raise `InputError` if `target` is the table, under whatever name, or lies in its folder."""
    if target.exists() and table.exists() and os.path.samefile(table, target):
        raise InputError(f"{target} is the input itself", "choose another file with --output")
    if would_belong(table, target):
        raise InputError(f"{target} would become part of the input", "choose another file with --output")


def refuse_kind(target: Path, format: str, *, explode: bool = False) -> None:  # noqa: A002 - the option's name
    """Raise `UsageError` for a folder where a file goes, anything else where a folder goes, and lines of rows there."""
    if not FORMATS[format].is_folder:
        if target.is_dir():
            raise UsageError(
                f"{target} is a folder, and results are one file",
                "name a file with --output, or give --format json-files for a file per row",
            )
        return
    if explode:
        raise UsageError("--explode writes several lines of a row, and json-files has one file per row", "write .jsonl")
    if os.path.lexists(target) and not target.is_dir():
        raise UsageError(f"{target} is not a folder, and {format} is one", "choose another name with --output")


def refuse_replacing(folder: Path, target: Path, *, named: bool, overwrite: bool) -> None:
    """Raise `UsageError` for what is at `target` and must stay: what is not as batchrun left it, or was not written by
    it (unless it is a file, and `overwrite`), a link or a pipe that the user has not `named`, and a link of somebody
    else.
    """
    _refuse_way_through(target, named=named)
    is_folder = target.is_dir()
    if (overwrite and not is_folder) or outputs.may_replace(folder, target) or is_empty_folder(target):
        return
    if outputs.has_written(folder, target):
        what = f"{target} has been changed since it was written, and would be replaced"
    else:
        what = f"{target} already exists, and batchrun did not write it for this table"
    if is_folder:  # whatever is in it is not ours to remove
        raise UsageError(what, "move it away, or choose another folder with --output")
    raise UsageError(what, "move it away, choose another file with --output, or replace it with --overwrite")


def refuse_other_results(places: Places, checkpoint: Checkpoint, target: Path) -> None:
    """Raise `UsageError` if `target` holds what another task of the table has found."""
    marker = outputs.shown_by(places.folder, target)
    if not marker or is_of(checkpoint, marker):
        return
    answers = asked(places, lambda other: is_of(other, marker))
    if name := next((name for name, is_its in answers if is_its and name != places.name), None):
        raise UsageError(
            f"{target} holds the results of the task {name!r}, and those of {places.name!r} would replace them",
            "choose another file with --output, or replace it with --overwrite",
        )


def asked(places: Places, question: Callable[[Checkpoint], _Answer]) -> Iterator[tuple[str, _Answer]]:
    """The name and the answer of each checkpoint of the table that can be read."""
    for name in names_in(places.folder):
        path = places_of(places.input, places.folder.parent, name).checkpoint
        with suppress(BatchrunError), opened(path, write=False) as checkpoint:
            yield name, question(checkpoint)


def is_of(checkpoint: Checkpoint, marker: str) -> bool:
    """Whether a file with this marker shows a state of the checkpoint."""
    known = checkpoint.get("id")
    return bool(known) and f"'{known}'" in marker


def _refuse_way_through(target: Path, *, named: bool) -> None:
    try:
        found = os.lstat(target)
    except OSError:  # nothing is there
        return
    is_link = stat.S_ISLNK(found.st_mode)
    if is_link and (why := whose(found)):
        raise UsageError(f"{target} is a link, and {why}", "choose another file with --output")
    if not named and not stat.S_ISREG(found.st_mode):
        what = "a link" if is_link else "not a regular file"
        raise UsageError(
            f"{target} is {what}: results are written through it only if you name it",
            f"to do so, give --output {target}",
        )
