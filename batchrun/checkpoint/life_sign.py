"""The coordinator's sign of life, which the kernel takes away when it dies, however it dies.

It is a robust mutex in the in-flight file, which the coordinator holds as long as it uses that file. The kernel marks
it when its holder ends, before the process's pipes are closed. So before each row one look at a byte tells a worker
what would otherwise take a system call.
"""

import ctypes
import mmap
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

SIZE = 64
"""Room for a mutex of any C library, in bytes."""
_ENDED = 0x40  # of the mutex's first word, in its highest byte: FUTEX_OWNER_DIED
_HIGHEST = 3 if sys.byteorder == "little" else 0

_held: set["LifeSign"] = set()
"""What is held is in a list of the C library's, and must not be freed by the way."""


class LifeSign:
    """Held by this process in a file of at least `at` + `SIZE` bytes, at this place, until `end`."""

    def __init__(self, fd: int, at: int) -> None:
        # A map of its own: that of the whole file may move.
        self._page = mmap.mmap(fd, at + SIZE)
        self._at = at
        self._mutex = (ctypes.c_char * SIZE).from_buffer(self._page, at)
        # Only where the thread lives as long as the process. (Where there is no such mutex, workers ask a pipe.)
        if threading.current_thread() is threading.main_thread():
            with suppress(OSError, AttributeError):
                self._hold()

    def _hold(self) -> None:
        library = ctypes.CDLL(None)
        kind = ctypes.create_string_buffer(SIZE)
        library.pthread_mutexattr_init(kind)
        if library.pthread_mutexattr_setpshared(kind, 1) or library.pthread_mutexattr_setrobust(kind, 1):
            return
        library.pthread_mutex_init(self._mutex, kind)
        library.pthread_mutex_lock(self._mutex)
        _held.add(self)
        if int.from_bytes(self._page[self._at : self._at + 4], sys.byteorder) != threading.get_native_id():
            self.end()  # a C library that does it in another way
            self._page[self._at : self._at + SIZE] = bytes(SIZE)

    def end(self) -> None:
        """Let it go: whoever still looks sees the coordinator gone."""
        if self in _held:
            ctypes.CDLL(None).pthread_mutex_unlock(self._mutex)
            _held.remove(self)
            self._page[self._at + _HIGHEST] = _ENDED


def sign_gone(file: mmap.mmap, at: int) -> Callable[[], object] | None:
    """What is true once the holder of the sign at this place is gone; None if nobody has ever held it."""
    byte = at + _HIGHEST
    return (lambda: file[byte] & _ENDED) if any(file[at : at + 4]) else None
