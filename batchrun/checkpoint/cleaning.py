"""What checkpoints a folder has, those that `--fresh` has moved aside among them, and how one is removed."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchrun.core.states import SETTLED_NAMES
from batchrun.errors import BatchrunError, CheckpointError, UsageError

from .format import is_known
from .fresh import PARTS, aside_files, fresh_start
from .lock import held, is_held
from .log import older
from .opening import opened
from .places import Places, check_folder, folder_of, names_in, places_of

ASIDE = ".old"
_HEADER = b"SQLite format 3\0"
_VERSION = slice(60, 64)


def all_names_in(folder: Path) -> list[str]:
    """The checkpoints of a folder: a task's by its name, those that were moved aside as `NAME.TIME.old`."""
    return sorted([*names_in(folder), *(path.name for path in folder.glob(f"*.*{ASIDE}"))])


def checkpoints_of(table: Path, directory: Path | None) -> list[dict[str, Any]]:
    """What each checkpoint of a table holds: `name`, `path`, rows by state and `left` (None where it cannot be read,
    which `trouble` explains), `bytes` on disk, when it was `written` (seconds since 1970), and whether it is `in_use`.
    """
    folder = folder_of(table, directory)
    check_folder(folder)
    return [_told(name, *_places(table, directory, name)) for name in all_names_in(folder)]


def _told(name: str, places: Places, path: Path) -> dict[str, Any]:
    files = [file.stat() for file in _files(places, path)]
    told: dict[str, Any] = {"name": name, "path": str(path), **dict.fromkeys((*SETTLED_NAMES, "left"))}
    told |= {"bytes": sum(file.st_size for file in files), "written": path.stat().st_mtime}
    told |= {"in_use": path == places.checkpoint and is_held(places.lock), "trouble": ""}
    try:
        with opened(path, write=False, still=path != places.checkpoint) as checkpoint:
            counts = checkpoint.counted()
            return told | counts | {"left": checkpoint.get("rows", 0) - sum(counts.values())}
    except BatchrunError as error:
        return told | {"trouble": str(error)}


def remove(table: Path, directory: Path | None, name: str) -> None:
    """Remove a checkpoint with its log and all else that belongs to it; nothing else in the folder.

    Raises `UsageError` for one that is not there, `LockedError` for one of a task that runs, and `CheckpointError` for
    a file that is no checkpoint.
    """
    folder = folder_of(table, directory)
    check_folder(folder)
    if name not in (names := all_names_in(folder)):
        raise UsageError(
            f"{table} has no checkpoint {name!r} in {folder}",
            f"it has: {', '.join(names)}" if names else "'batchrun clean' alone lists what is here",
        )
    places, path = _places(table, directory, name)
    with held(places.lock, "fail"):  # also for one that was moved aside: it comes back if that run never begins
        if not _is_checkpoint(path):
            raise CheckpointError(
                f"{path} is not a batchrun checkpoint, so it stays", "remove it yourself if it may go"
            )
        # The files of a checkpoint that is removed halfway would pass for a whole one. Aside they are nobody's.
        for file in aside_files(places, fresh_start(places).path if path == places.checkpoint else path):
            file.unlink(missing_ok=True)
        if not places.checkpoint.exists():
            for file in (places.roll, places.socket, places.lock):
                file.unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        folder.rmdir()


def _places(table: Path, directory: Path | None, name: str) -> tuple[Places, Path]:
    """The places of the task that a checkpoint is of, or was, and its file."""
    own = places_of(table, directory, name)
    if own.checkpoint.exists() or not name.endswith(ASIDE):
        return own, own.checkpoint
    return places_of(table, directory, name.removesuffix(ASIDE).rpartition(".")[0]), own.folder / name


def _files(places: Places, path: Path) -> list[Path]:
    """What belongs to a checkpoint, as far as it is there."""
    if path != places.checkpoint:
        parts = aside_files(places, path)
    else:
        own = [Path(f"{path}{part}") for part in PARTS]
        parts = [*own, places.log, older(places.log), places.roll, places.inflight]
    return [file for file in parts if file.exists()]


def _is_checkpoint(path: Path) -> bool:
    """Whether a file says that it is one, damaged or not; an empty one is what a kill right at the start leaves."""
    with path.open("rb") as file:
        head = file.read(100)
    return not os.path.getsize(path) or (head.startswith(_HEADER) and is_known(int.from_bytes(head[_VERSION], "big")))
