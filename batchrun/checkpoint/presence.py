"""Whether the checkpoint is still where it was.

A file that is deleted or renamed while it is open stays whole for whoever has it open, and nobody else can find it. A
run would go on, pay, and leave nothing. So it looks every second, and where its checkpoint is gone it ends, and saves
what it has settled.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import gettempdir

from batchrun.core.ownership import open_own
from batchrun.errors import CheckpointError

from .checkpoint import Checkpoint
from .places import Places

LOOK_EVERY_SECONDS = 1.0


class Presence:
    """Looks after a checkpoint that is open. `lock`: a descriptor of the lock file beside it."""

    def __init__(self, places: Places, lock: int) -> None:
        self._places = places
        self._lock = lock
        self._file = _identity(places.checkpoint)
        self._due = 0.0

    def look(self, now: float) -> CheckpointError | None:
        """Why the run must end, if the checkpoint is gone; looks once a second. `now`: monotonic seconds."""
        if now < self._due:
            return None
        self._due = now + LOOK_EVERY_SECONDS
        return self.loss()

    def loss(self) -> CheckpointError | None:
        """The error for a checkpoint that is gone; None if it is there, or nothing is known."""
        with suppress(OSError):  # a disk that does not answer: who reads or writes will hear of it
            if _identity(self._places.checkpoint) != self._file:
                return CheckpointError(f"{self._places.checkpoint} is gone: its folder was {self._fate()}")
        return None

    def rescue(self, checkpoint: Checkpoint) -> CheckpointError:
        """Save what is settled, unless its folder was only renamed; returns the error that says where it is."""
        folder, moved = self._places.folder, self._moved_to()
        place = moved or self._copied(checkpoint)
        return CheckpointError(
            f"{self._places.checkpoint} is gone: its folder was {self._fate()} during the run. "
            f"Everything that was settled is in {place}",
            f"move away whatever is at {folder}, then run 'mv {place} {folder}' and the same command: it resumes",
        )

    def _fate(self) -> str:
        moved = self._moved_to()
        return f"renamed to {moved}" if moved else "deleted, or replaced by another one"

    def _moved_to(self) -> Path | None:
        """Where the folder is now, as far as the system knows."""
        with suppress(OSError):
            there = Path(os.readlink(f"/proc/self/fd/{self._lock}")).with_name(self._places.checkpoint.name)
            if there != self._places.checkpoint and _identity(there) == self._file:
                return there.parent
        return None

    def _copied(self, checkpoint: Checkpoint) -> Path:
        """A new folder with a copy of the checkpoint. Raises `CheckpointError` if there is room for it nowhere."""
        why = ""
        for folder in _free_places(self._places.folder):
            try:
                folder.mkdir(0o700)
                copy = folder / self._places.checkpoint.name
                os.close(open_own(copy, os.O_RDWR | os.O_CREAT))
                with closing(sqlite3.connect(copy)) as db:
                    checkpoint.db.backup(db)
                return folder
            except (OSError, sqlite3.Error) as error:
                why = str(error)
        raise CheckpointError(
            f"{self._places.checkpoint} is gone: its folder was {self._fate()}, and what was settled could not be "
            f"saved: {why}",
            "put back a copy of the folder if there is one",
        )


def _free_places(folder: Path) -> Iterator[Path]:
    """Where a copy may go: beside the folder, else where the user is, else where temporary files are."""
    for parent in (folder.parent, Path.cwd(), Path(gettempdir())):
        nth = next(n for n in range(1, 1 << 20) if not os.path.lexists(parent / f"{folder.name}.saved-{n}"))
        yield parent / f"{folder.name}.saved-{nth}"


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is there; None if there is none."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
