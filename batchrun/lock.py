"""One run per checkpoint: a kernel lock that dies with its holder."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import CheckpointError, LockedError


class Held(LockedError):
    """Another run holds the checkpoint, and `--if-running skip` was asked for: no failure."""

    exit_code = 0


@contextmanager
def held(path: Path, if_running: str, waiting: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Hold the lock inside the block.

    `if_running`: `fail` raises `LockedError`, `skip` raises `Held`, `wait` waits until it is free or
    `waiting()` says to give up. A lock file that is merely there means nothing; the kernel's lock does.
    """
    lock = FileLock(path, mode=0o600, thread_local=False)
    try:
        _take(lock, path, if_running, waiting)
    except (OSError, NotImplementedError) as error:
        raise CheckpointError(
            f"{path} cannot be locked: {error}",
            "this file system has no working locks; give --dir a local folder",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _take(lock: FileLock, path: Path, if_running: str, give_up: Callable[[], bool]) -> None:
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            if if_running == "fail":
                raise LockedError(
                    f"another run holds {path.with_suffix('.sqlite')}",
                    "'batchrun status' shows it; --if-running wait waits for it, skip leaves quietly",
                ) from None
            if if_running == "skip" or give_up():
                raise Held("another run is going on; nothing to do (--if-running skip)") from None
            time.sleep(0.1)


def is_held(path: Path) -> bool:
    """Whether a run is going on now."""
    if not path.exists():
        return False
    lock = FileLock(path, mode=0o600, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False
