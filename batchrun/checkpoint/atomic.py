"""Replace a file (or a folder of files) as a whole, durably, or leave the old one untouched.

The new file grows beside its target as `.NAME.xxxxxxxx.part`, under a lock that dies with its writer: so what
a killed writer left behind is known, and the next one removes it.
"""

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from batchrun.core.system_calls import exchange, sync_file_system

_SUFFIX = ".part"
_NAME_PART = 50  # characters of the target's name: a file's name may have 255 bytes


@contextmanager
def replacing(
    target: Path, before_rename: Callable[[IO[bytes]], None] | None = None, mode: int = 0o666
) -> Iterator[IO[bytes]]:
    """A file to write to, which becomes `target` when the block ends without an exception.

    `before_rename` is given the finished file while the old one is still in place. The old
    file's permissions are kept; a new one has `mode` less the umask. A link stays, what it leads to is
    replaced. Raises `OSError`.
    """
    target = Path(os.path.realpath(target))
    _sweep(target)
    part, file = _new_part(target, mode)
    try:
        with file:
            yield file
            # The bytes, then the name, then the folder that holds the name: whenever the power goes, the old file is
            # there or the new one, whole.
            file.flush()
            os.fsync(file.fileno())
            if before_rename is not None:
                before_rename(file)
            os.replace(part, target)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    _sync_folder(target.parent)


@contextmanager
def replacing_folder(target: Path, before_rename: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """A folder to be filled with files, which becomes `target` when the block ends without an exception.

    As for `replacing`; `before_rename` is given the folder. The files of an old one are removed.
    """
    target = Path(os.path.realpath(target))
    _sweep(target)
    part, lock = _new_folder(target)
    try:
        yield part
        # Thousands of files one by one would take minutes.
        if not sync_file_system(lock):
            _sync_each(part)
        os.fsync(lock)
        if before_rename is not None:
            before_rename(part)
        with suppress(OSError):
            part.chmod(stat.S_IMODE(target.stat().st_mode))
        _take_place(part, target)
    except BaseException:
        with suppress(OSError):
            _remove_folder(part)
        raise
    finally:
        os.close(lock)
    _sync_folder(target.parent)


def _new_folder(target: Path) -> tuple[Path, int]:
    while True:
        part = target.with_name(_part_name(target))
        part.mkdir()
        lock = os.open(part, os.O_RDONLY)
        _locked(lock)
        if part.exists():  # else another writer swept it away before it was locked
            return part, lock
        os.close(lock)


def _take_place(part: Path, target: Path) -> None:
    """Rename a folder. What has its name gives way in the same step, or (not on Linux) just before."""
    if not os.path.lexists(target) or is_empty_folder(target):
        os.rename(part, target)
        return
    old = part
    if not exchange(part, target):
        old = target.with_name(_part_name(target))
        os.rename(target, old)
        os.rename(part, target)
    with suppress(OSError):
        _remove_folder(old)


def is_empty_folder(path: Path) -> bool:
    """Whether there is a folder with nothing in it. Raises `OSError` if it cannot be looked into."""
    if not path.is_dir():
        return False
    with os.scandir(path) as entries:
        return next(entries, None) is None


def _remove_folder(folder: Path) -> None:
    """Remove a folder of files, never another folder in it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            os.unlink(entry.path)
    os.rmdir(folder)


def _sync_each(folder: Path) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            with open(entry.path, "rb") as file:
                os.fsync(file.fileno())


def _new_part(target: Path, mode: int) -> tuple[Path, IO[bytes]]:
    while True:
        part = target.with_name(_part_name(target))
        # By its path, which is then the file's name: SQLite opens what it writes itself.
        file = open(part, "x+b", buffering=1 << 20, opener=lambda path, flags: os.open(path, flags, mode))  # noqa: SIM115
        _locked(file.fileno())
        if part.exists():  # else another writer swept it away before it was locked
            with suppress(OSError):
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            return part, file
        file.close()


def _sweep(target: Path) -> None:
    """Remove what writers that were killed have left."""
    ours = re.compile(f"{re.escape(_prefix(target))}[0-9a-f]{{8}}{re.escape(_SUFFIX)}")
    for name in os.listdir(target.parent):
        if ours.fullmatch(name):
            with suppress(OSError):
                _sweep_away(target.with_name(name))


def _sweep_away(part: Path) -> None:
    number = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if _locked(number):
            _remove_folder(part) if stat.S_ISDIR(os.fstat(number).st_mode) else part.unlink()
    finally:
        os.close(number)


def _part_name(target: Path) -> str:
    return f"{_prefix(target)}{secrets.token_hex(4)}{_SUFFIX}"


def _prefix(target: Path) -> str:
    return f".{target.name[:_NAME_PART]}."


def _locked(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody's, or a file system without locks: then nothing is swept
        return False
    return True


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot sync a folder; the file itself is on disk
            os.fsync(number)
    finally:
        os.close(number)
