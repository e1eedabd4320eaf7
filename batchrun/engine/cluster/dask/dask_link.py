"""The line to the cluster: a thread with the event loop that Dask wants. What it hears comes as events.

The engine stays plain code in the run's own thread, and never waits for the network.
"""

import asyncio
import queue
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from distributed.versions import VersionMismatchWarning

from batchrun.engine.cluster.link import LinkEvent, SchedulerLost
from batchrun.engine.wire import pack

from .leases import CLOSE_SECONDS, Leases
from .mute import mute_dask
from .scheduler import closed, connected, connected_again


class DaskLink:
    """`where`: what `distributed.Client` takes to find the scheduler; `shown`: its name for people."""

    def __init__(self, where: Mapping[str, Any], shown: str) -> None:
        self._where = where
        self._shown = shown
        # Dask's client wants an event loop, and the run has a loop of its own that must not wait for it. So the client
        # lives in a thread, and all that passes between the two are messages: calls one way, these queues the other.
        self._events: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
        self._opened: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="batchrun-cluster", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._leases: Leases | None = None

    def open(self) -> None:
        """Connect. Raises `UsageError` if there is no scheduler that we can work with."""
        self._thread.start()
        if error := self._opened.get():
            raise error

    def close(self) -> None:
        """Let go of every worker; what runs there ends."""
        if (closing := self._closing) is not None:
            self._call(lambda _: closing.set())
        if self._thread.is_alive():
            self._thread.join(2 * CLOSE_SECONDS)

    def say(self, key: str, message: object) -> int:
        """Send a message to a host; returns its size in bytes."""
        data = pack(message)
        self._call(lambda leases: leases.send(key, data))
        return len(data)

    def release(self, key: str, why: str, *, again: bool) -> None:
        """Let go of one worker: its rows end now. `again`: it may be used again."""
        self._call(lambda leases: leases.end(key, why, again=again))

    def events(self, wait: float) -> list[LinkEvent]:
        """What has come, after at most `wait` seconds."""
        found: list[LinkEvent] = []
        with suppress(queue.Empty):
            found.append(self._events.get(timeout=wait) if wait else self._events.get_nowait())
            while True:
                found.append(self._events.get_nowait())
        return found

    def _call(self, function: Callable[[Leases], None]) -> None:
        """In the other thread, if it still lives. Leases of a scheduler that was lost since know nothing of it."""
        if self._loop is not None and self._leases is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(function, self._leases)

    def _run(self) -> None:
        warnings.filterwarnings("ignore", category=VersionMismatchWarning)  # we look for ourselves, and say more
        with mute_dask():
            try:
                asyncio.run(self._live())
            except BaseException as error:  # noqa: BLE001 - told to the thread that waits
                self._opened.put(error)
                self._events.put(SchedulerLost(for_good=True))

    async def _live(self) -> None:
        self._loop, closing = asyncio.get_running_loop(), asyncio.Event()
        self._closing = closing
        client = await connected(self._where, self._shown)
        self._opened.put(None)
        while True:
            self._leases = Leases(client, self._events.put)
            await self._leases.keep_all(closing)
            await closed(client)
            if closing.is_set():
                return
            self._events.put(SchedulerLost(for_good=False))
            client = await connected_again(self._where, self._shown)
