"""Worker processes must not outlive their coordinator, nor take their neighbours' signals."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def in_own_group() -> None:
    """Make this process the leader of its own group, so that it can be killed with all its children."""
    os.setpgid(0, 0)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies, however it dies.

    Where the kernel cannot do that (not Linux), end-of-file on the inbox ends the worker after its row.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It died before the kernel was asked: nobody is left to send the signal.
        os._exit(1)


def kill_group(pid: int) -> None:
    """Kill a worker and everything it started. A group that is gone is no error."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
