"""Whom a run shows how it goes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Run

from collections.abc import Sequence
from typing import Protocol

from batchrun.checkpoint.inflight import Running
from batchrun.engine.events import Loading


class Observer(Protocol):
    """Who is shown how the run goes."""

    def tick(self, run: "Run", now: float) -> None:
        """On every turn of the loop."""

    def running(self, rows: Sequence[tuple[int, Running]], now: float, loading: Loading | None = None) -> None:
        """The user has asked what is executing. `loading`: why it is nothing."""

    def loading(self, loading: Loading | None) -> None:
        """On every turn while the first worker loads the task and there is no run yet; None: that is over."""

    def say(self, text: str) -> None:
        """Something that the user should know."""
