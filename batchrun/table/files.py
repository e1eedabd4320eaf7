"""A file: can it be read, and how does it begin?"""

import difflib
import os
import stat
from pathlib import Path

from batchrun.errors import InputError

BLOCK = 1 << 20
PARQUET_MAGIC = b"PAR1"
_OPEN_FILES = ("/dev/stdin", "/dev/fd/", "/proc/")
"""A file redirected to stdin looks like any other here, but the name is another's in the next run."""


def check_reachable(path: Path) -> None:
    """Raise `InputError` unless `path` is a file or folder, which can be read more than once."""
    try:
        mode = stat.S_IFIFO if str(path).startswith(_OPEN_FILES) or str(path) == "-" else path.stat().st_mode
    except OSError as error:
        raise unreadable(path, error) from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(
            f"{path} is a pipe or a device: a run reads its input twice, and again when it is resumed",
            "Save the data to a file first and give its name, or pipe it in: PROGRAM | batchrun process - --name NAME",
        )


def unreadable(path: Path, error: OSError) -> InputError:
    """The error for a file that the system does not let us read."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return InputError(f"{path} does not exist", _close_names(path))
    if isinstance(error, PermissionError):
        return InputError(f"{path}: permission denied", "Make the file readable for this user (chmod u+r).")
    return InputError(f"{path} cannot be read: {error.strerror or error}", "Check the path and the disk.")


def head_of(path: Path, size: int) -> bytes:
    """The first bytes of a file. Raises `InputError` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise unreadable(path, error) from error


def _close_names(path: Path) -> str:
    try:
        names = os.listdir(path.parent)
    except OSError:
        return f"There is no folder {path.parent} either; check the path."
    close = difflib.get_close_matches(path.name, names)
    return (
        f"Did you mean {' or '.join(close)}?" if close else f"Check the name, and the folder: {path.parent.resolve()}"
    )
