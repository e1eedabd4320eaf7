"""The seam: what a run asks of an engine, wherever its rows run."""

from typing import Protocol, runtime_checkable

from batchrun.checkpoint.inflight import Running

from .events import Event, Loading
from .wire import Ticket


class Engine(Protocol):
    """Where rows run, as far as the run knows."""

    def room(self) -> int:
        """Rows that could be sent now."""

    def send(self, tickets: list[Ticket]) -> None:
        """Hand out at most `room()` rows."""

    def busy(self) -> int:
        """Rows handed out whose end has not been told."""

    def running(self) -> list[tuple[int, Running]]:
        """Lane and row of everything that is executing now."""

    def collect(self, wait: float) -> list[Event]:
        """What has happened, after at most `wait` seconds."""

    def expire(self, now: float, limit: float | None) -> list[Event]:
        """End attempts older than `limit` seconds."""

    def drain(self) -> list[Event]:
        """Start nothing more."""

    def take_back(self) -> list[Event]:
        """Take back every row that has not started."""

    def kill(self) -> None:
        """End everything in flight."""


@runtime_checkable
class Loads(Protocol):
    """An engine that can tell why no row has started yet."""

    def loading(self, now: float, *, ask: bool = False) -> Loading | None:
        """Where no worker is up: what they are loading, and since when. `ask`: also where one of them is."""


def loading_of(engine: Engine, now: float, *, ask: bool = False) -> Loading | None:
    """What keeps the engine from starting rows, as far as it can tell."""
    return engine.loading(now, ask=ask) if isinstance(engine, Loads) else None
