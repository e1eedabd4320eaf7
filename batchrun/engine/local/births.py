"""Where workers come from, and when it makes no sense to start another one."""

import sys

from batchrun.errors import StoppedError

from .lane import Lane
from .nursery import Nursery, NurseryDied

NURSERY_LIMIT = 3
BARREN_LIMIT = 10


class Births:
    """Starts workers from a nursery, and from a new one where that was killed. `nursery`: one that is up already."""

    def __init__(self, nursery: Nursery | None) -> None:
        self._nursery = nursery
        self._nurseries = 0
        self._barren = 0

    def start(self, lane: Lane) -> None:
        """Start a lane's worker. Raises `StoppedError` if that cannot be done."""
        while True:
            try:
                lane.start(self._up())
            except NurseryDied:
                continue
            except OSError as error:
                raise StoppedError(
                    f"a worker cannot be started: {error}", "lower --jobs, or raise the limits (see ulimit -a)"
                ) from error
            return

    def _up(self) -> Nursery:
        if self._nursery is None or self._nursery.died:
            self._nurseries += 1
            if self._nurseries > NURSERY_LIMIT:
                raise StoppedError(
                    f"the process that starts workers was killed {NURSERY_LIMIT} times",
                    "see whether a row kills its parent, the machine runs out of memory, "
                    f"or {sys.executable} does not start",
                )
            self.close()
            self._nursery = Nursery()
        return self._nursery

    def nursery_excused(self) -> None:
        """It is known which row killed the nursery: that time does not count."""
        self._nurseries -= 1

    def in_vain(self, lane: Lane, cause: str | None, *, charged: bool) -> StoppedError | None:
        """Count a death. Workers that load the task and die before a row has started could be replaced for ever:
        what to say when that has gone on for long enough. `charged`: a row is blamed for the death.
        """
        # A worker that has finished a row, or a row that is blamed, is progress: retries end by themselves.
        if lane.finished or lane.killed or charged:
            self._barren = 0
        elif lane.ready and cause:
            self._barren += 1
            if self._barren >= BARREN_LIMIT:
                return StoppedError(
                    f"{BARREN_LIMIT} workers in a row died before they had started a row: {cause}",
                    "see whether the task's module starts threads that end the process",
                )
        return None

    def close(self) -> None:
        """End the nursery."""
        if self._nursery:
            self._nursery.close()
