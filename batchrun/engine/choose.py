"""Which engine runs the rows: this machine's lanes, or a cluster's. The run does not know which it has."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from batchrun.options.settings import Settings
from batchrun.task.notice import Printed

from .orders import Orders
from .seam import Engine

if TYPE_CHECKING:
    from batchrun.engine.local.nursery import Nursery


class StartableEngine(Engine, Protocol):
    """An engine before it has rows."""

    def start(self, lanes: int) -> None:
        """Have so many lanes, as far as the number is up to us."""

    def keep(self, sources: Sequence[tuple[str, str]]) -> None:
        """Have later workers load the task's files (path, digest) as they were when the run began."""

    def describe(
        self, names: tuple[str, ...], types: tuple[str, ...], slots: Sequence[int] = (), missing: tuple[str, ...] = ()
    ) -> None:
        """Tell every lane, now and later, the columns of the rows to come. See `Lanes.describe` and `converter`."""


def engine_of(
    settings: Settings,
    orders: Orders,
    printed: Printed,
    say: Callable[[str], None],
    stack: ExitStack,
    nursery: "Nursery | None" = None,
) -> StartableEngine:
    """The engine that `--engine` names. `stack` ends it, and everything in it.

    `printed`: told what tasks print on this machine; `say`: tells the user what happens elsewhere. `nursery`: one
    that has been started early for this machine's lanes.
    """
    if settings.engine == "dask":
        from batchrun.engine.cluster.dask.connect import cluster_engine

        return cluster_engine(settings, orders, say, stack)
    from batchrun.engine.local.lanes import (
        Lanes,  # what starts processes takes long to import, and a finished job starts none
    )

    return stack.enter_context(Lanes(settings.most_at_once, orders, Path(orders.inflight), printed, nursery))
