"""Replace a file as a whole, durably, or leave the old one untouched.

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

BeforeRename = Callable[[IO[bytes]], None]
_SUFFIX = ".part"
_NAME_PART = 50  # characters of the target's name: a file's name may have 255 bytes


@contextmanager
def replacing(target: Path, before_rename: BeforeRename | None = None, mode: int = 0o666) -> Iterator[IO[bytes]]:
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


def _new_part(target: Path, mode: int) -> tuple[Path, IO[bytes]]:
    while True:
        part = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}{_SUFFIX}")
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
            with suppress(OSError), open(target.with_name(name), "rb") as file:
                if _locked(file.fileno()):
                    os.unlink(file.name)


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
