"""The files that batchrun wrote itself: only those does it replace.

`outputs.json` in the checkpoint's folder holds, for each path, size and time of what was written, and a
marker: which state of the checkpoint the file shows. It is recorded before the new file takes its place, so
it names two files until then, the old and the new: whenever a run is killed, what is there is known.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .atomic import replacing

_NAME = "outputs.json"

Record = tuple[int, int, str]
"""Size in bytes, time of the last change in nanoseconds since 1970, marker."""


def may_replace(folder: Path, target: Path) -> bool:
    """Is `target` free, a pipe, or a file that batchrun wrote and nobody has changed since?"""
    if not os.path.lexists(target) or (target.exists() and not (target.is_file() or target.is_dir())):
        return True
    return _on_disk(_read(folder), _name(target)) is not None


def is_current(folder: Path, target: Path, marker: str) -> bool:
    """Does `target` hold what batchrun wrote there, and does that show the state `marker`?"""
    found = _on_disk(_read(folder), _name(target))
    return found is not None and found[2] == marker


def remember(folder: Path, target: Path, written: os.stat_result, marker: str = "") -> None:
    """Record a file that is about to be renamed to `target`. Raises `OSError` if that cannot be written."""
    name = _name(target)
    with _alone(folder):
        files = _read(folder)
        old = _on_disk(files, name)
        new = (written.st_size, written.st_mtime_ns, marker)
        files[name] = [new] if old is None else [old, new]
        with replacing(folder / _NAME, mode=0o600) as sidecar:
            sidecar.write(json.dumps({"files": files}, indent=1).encode())


def _on_disk(files: dict[str, list[Record]], name: str) -> Record | None:
    """The latest record of the file as it is now."""
    try:
        found = os.stat(name)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    same = [record for record in files.get(name, []) if record[:2] == (found.st_size, found.st_mtime_ns)]
    return same[-1] if same else None


def _read(folder: Path) -> dict[str, list[Record]]:
    """All records; none, if the file is missing or damaged: then nothing is ours, and nothing is replaced."""
    try:
        files = json.loads((folder / _NAME).read_bytes())["files"]
        return {str(name): list(map(_record, records)) for name, records in files.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _record(found: Any) -> Record:
    size, time, marker = found
    return int(size), int(time), str(marker)


def _name(target: Path) -> str:
    return os.path.realpath(target)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process records meanwhile: an export may end beside a run."""
    number = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
