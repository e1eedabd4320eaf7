"""A table that was renamed alone: its checkpoint has the old name, and its rows would be paid for again."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from batchrun.core.suggest import listing
from batchrun.core.text import from_here
from batchrun.errors import BatchrunError, UsageError
from batchrun.options.settings import Settings
from batchrun.table.changes import digest_of
from batchrun.table.detect import open_table
from batchrun.table.fingerprint import identities
from batchrun.table.members import PATTERN_ENDING
from batchrun.table.options import form_in, needed

from .anchoring.align import split
from .bind import read_options
from .checkpoint import Checkpoint
from .opening import opened
from .owner import Owner, is_same, known_owner
from .places import Places, folder_of, names_in, safe
from .reading import joined_names
from .sheets import NAME_BYTES

_SAMPLE = 1000


def refuse_renamed(table: Path, settings: Settings, now: Owner) -> None:
    """Raise `UsageError` for a table without a checkpoint whose rows are known to one whose own table is gone.

    `now`: the task that is to run.
    """
    folder = folder_of(table, settings.dir)
    if settings.fresh or not table.exists() or names_in(folder):
        return
    digest = cache(lambda: digest_of(table))
    for old in sorted(folder.parent.glob("*.batchrun")):
        if not old.is_dir() or not _is_alone(old, Path(os.path.abspath(table))):
            continue
        known = {name: owner for name in names_in(old) for owner in _owner_if_known(old, name, table, settings, digest)}
        if known:
            before, after = (shlex.quote(from_here(path, Path.cwd())) for path in (old, folder))
            command = f"mv {before}/* {after}/" if folder.exists() else f"mv {before} {after}"
            raise UsageError(
                f"{table} has no checkpoint, but {old} has its rows, and the table of that name is gone: "
                "was it renamed?",
                f"if it was, run '{command}', then {_goes_on(known, settings, now)}; --fresh starts over",
            )


def _goes_on(known: Mapping[str, Owner | None], settings: Settings, now: Owner) -> str:
    """What goes on once the folder has its new name. `known`: the checkpoints that know the rows, and whose they are.

    A checkpoint is the task's if it has the name that was asked for; one of another name that is its own is named.
    """
    if safe(settings.checkpoint_name) in known:
        return "the same command again: it resumes"
    own = [name for name, owner in known.items() if owner is not None and is_same(owner, now)]
    if own:
        return f"the same command with --name {own[0]}: it resumes"
    return f"the same command again: this task starts beside {listing(tuple(known))}, whose results move with the table"


def _is_alone(folder: Path, table: Path) -> bool:
    """Whether the table of a checkpoint's folder is gone: neither in or beside the folder nor beside the new table."""
    name = folder.name.removesuffix(".batchrun")
    if name.endswith(PATTERN_ENDING):  # its table is no file
        return False
    here = folder.absolute()
    return not any(os.path.exists(place / name) for place in {here, here.parent, table.parent})


def _owner_if_known(
    folder: Path, name: str, table: Path, settings: Settings, digest: Callable[[], str]
) -> Iterator[Owner | None]:
    """Whose a checkpoint is (None: unknown), if it is of this table, or of most of its first rows; else nothing."""
    with suppress(BatchrunError), opened(folder / f"{name}.sqlite", write=False) as checkpoint:
        if settings.dir is not None and _has_table(checkpoint, folder):
            return
        if checkpoint.get("digest") == digest() or _knows_most(checkpoint, table, settings):
            yield known_owner(checkpoint, Places(table, folder, name))


def _has_table(checkpoint: Checkpoint, folder: Path) -> bool:
    """Whether its table is there: with `--dir` it may be anywhere."""
    paths = [checkpoint.get("input"), folder / (checkpoint.get("place") or "nowhere")]
    return any(os.path.exists(path) for path in paths if path)


def _knows_most(checkpoint: Checkpoint, path: Path, settings: Settings) -> bool:
    """Whether half of the table's first rows are settled there, or half of what is settled there is among them."""
    reading = checkpoint.get("reading") or {}
    options = replace(
        read_options(settings),
        columns=tuple(reading.get("columns") or ()) or None,
        key=tuple(reading.get("key") or ()) or None,
        form=form_in(reading),
    )
    table = open_table(path, options)
    chunk = next(table.chunks(needed(options)), [])[:_SAMPLE]
    names, keys = identities(table.columns, options)(chunk)
    asked = set(keys or names)
    known, settled = set(), 0
    for gone in (False, True):
        for _, joined in joined_names(checkpoint.db, gone=gone, contents=not keys):
            settled += len(joined) // NAME_BYTES
            known.update(asked.intersection(split(joined)))
    return len(known) > 0 and 2 * len(known) >= min(len(asked), settled)
