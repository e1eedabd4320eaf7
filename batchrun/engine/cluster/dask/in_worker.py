"""What runs inside a Dask worker: a lease, which keeps a lane host beside it for as long as somebody wants it.

The lease is one Dask task. It never sees rows: it passes bytes between the host's pipes and two queues of the
scheduler. Dask frees the task's key as soon as the coordinator lets go of it or is gone, and the host ends with it.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from tempfile import TemporaryDirectory

from distributed import Worker, get_worker

from batchrun.core.processes import exit_in_words

WATCH_SECONDS = 0.25
GRACE_SECONDS = 1.5
CHUNK_BYTES = 4 << 20
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
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "batchrun.engine.cluster.host", str(os.getpid())),
            stdin=PIPE,
            stdout=PIPE,
            cwd=folder,
            start_new_session=True,
            limit=CHUNK_BYTES,
        )
        ends = [_inward(worker, key, process), _outward(worker, key, process), _watch(worker, key)]
        tasks = [asyncio.ensure_future(end) for end in ends]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            code = await _end(process)
            await _clear(worker, key)
    return f"its lane host {exit_in_words(code)}"


async def _inward(worker: Worker, key: str, process: Process) -> None:
    """From the coordinator to the host."""
    assert process.stdin
    while data := (await worker.scheduler.queue_get(name=f"{key}-in", timeout=None))["value"]:
        process.stdin.write(data)
        with suppress(ConnectionError):  # it has died; the end of its stdout says so
            await process.stdin.drain()


async def _outward(worker: Worker, key: str, process: Process) -> None:
    """From the host to the coordinator."""
    assert process.stdout
    while data := await process.stdout.read(CHUNK_BYTES):
        await worker.scheduler.queue_put(name=f"{key}-out", data=data, timeout=None)


async def _watch(worker: Worker, key: str) -> None:
    """Returns when nobody wants this task any more, or the worker ends."""
    while _is_wanted(worker, key):
        await asyncio.sleep(WATCH_SECONDS)


def _is_wanted(worker: Worker, key: str) -> bool:
    task = worker.state.tasks.get(key)
    return task is not None and task.state == "executing" and worker.status.name in _RUNNING


async def _end(process: Process) -> int:
    """Close the host's stdin, at which it ends its rows; kill it if it does not. Returns its exit code."""
    assert process.stdin
    process.stdin.close()
    try:
        # Read on: a host that cannot write would not see the end of its stdin.
        await asyncio.wait_for(process.communicate(), GRACE_SECONDS)
    except TimeoutError:
        process.kill()
    return await process.wait()


async def _clear(worker: Worker, key: str) -> None:
    """Leave no rows on the scheduler, and serve whoever still waits at a queue. The coordinator takes them away."""
    with suppress(Exception):
        for name in (f"{key}-in", f"{key}-out"):
            await worker.scheduler.queue_put(name=name, data=b"", timeout=None)
            if not _is_wanted(worker, key):
                await worker.scheduler.queue_get(name=name, batch=True)
