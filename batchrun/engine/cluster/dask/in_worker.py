"""What runs inside a Dask worker: a lease, which keeps a lane host beside it for as long as somebody wants it.

The lease is one Dask task. It never sees rows: it passes bytes between the host's pipes and two queues of the
scheduler. Dask frees the task's key as soon as the coordinator lets go of it or is gone, and the host ends with it.
"""

import asyncio
from contextlib import suppress
from tempfile import TemporaryDirectory

from distributed import Worker, get_worker

from batchrun.core.processes import exit_in_words
from batchrun.engine.cluster.host_process import HostProcess

WATCH_SECONDS = 0.25
_RUNNING = ("running", "paused")
_held: set[str] = set()


async def lease(key: str, worker_id: str) -> str:
    """Keep a host until it is not wanted any more; returns why it ended.

    `key`: of this task. `worker_id`: the only worker that is meant. Another one, or a second execution, does nothing.
    """
    worker = get_worker()
    # A worker that came back under its old address has another id; a scheduler that lost our result runs the task
    # again.
    if worker.id != worker_id or key in _held:
        return "its task came to the wrong worker"
    _held.add(key)
    with TemporaryDirectory(prefix="batchrun-", dir=worker.local_directory, ignore_cleanup_errors=True) as folder:
        host = await HostProcess.started(folder)
        ends = [_inward(worker, key, host), _outward(worker, key, host), _watch(worker, key)]
        tasks = [asyncio.ensure_future(end) for end in ends]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            code = await host.end()
            await _clear(worker, key)
    return f"its lane host {exit_in_words(code)}"


async def _inward(worker: Worker, key: str, host: HostProcess) -> None:
    """From the coordinator to the host."""
    while data := (await worker.scheduler.queue_get(name=f"{key}-in", timeout=None))["value"]:
        await host.write(data)


async def _outward(worker: Worker, key: str, host: HostProcess) -> None:
    """From the host to the coordinator."""
    while data := await host.read():
        await worker.scheduler.queue_put(name=f"{key}-out", data=data, timeout=None)


async def _watch(worker: Worker, key: str) -> None:
    """Returns when nobody wants this task any more, or the worker ends."""
    while _is_wanted(worker, key):
        await asyncio.sleep(WATCH_SECONDS)


def _is_wanted(worker: Worker, key: str) -> bool:
    task = worker.state.tasks.get(key)
    return task is not None and task.state == "executing" and worker.status.name in _RUNNING


async def _clear(worker: Worker, key: str) -> None:
    """Leave no rows on the scheduler, and serve whoever still waits at a queue. The coordinator takes them away."""
    with suppress(Exception):
        for name in (f"{key}-in", f"{key}-out"):
            await worker.scheduler.queue_put(name=name, data=b"", timeout=None)
            if not _is_wanted(worker, key):
                await worker.scheduler.queue_get(name=name, batch=True)
