"""Whom a run speaks to: an engine, where rows run, and an onlooker, who is shown how it goes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from batchrun.checkpoint.inflight import Running

from .events import Event, Loading
from .wire import Ticket

if TYPE_CHECKING:
    from batchrun.run.run import Run


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


class Onlooker(Protocol):
    """Who is shown how the run goes."""

    def tick(self, run: "Run", now: float) -> None:
        """On every turn of the loop."""

    def running(self, rows: Sequence[tuple[int, Running]], now: float, loading: Loading | None = None) -> None:
        """The user has asked what is executing. `loading`: why it is nothing."""

    def loading(self, loading: Loading | None) -> None:
        """On every turn while the first worker loads the task and there is no run yet; None: that is over."""

    def say(self, text: str) -> None:
        """Something that the user should know."""
