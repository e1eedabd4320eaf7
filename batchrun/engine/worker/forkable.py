"""Whether this process can be forked: whether it holds anything that its children would share, or would lose.

What is said here of a library was held against forked children that did real work with it; see
docs/decisions/0025-libraries-are-imported-once.md.
"""

import fcntl
import os
import signal
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress

from batchrun.task.head import is_library

_HARMLESS_DEVICES = {os.makedev(1, minor) for minor in (3, 5, 7, 8, 9)}  # null, zero, full, random, urandom
_FORKABLE_THREADS = {"jemalloc_bg_thd"}
"""Threads of libraries that stop them for a fork, and start them again behind it."""


class Forkable:
    """What there was before libraries (and the task) are imported, to be compared with what there is then.

    Raises `OSError`, as `obstacle` does, where the kernel does not tell all of it.
    """

    def __init__(self) -> None:
        self._descriptors = dict(_descriptors())
        self._maps = set(_shared_maps())
        self._handlers = _handlers()
        self._folder = _folder()
        self._modules = set(sys.modules)

    def obstacle(self, *, ours_alone: bool) -> str | None:
        """Why this process had better not be forked, for people; None if nothing speaks against it.

        `ours_alone`: no module of the user's should have been imported.
        """
        _fork_once()
        if threads := _threads():
            return f"a thread is running ({', '.join(sorted(set(threads)))})"
        if what := next(self._new_files(), None):
            return f"{what} is open"
        if new := set(_shared_maps()) - self._maps:
            return f"memory is shared with other processes ({min(new)})"
        if _children():
            return "a program is running"
        if getattr(sys.modules.get("tempfile"), "_name_sequence", None) is not None:
            return "temporary files have been created"  # the first worker that ends would remove them for all
        if _handlers() != self._handlers:
            return "a signal's handler has been changed"
        if _folder() != self._folder:
            return "the working directory has been changed"
        if ours_alone and (file := next(self._users_modules(), None)):
            return f"{file} has been imported by a library"
        return None

    def _new_files(self) -> Iterator[str]:
        mapped: set[int] | None = None
        for fd, (inode, what) in _descriptors():
            if self._descriptors.get(fd) != (inode, what):
                mapped = _mapped() if mapped is None else mapped
                if not _is_of_map(fd, inode, mapped):
                    yield what

    def _users_modules(self) -> Iterator[str]:
        for name in sys.modules.keys() - self._modules:
            file = getattr(sys.modules[name], "__file__", None)
            # torch has modules whose files are mere names.
            if isinstance(file, str) and os.path.isabs(file) and not is_library(file):
                yield file


def _fork_once() -> None:
    """Libraries that end their threads before a fork (OpenBLAS) have none when it matters."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of threads: they are looked at next
        if (pid := os.fork()) == 0:
            os._exit(0)
    os.waitpid(pid, 0)


def _threads() -> list[str]:
    """The names of this process's threads, but for the main one and those that survive a fork."""
    own, names = str(os.getpid()), []
    for number in os.listdir("/proc/self/task"):
        with suppress(OSError):  # it has ended
            with open(f"/proc/self/task/{number}/comm", encoding="utf-8", errors="replace") as file:
                name = file.read().strip()
            if number != own and name not in _FORKABLE_THREADS:
                names.append(name)
    return names


def _descriptors() -> Iterator[tuple[int, tuple[tuple[int, int], str]]]:
    """Descriptor, device and inode, and path or kind of each open file."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            found, target = os.fstat(fd), os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue  # that of the listing itself
        if not (stat.S_ISCHR(found.st_mode) and found.st_rdev in _HARMLESS_DEVICES):
            yield fd, ((found.st_dev, found.st_ino), target)


def _is_of_map(fd: int, inode: tuple[int, int], mapped: set[int]) -> bool:
    """Whether it is a file that has been mapped for reading: nobody reads it through the descriptor."""
    return inode[1] in mapped and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY


def _mapped() -> set[int]:
    """The inodes of all files that are mapped."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        return {int(line.split(maxsplit=5)[4]) for line in file}


def _shared_maps() -> Iterator[str]:
    """Memory that a child would write to as well."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            address, access, _, _, _, *name = line.split(maxsplit=5)
            if access[1] == "w" and access[3] == "s":
                yield f"{name[0].strip() if name else 'anonymous'} at {address}"


def _children() -> bool:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="utf-8") as file:
        return bool(file.read().strip())


def _handlers() -> dict[int, object]:
    return {signum: signal.getsignal(signum) for signum in signal.valid_signals()}


def _folder() -> str | None:
    with suppress(OSError):  # it has been removed
        return os.getcwd()
    return None
