"""Worker processes must not outlive their coordinator, nor take their neighbours' signals."""

import ctypes
import mmap
import os
import select
import signal
import sys
from collections.abc import Callable
from functools import partial

_PR_SET_PDEATHSIG = 1
_MADV_WIPEONFORK = 18


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


def watch_for_hang_up(inbox: int) -> Callable[[], object]:
    """What is true once the coordinator is gone: the kernel closes its end of a pipe before anybody can see it dead.

    Threads may not share one.
    """
    watch = select.poll()
    watch.register(inbox, 0)
    return partial(watch.poll, 0)


def mark_of_this_process() -> mmap.mmap:
    """Something whose first element is 1 here, and 0 in each child that is forked, in whatever way: one need not ask
    the system who one is.
    """
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page.madvise(_MADV_WIPEONFORK)
    page[0] = 1
    return page
