"""Calls of Linux that Python has no name for. Each says whether it could be made; errors are `OSError`."""

import ctypes
import errno
import os
from pathlib import Path

_HERE = -100
_EXCHANGE = 2
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def sync_file_system(number: int) -> bool:
    """Make all durable that was written to the file system of an open file or folder."""
    return _called("syncfs", number)


def exchange(one: Path, other: Path) -> bool:
    """Let two files or folders change places, in one step."""
    return _called("renameat2", _HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)


def _called(name: str, *arguments: int | bytes) -> bool:
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is None:
        return False
    if function(*arguments) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number))
