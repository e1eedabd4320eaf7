"""The seam: all that a run, its display and `main` ask of an engine, wherever its rows run."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from batchrun.checkpoint.inflight import Running

from .deal import Deal
from .events import Event, Loading

Withdrawal = Literal["recall", "drain", "kill"]


class Rows(NamedTuple):
    """What all rows to come have in common.

    `names`, `types`: of their columns; `missing`: the words for missing (see `converter`). `sources`: the task's files
    (path, digest) as they were when the run began. `slots`: how many rows each lane runs at once, as far as the lanes
    are the run's affair.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    missing: tuple[str, ...]
    sources: Sequence[tuple[str, str]]
    slots: Sequence[int]


class MachineState(NamedTuple):
    """One of several machines: its name, rows in flight, failed attempts so far."""

    name: str
    in_flight: int
    failures: int


class EngineState(NamedTuple):
    """How it goes, as far as an engine can tell.

    `running`: lane and row of everything that is executing. `lanes`: those that are up; `restarts`: workers, and
    machines, that were replaced. `machines`: if there are several. `loading`: why no row has started yet. `refusal`:
    why libraries are not imported once for all workers; empty if they are, or nobody has tried. `largest`: bytes of
    the worker that has most, where that matters. `scarce`: why memory lets no row start; empty if it does.
    """

    running: Sequence[tuple[int, Running]] = ()
    lanes: int = 0
    restarts: int = 0
    machines: Sequence[MachineState] = ()
    loading: Loading | None = None
    refusal: str = ""
    largest: int = 0
    scarce: str = ""


class Engine(Protocol):
    """Where rows run. A context manager: on leaving, nothing runs any more."""

    def start(self, lanes: int) -> None:
        """Have so many lanes, as far as the number is up to us: they load the task. Raises `BatchrunError`."""

    def prepare(self, rows: Rows) -> None:
        """Make every lane, now and later, ready for the rows to come. Raises `BatchrunError`."""

    def grow(self, jobs: int) -> None:
        """Have places for so many rows at once. Raises `BatchrunError` if that cannot be; what there is stays."""

    def room(self) -> int:
        """Rows that could be sent now without one of them waiting for long."""

    def busy(self) -> int:
        """Rows handed out whose end has not been told."""

    def send(self, deals: list[Deal]) -> None:
        """Hand out at most `room()` rows."""

    def events(self, wait: float, limit: float | None) -> list[Event]:
        """What has happened, after at most `wait` seconds; attempts older than `limit` seconds are ended.

        Raises `StoppedError` when it cannot go on.
        """

    def withdraw(self, how: Withdrawal) -> list[Event]:
        """Rows that have not started come back, now or in time. `drain`: and nothing starts any more. `kill`: and
        everything in flight is ended.
        """

    def dismiss(self) -> None:
        """No further row is to be sent unless one comes back: places where none runs may be given up."""

    def state(self, *, ask: bool = False) -> EngineState:
        """How it goes. `ask`: a worker that loads the task is asked where it is."""
