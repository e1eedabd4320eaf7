"""How far the last run had come, kept beside the checkpoint: results that vanish from it are missed.

After a crash the last commits are in the checkpoint's `-wal` file alone. Where somebody deletes that, or puts an
older copy of the checkpoint in its place, what is left is whole, and says nothing of what is gone. So the run writes
after each commit into its lock file which numbers results and failed attempts have reached. It is written in place
and never synced, which costs next to nothing, and what stands there was in the checkpoint before: after whatever
crash the checkpoint has at least as much, unless something was taken from it.
"""

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from batchrun.core.ownership import read_own
from batchrun.errors import CheckpointError

from .opening import NothingYet, opened
from .records import Reached

_MAGIC = b"batchrun lock 1\n"
_FORM = struct.Struct("<16s16sqq")
_SEAL = struct.Struct("<I")


class Lost(NamedTuple):
    """Results and failed attempts that had been written, and those that are there."""

    noted: Reached
    found: Reached

    def __str__(self) -> str:
        noted, found = self.noted, self.found
        return (
            f"it has lost its latest commits: {noted.results:,} results and {noted.failures:,} failed attempts "
            f"were written, {found.results:,} and {found.failures:,} are there. Its -wal file was deleted, or an older "
            "copy took its place"
        )


class Witness:
    """Writes down what has been committed. `lock`: a descriptor of the lock file, held by this run."""

    def __init__(self, lock: int) -> None:
        self._fd = lock

    def compare(self, path: Path, lock: Path) -> None:
        """Raise `CheckpointError` if the checkpoint has lost commits; forget what was of one that is made anew."""
        if _is_fresh(path):
            with suppress(OSError):
                os.ftruncate(self._fd, 0)
        check(path, lock)

    def saw(self, reached: Reached) -> None:
        """All of this is on disk."""
        data = _FORM.pack(_MAGIC, bytes.fromhex(reached.checkpoint), reached.results, reached.failures)
        with suppress(OSError):  # an older note is as true
            os.pwrite(self._fd, data + _SEAL.pack(crc32(data)), 0)

    def forget_failures(self, checkpoint: Reached) -> None:
        """Failed attempts at rows that are gone may be deleted now; results never are."""
        if checkpoint.failures:
            self.saw(checkpoint._replace(failures=0))


def _is_fresh(path: Path) -> bool:
    """A file of no bytes is what a kill right after opening leaves."""
    return not path.exists() or not path.stat().st_size


def noted(lock: Path) -> Reached | None:
    """What the last run wrote down; None if there is nothing, or nothing that makes sense."""
    try:
        data = read_own(lock, _FORM.size + _SEAL.size)
    except OSError:
        return None
    if len(data) < _FORM.size + _SEAL.size or data[_FORM.size :] != _SEAL.pack(crc32(data[: _FORM.size])):
        return None
    magic, checkpoint, results, failures = _FORM.unpack_from(data)
    return Reached(checkpoint.hex(), results, failures) if magic == _MAGIC else None


def missing(note: Reached | None, found: Reached) -> Lost | None:
    """What is missing in a checkpoint, if anything. Pure. A checkpoint without a name has nothing at all."""
    if note is None or found.checkpoint not in (note.checkpoint, ""):
        return None
    return Lost(note, found) if found.results < note.results or found.failures < note.failures else None


def check(path: Path, lock: Path) -> None:
    """Raise `CheckpointError` if the checkpoint has lost commits. Changes nothing: the missing file may come back."""
    note = noted(lock)
    if note is None or _is_fresh(path):
        return
    try:
        with opened(path, write=False) as checkpoint:
            found = checkpoint.reached()
    except NothingYet:
        found = Reached("", 0, 0)
    if lost := missing(note, found):
        raise CheckpointError(
            f"{path} is damaged: {lost}", f"put the file back; or delete {lock} to run the missing rows again"
        )
