"""Worker processes must not outlive their coordinator, nor take their neighbours' signals."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

_PR_SET_PDEATHSIG = 1


def in_own_group() -> None:
    """Make this process the leader of its own group, so that it can be killed with all its children."""
    os.setpgid(0, 0)


def die_with(parent: int, signum: int = signal.SIGKILL) -> None:
    """Have the kernel send this process `signum` when `parent` dies, however it dies.

    Where the kernel cannot do that (not Linux), end-of-file on the inbox ends the worker after its row.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        # It died before the kernel was asked: nobody is left to send the signal.
        os._exit(1)


def kill_group(pid: int) -> None:
    """Kill a worker and everything in its group. A group that is gone is no error."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def kill_tree(pid: int) -> None:
    """Kill a worker that still lives, its group, and those of its children that have left the group."""
    left = [child for child in _descendants(pid) if _group_of(child) != pid]
    kill_group(pid)
    for child in left:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _descendants(pid: int) -> Iterator[int]:
    """Every process that `pid` has started (as far as the system has /proc)."""
    parents: dict[int, list[int]] = {}
    with suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit() and (parent := _parent_of(name)) is not None:
                parents.setdefault(parent, []).append(int(name))
    found = [pid]
    for parent in found:
        found.extend(parents.get(parent, ()))
        if parent != pid:
            yield parent


def _parent_of(name: str) -> int | None:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            # The program's name comes second, in parentheses, and may hold anything.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None
