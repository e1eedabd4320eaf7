"""The Dask tasks. Each is defined in a function, so that it travels by value: the scheduler needs no batchrun."""

from collections.abc import Callable, Coroutine
from typing import Any


def lease_task() -> Callable[[str, str], Coroutine[Any, Any, str]]:
    """Keeps a lane host on a worker (see `in_worker`)."""

    async def batchrun_lanes(key: str, worker_id: str) -> str:
        from .in_worker import lease

        return await lease(key, worker_id)

    return batchrun_lanes


def wish_task() -> Callable[[], None]:
    """Does nothing, on any worker."""

    def batchrun_wishes_for_a_worker() -> None:
        pass

    return batchrun_wishes_for_a_worker
