"""One run per checkpoint: a kernel lock that dies with its holder."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batchrun.core.ownership import open_own
from batchrun.errors import CheckpointError, Interrupted, LockedError

_PATIENCE_SECONDS = 0.1
"""A reader that looks whether a run is in progress holds the lock for an instant: no reason to refuse a run."""


class Held(LockedError):
    """Another run holds the checkpoint, and `--if-running skip` was asked for: no failure."""

    exit_code = 0


@contextmanager
def held(path: Path, if_running: str, signalled: Callable[[], int] = lambda: 0) -> Iterator[int]:
    """Hold the lock inside the block; its value is the lock file's descriptor.

    `if_running`: `fail` raises `LockedError`, `skip` raises `Held`, `wait` waits until it is free, or raises
    `Interrupted` when `signalled()` tells a signal. A lock file that is merely there means nothing; the
    kernel's lock does. It is not inherited by what the holder starts, and is free as soon as the holder is dead.
    """
    fd = _take(path, if_running, signalled)
    try:
        yield fd
    finally:
        os.close(fd)


def _take(path: Path, if_running: str, signalled: Callable[[], int]) -> int:
    patient_until = time.monotonic() + _PATIENCE_SECONDS
    while (fd := _locked(path)) is None:
        if time.monotonic() < patient_until:
            time.sleep(_PATIENCE_SECONDS / 10)
            continue
        if if_running == "fail":
            raise LockedError(
                f"another run{_by(path)} holds {path.with_suffix('.sqlite')}",
                "'batchrun status' shows it; --if-running wait waits for it, skip exits quietly",
            )
        if if_running == "skip":
            raise Held(f"another run{_by(path)} is in progress; nothing to do (--if-running skip)")
        if signum := signalled():
            raise Interrupted(signum, "interrupted while another run held the checkpoint")
        time.sleep(_PATIENCE_SECONDS)
    return fd


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock, or None if another has it. Never a lock that is a mere file."""
    try:
        fd = open_own(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except (BlockingIOError, FileNotFoundError):  # held; or deleted by someone, which makes it nobody's
            pass
        except OSError as error:
            os.close(fd)
            raise CheckpointError(
                f"{path} cannot be locked: {error.strerror}",
                "this file system has no working locks; choose a local folder with --dir",
            ) from error
        os.close(fd)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written: {error.strerror}", "check its permissions, or choose another folder with --dir"
        ) from error
    return None


def _by(path: Path) -> str:
    pid = holder(path)
    return f" (process {pid})" if pid else ""


def holder(path: Path) -> int | None:
    """The process that holds the lock, as the kernel says; None if it says nothing that can be trusted.

    Nothing is stored: what a holder had written down could be another process's number by now.
    """
    try:
        about = os.stat(path)
        locks = Path("/proc/locks").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # As "1: FLOCK  ADVISORY  WRITE 4242 fe:01:1234 0 EOF". On some file systems the device's number is not stat's.
    words = [line.split() for line in locks.splitlines()]
    found = {int(word[4]) for word in words if word[1] == "FLOCK" and word[5].rpartition(":")[2] == str(about.st_ino)}
    return found.pop() if len(found) == 1 and min(found) > 0 else None


def is_held(path: Path) -> bool:
    """Whether a run is in progress now. Asks with a shared lock, so that any number may ask at once."""
    try:
        fd = open_own(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False
