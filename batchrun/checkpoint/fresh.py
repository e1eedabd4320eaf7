"""`--fresh`: the old checkpoint is moved aside, never deleted, and comes back where the run that did so never began."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.places import Places
from batchrun.errors import BatchrunError

from .log import older

PARTS = ("", "-wal", "-shm")
"""What SQLite makes of a checkpoint's name."""


class SetAside(NamedTuple):
    """Where an old checkpoint was moved, and what it holds, in words (empty: there was none)."""

    path: Path
    holds: str

    @property
    def note(self) -> list[str]:
        """A sentence for the user, if anything was moved."""
        return [f"starting over: the earlier checkpoint ({self.holds}) is kept as {self.path}"] if self.holds else []


def fresh_start(places: Places) -> SetAside:
    """Move the old checkpoint aside (never delete it), and its log with it."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    while (aside := places.folder / f"{places.name}.{stamp}.old").exists():
        stamp += "+"
    holds = _fold(places.checkpoint)
    _rename(places.checkpoint, aside)
    for log, kept in _logs(places, aside):
        with suppress(FileNotFoundError):
            log.rename(kept)
    places.inflight.unlink(missing_ok=True)
    return SetAside(aside, holds)


def aside_files(places: Places, aside: Path) -> list[Path]:
    """All that may belong to a checkpoint that was moved aside; first the file without which the others are nothing."""
    return [*(Path(f"{aside}{part}") for part in PARTS), *(kept for _, kept in _logs(places, aside))]


def _logs(places: Places, aside: Path) -> Iterator[tuple[Path, Path]]:
    """The log's files, and where they are beside a checkpoint that is `aside`."""
    for log in (places.log, older(places.log)):
        yield log, aside.with_name(f"{aside.name}{log.name.removeprefix(places.name)}")


def _rename(checkpoint: Path, to: Path) -> None:
    for part in PARTS:
        with suppress(FileNotFoundError):
            Path(f"{checkpoint}{part}").rename(f"{to}{part}")


def _fold(path: Path) -> str:
    """Bring what is still in the checkpoint's log into its file, so that one rename moves it; says what it holds."""
    if not path.exists():
        return ""
    with suppress(BatchrunError), opened(path, write=True) as checkpoint:
        states = {state.replace("_", " "): count for state, count in checkpoint.counts().items() if count}
        return ", ".join(f"{count:,} {state}" for state, count in states.items()) or "no results"
    return "damaged"  # then the parts are moved one by one


def forget_if_unused(places: Places, aside: SetAside | None) -> None:
    """Remove a checkpoint that was made for a run which never began: a misspelt task leaves no trace in `status`.

    `aside`: where the one before it was moved, which comes back.
    """
    with suppress(BatchrunError):
        with opened(places.checkpoint, write=False) as checkpoint:
            used = checkpoint.get("digest") is not None
        if not used:
            places.roll.unlink(missing_ok=True)
            places.inflight.unlink(missing_ok=True)
            if places.log.exists() and not places.log.stat().st_size:
                places.log.unlink()
            for part in reversed(PARTS):
                Path(f"{places.checkpoint}{part}").unlink(missing_ok=True)
            if aside:
                _rename(aside.path, places.checkpoint)
                for log, kept in _logs(places, aside.path):
                    with suppress(FileNotFoundError):
                        kept.rename(log)
