"""The lanes that there are and those that there are to be: how many, how many slots each, who gets a worker when."""

from collections.abc import Callable
from dataclasses import replace

from batchrun.checkpoint.inflight import InFlight
from batchrun.core.descriptors import check_descriptors, raise_descriptors
from batchrun.core.processes import cpus
from batchrun.engine.lane_slots import slots_of_lanes
from batchrun.engine.seam import Rows
from batchrun.engine.worker_setup import WorkerSetup
from batchrun.errors import StoppedError
from batchrun.task.kept_code import contents_as_begun

from .births import Births
from .lane import Lane
from .pace import Absence
from .scarcity import Scarcity

LOADING = max(4, 2 * cpus())


class Crew:
    """Lanes for up to `jobs` rows at once. `welcome`: is told of each lane that has a new worker.

    `replacing`: whether workers that die are to be replaced. `finishing`: whether there are enough lanes for what is
    left. `broken`: why there can be no further ones.
    """

    def __init__(
        self, jobs: int, setup: WorkerSetup, cells: InFlight, births: Births, welcome: Callable[[Lane], None]
    ) -> None:
        self.lanes: list[Lane] = []
        self.setup = setup
        self.replacing = True
        self.replaced = 0
        self.finishing = False
        self.broken: StoppedError | None = None
        self.absence = Absence()
        self.scarcity = Scarcity(setup.limits.free)
        self._jobs = jobs
        self._slots: list[int] = []
        self._rows: Rows | None = None
        self._cells = cells
        self._births = births
        self._welcome = welcome

    def start(self, lanes: int) -> None:
        """Have so many lanes (never more than `jobs`); those that run already count. Raises `BatchrunError`.

        Only a few load the task at a time: where its import takes long, the first ones would otherwise share the
        processors with all others, and none would be up early.
        """
        check_descriptors(min(lanes, self._jobs))
        self._slots += [1] * (min(lanes, self._jobs) - len(self._slots))
        self.put_up_more()

    def prepare(self, rows: Rows) -> None:
        """Make every lane, now and later, ready for the rows to come. Call it before any row is sent.

        Raises `ChangedError` if one of the task's files is not what it was, `BatchrunError` if a lane cannot be had.
        """
        self.setup = replace(self.setup, sources=contents_as_begun(rows.sources))
        self._rows = rows
        self._slots[: len(rows.slots)] = rows.slots
        for lane in self.lanes:
            lane.setup = self.setup
            self._lay_out(lane)
            lane.describe(rows)
        check_descriptors(len(self._slots))
        if not self.lanes:  # else further ones follow when those that there are have rows
            self.put_up_more()

    def grow(self, jobs: int) -> None:
        """Have places for so many rows at once: further lanes, like those that run. Raises `BatchrunError`."""
        if self.broken:
            raise self.broken
        like, before = self.lanes[0], len(self._slots)
        more = max(0, jobs - sum(self._slots))
        slots = slots_of_lanes(more, is_async=like.is_async, threads=like.slots, cpus=1)
        check_descriptors(len(self._slots) + len(slots))
        raise_descriptors(jobs)
        try:
            self._cells.grow(jobs)
        except OSError as error:
            raise StoppedError(f"{self._cells.path} cannot grow: {error}", "check the disk") from error
        self._slots += slots
        try:
            self.put_up_more()
        except StoppedError:
            del self._slots[max(before, len(self.lanes)) :]  # what there is stays
            raise

    @property
    def complete(self) -> bool:
        """Whether there are as many lanes as there are to be."""
        return self.finishing or len(self.lanes) >= len(self._slots)

    def put_up_more(self, called: Callable[[], object] = bool) -> None:
        """Start the lanes that are missing, a few at a time; no more than one once those that there are have `called`,
        which must not wait for rows meanwhile. Raises `StoppedError` if that cannot be done.
        """
        loading = sum(not lane.ready for lane in self.lanes)
        while self._may_grow() and not self.complete and loading < LOADING:
            if self._births.trial:
                return  # the others may be forked from the first
            there = {lane.index for lane in self.lanes}
            index = next(index for index in range(len(self._slots)) if index not in there)
            lane = Lane(index, self.setup, self._cells, self.absence)
            self._lay_out(lane)
            self._put_up(lane)
            self.lanes.append(lane)
            loading += 1
            if called():
                return

    def put_up_again(self, lane: Lane) -> None:
        """Give the lane another worker, or end it where there are to be no more, or none now."""
        self.lanes.remove(lane)
        if self._may_grow():
            try:
                self._put_up(lane)
                self.lanes.append(lane)
            except StoppedError as error:
                # Told at the next call: what has happened until now must not be lost over it.
                self.broken = error

    def _may_grow(self) -> bool:
        """Whether there may be another lane. For want of memory there are fewer, but one."""
        there = len(self.lanes)
        return self.replacing and not self.broken and there < max(1, self.scarcity.most)

    def replace(self, lane: Lane, cause: str | None, *, charged: bool) -> None:
        """A worker has died. See `Births.in_vain`."""
        self.broken = self.broken or self._births.in_vain(lane, cause, charged=charged)
        if self.replacing and not self.broken:
            self.replaced += 1
        self.put_up_again(lane)

    def raise_if_broken(self) -> None:
        """Raise why there can be no further lanes, once."""
        if self.broken:
            error, self.broken = self.broken, None
            self.replacing = False
            raise error

    def _lay_out(self, lane: Lane) -> None:
        lane.first, lane.slots = sum(self._slots[: lane.index]), self._slots[lane.index]

    def _put_up(self, lane: Lane) -> None:
        self._births.start(lane)
        self._welcome(lane)
        if self._rows:
            lane.describe(self._rows)
