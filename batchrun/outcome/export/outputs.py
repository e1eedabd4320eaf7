"""The files that batchrun wrote itself: only those does it replace.

`outputs.json` in the checkpoint's folder holds, for each file, size, time and digest of what was written, and a
marker: which state of the checkpoint the file shows. It is recorded before the new file takes its place, so
it names two files until then, the old and the new: whenever a run is killed, what is there is known. It also holds
which task was the table's first, and where runs that go on will write: that is theirs before there is a file.

A folder of files, one a row, is known as one, by what all its files say together.
A file is known by its place relative to the register, so that a project may be moved and copied, or by its absolute
path, for one that stays where it is when the project moves. It is as it was left if size and time are the same, or
its digest: copies have a time of their own. A file that has been renamed is known as long as none has its old name.
"""

import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import xxhash

from batchrun.checkpoint.atomic import replacing
from batchrun.core.ownership import read_own

_NAME = "outputs.json"
_BLOCK = 1 << 20


class Record(NamedTuple):
    """A file that was written: size in bytes, time of the last change in nanoseconds since 1970, marker, digest of
    its bytes, absolute path. Earlier versions wrote neither digest nor path.
    """

    size: int
    time: int
    marker: str
    digest: str = ""
    path: str = ""


def may_replace(folder: Path, target: Path) -> bool:
    """Is `target` free, a pipe, or a file that batchrun wrote and nobody has changed since?"""
    if not os.path.lexists(target) or (target.exists() and not (target.is_file() or target.is_dir())):
        return True
    return _on_disk(_known(folder, target), target) is not None


def has_written(folder: Path, target: Path) -> bool:
    """Did batchrun write a file of this name, whatever has become of it?"""
    return bool(_written_at(folder, target))


def is_current(folder: Path, target: Path, marker: str) -> bool:
    """Does `target` hold what batchrun wrote there, and does that show the state `marker`?"""
    return shown_by(folder, target) == marker


def remember(folder: Path, target: Path, written: IO[bytes] | Path, marker: str = "") -> None:
    """Record a file or folder that is about to be renamed to `target`. Raises `OSError` if that cannot be written."""
    size, time = _look(written if isinstance(written, Path) else written.fileno())
    digest = _digest_in(written) if isinstance(written, Path) else _digest_of(written.fileno())
    with _alone(folder):
        old = _on_disk(_known(folder, target), target)
        new = Record(size, time, marker, digest, os.path.realpath(target))
        files = _read(folder)
        files.pop(new.path, None)  # as earlier versions named it
        files[_place(folder, target)] = [new] if old is None else [old, new]
        _write(folder, files=files)


def shown_by(folder: Path, target: Path) -> str | None:
    """The state that `target` shows; None if it does not hold what batchrun wrote there."""
    found = _on_disk(_known(folder, target), target)
    return found.marker if found else None


def marker_at(folder: Path, target: Path) -> str:
    """The state that the file which was written there last shows; empty if none was."""
    known = _written_at(folder, target)
    return known[-1].marker if known else ""


def first_task(folder: Path) -> str:
    """The name of the task that has the table's first results file; empty while none has."""
    try:
        return str(json.loads(read_own(folder / _NAME)).get("first", ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


def reserve(folder: Path, target: Path, name: str, runs: Callable[[str], bool], *, overwrite: bool) -> str | None:
    """Let the results of a task's run go to `target`; returns the other task whose run writes there, if one does.

    `runs`: whether a run of a task goes on, and of `name` none but the caller's does. With `overwrite` no other is
    asked. Raises `OSError`.
    """
    with _alone(folder):
        reserved = {place: task for place, task in _reserved(folder).items() if task != name and runs(task)}
        place = _place(folder, target)
        if place in reserved and not overwrite:
            return reserved[place]
        _write(folder, reserved={**reserved, place: name})
    return None


def _reserved(folder: Path) -> dict[str, str]:
    """Where runs write, or wrote, and which tasks they are of."""
    try:
        reserved = json.loads(read_own(folder / _NAME)).get("reserved", {})
        return {str(place): str(name) for place, name in reserved.items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def claim(folder: Path, name: str) -> str:
    """Let a task have the first results file, unless another has it; returns which one has. Raises `OSError`."""
    with _alone(folder):
        if first := first_task(folder):
            return first
        _write(folder, first=name)
    return name


def _known(folder: Path, target: Path) -> list[Record]:
    """What may be at the place of `target`, the latest last: what was written there, or else was moved there."""
    if written := _written_at(folder, target):
        return written
    files = _read(folder).items()
    return [record for place, records in files if not (folder / place).exists() for record in records]


def _written_at(folder: Path, target: Path) -> list[Record]:
    """What was written at the place of `target`, the latest last."""
    files = _read(folder)
    path = os.path.realpath(target)
    if here := files.get(_place(folder, target)):
        return here
    if there := [record for records in files.values() for record in records if record.path == path]:
        return there
    # Earlier versions wrote absolute paths only, and no digest: size and time have to tell that it was moved.
    return [
        record
        for name, records in files.items()
        if name == path or (os.path.isabs(name) and os.path.basename(name) == os.path.basename(path))
        for record in records
    ]


def _on_disk(records: list[Record], target: Path) -> Record | None:
    """The latest record of the file, or of the folder's files, as they are now."""
    try:
        size, time = _look(target) if records else (0, 0)
    except OSError:
        return None
    records = [record for record in records if record.size == size]
    same = [record for record in records if record.time == time]
    if not same and any(record.digest for record in records):
        with suppress(OSError):
            digest = _digest_at(target)
            same = [record for record in records if record.digest == digest]
    return same[-1] if same else None


def _look(target: Path | int) -> tuple[int, int]:
    """Size and time, which change whenever something is written there. Raises `OSError` for what is not our work."""
    found = os.stat(target)
    if stat.S_ISREG(found.st_mode):
        return found.st_size, found.st_mtime_ns
    size = time = 0
    with os.scandir(target) as entries:
        for entry in entries:
            told = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(told.st_mode):
                raise IsADirectoryError(entry.path)
            size += told.st_size
            # Added up: so the order does not count, and no list of a million names is made.
            time += xxhash.xxh3_64_intdigest(f"{told.st_size} {told.st_mtime_ns} ".encode() + os.fsencode(entry.name))
    return size, time % (1 << 63)


def _digest_at(target: Path) -> str:
    if target.is_dir():
        return _digest_in(target)
    with open(target, "rb") as file:
        return _digest_of(file.fileno())


def _digest_in(folder: Path) -> str:
    """Of the names and all bytes of a folder's files, in whatever order."""
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with open(entry.path, "rb") as file:
                told = f"{_digest_of(file.fileno())} ".encode() + os.fsencode(entry.name)
            total += xxhash.xxh3_128_intdigest(told)
    return f"{total % (1 << 128):032x}"


def _digest_of(file: int) -> str:
    """Of all bytes of an open file; where it stands in it does not change."""
    digest, at = xxhash.xxh3_128(), 0
    while block := os.pread(file, _BLOCK, at):
        digest.update(block)
        at += len(block)
    return digest.hexdigest()


def _read(folder: Path) -> dict[str, list[Record]]:
    """All records; none, if the file is missing or damaged: then nothing is ours, and nothing is replaced."""
    try:
        files = json.loads(read_own(folder / _NAME))["files"]
        return {str(name): list(map(_record, records)) for name, records in files.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _write(folder: Path, **news: Any) -> None:
    told = {"first": first_task(folder), "files": _read(folder), "reserved": _reserved(folder), **news}
    with replacing(folder / _NAME, mode=0o600) as register:
        register.write(json.dumps(told, indent=1).encode())


def _record(found: Any) -> Record:
    size, time, *words = found
    return Record(int(size), int(time), *map(str, words))


def _place(folder: Path, target: Path) -> str:
    """Where a file is, seen from the register."""
    return os.path.relpath(os.path.realpath(target), os.path.realpath(folder))


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
