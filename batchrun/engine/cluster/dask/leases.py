"""One connection to the scheduler: a lease on every worker that can run our rows, and bytes to and from its host."""

import asyncio
import functools
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import distributed

from batchrun.core.installing import DISTRIBUTION
from batchrun.engine.cluster.fit import SAME_VERSIONS, unfit_because
from batchrun.engine.cluster.link import HostLeft, HostSaid, LinkEvent, WorkersLeased, WorkerUnfit

from .scheduler import OF_WORKER, connection_trouble, own_versions
from .tasks import lease_task, wish_task

LOOK_SECONDS = 1.0
GLANCE_SECONDS = 0.1
GRACE_SECONDS = 2.0
LET_GO_SECONDS = 3.0
CLOSE_SECONDS = 5.0
SHORT_SECONDS = 10.0
SHORT_LIMIT = 10


class _Worker(NamedTuple):
    """`id`: a worker that comes back under its old address has another."""

    address: str
    id: str
    name: str
    threads: int


@dataclass(slots=True)
class _Lease:
    """`over`: it must end. `again`: its worker may get another one then."""

    key: str
    worker: _Worker
    since: float
    outgoing: "asyncio.Queue[bytes]" = field(default_factory=asyncio.Queue)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    why: str = "it left the cluster"
    again: bool = True


class Leases:
    """`tell` is called with all that the engine should know. Every call belongs to the event loop."""

    def __init__(self, client: Any, tell: Callable[[LinkEvent], None]) -> None:
        self._client = client
        self._tell = tell
        self._leases: dict[str, _Lease] = {}
        self._seen: set[str] = set()
        self._short: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._wish: Any = None

    def send(self, key: str, data: bytes) -> None:
        """Bytes for a host. Nothing happens if it is gone: that is told."""
        if lease := self._leases.get(key):
            lease.outgoing.put_nowait(data)

    def end(self, key: str, why: str, *, again: bool) -> None:
        """Let go of a worker. `again`: it may be used again."""
        if lease := self._leases.get(key):
            lease.why, lease.again = why, again
            lease.over.set()

    async def keep_all(self, closing: asyncio.Event) -> None:
        """Keep a lease on every worker, until `closing`, or until the scheduler is lost."""
        self._client.subscribe_topic("all", self._happened)
        tasks: set[asyncio.Task[None]] = set()
        try:
            while self._client.status == "running" and not closing.is_set():
                self._changed.clear()
                with suppress(OSError):
                    for lease in await self._look():
                        task = asyncio.create_task(self._keep(lease))
                        tasks.add(task)
                        task.add_done_callback(tasks.discard)
                await self._pause(closing)
        finally:
            for key in list(self._leases):
                self.end(key, "the scheduler was lost", again=False)
            if tasks:
                await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
            with suppress(Exception):
                self._client.unsubscribe_topic("all")

    async def _pause(self, closing: asyncio.Event) -> None:
        """Until something may have changed on the cluster."""
        until = time.monotonic() + LOOK_SECONDS
        while self._client.status == "running" and not closing.is_set() and time.monotonic() < until:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), GLANCE_SECONDS)
                return

    def _happened(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Something that concerns the whole cluster. A worker may be gone, and another there under its address."""
        if event[1].get("action") == "remove-worker":
            self._gone(event[1].get("worker", ""))
        self._changed.set()

    def _gone(self, address: str) -> None:
        self._seen.discard(address)
        self._short.pop(address, None)
        for lease in self._leases.values():
            if lease.worker.address == address:
                lease.again = False
                lease.over.set()

    async def _look(self) -> list[_Lease]:
        """Who is there? End the leases of workers that are gone; returns leases for those that are new."""
        there = (await self._client.scheduler.identity(n_workers=-1))["workers"]
        self._wish_for_one(there)
        for address in self._seen - set(there):
            self._gone(address)
        new = {name: about for name, about in there.items() if name not in self._seen and about["status"] == "running"}
        leases = [
            _Lease(f"batchrun-lanes-{uuid.uuid4().hex}", worker, time.monotonic()) for worker in await self._fit(new)
        ]
        if leases:
            self._leases.update((lease.key, lease) for lease in leases)
            self._tell(WorkersLeased(tuple((lease.key, lease.worker.name, lease.worker.threads) for lease in leases)))
        return leases

    def _wish_for_one(self, there: Mapping[str, Any]) -> None:
        """An adaptive cluster without workers starts one for a task that waits, and a lease waits for a worker."""
        if there:
            self._wish = None
        elif self._wish is None:
            self._wish = self._client.submit(wish_task(), pure=False)

    async def _fit(self, new: Mapping[str, Mapping[str, Any]]) -> list[_Worker]:
        """Those of the new workers that have our versions; the others are told of."""
        if not new:
            return []
        ask = functools.partial(self._client.scheduler.broadcast, workers=list(new), on_error="ignore")
        ids, said = await ask(msg={"op": "identity"}), await ask(msg={"op": "versions", "packages": [DISTRIBUTION]})
        fit, misfits = [], []
        for address, about in new.items():
            if address not in ids or address not in said:  # gone already, or asked again at the next look
                continue
            self._seen.add(address)
            if why := unfit_because(said[address].get("packages"), own_versions(), OF_WORKER):
                misfits.append((_shown(address, about), why))
            else:
                fit.append(_Worker(address, ids[address]["id"], _shown(address, about), about["nthreads"]))
        for name, why in misfits:
            self._tell(WorkerUnfit(name, why, SAME_VERSIONS, alone=not fit and not self._leases))
        return fit

    async def _keep(self, lease: _Lease) -> None:
        """One lease, from its task's start to its end."""
        inward, outward = await self._queue(f"{lease.key}-in"), await self._queue(f"{lease.key}-out")
        # A scheduler likes to run a task again, elsewhere, or not at all if it knows the result. Each of these would
        # pay for rows twice, so all are switched off, and `lease` refuses besides (docs/decisions/0011).
        task = self._client.submit(
            *(lease_task(), lease.key, lease.worker.id),
            key=lease.key,
            workers=[lease.worker.address],
            allow_other_workers=False,
            retries=0,
            pure=False,
        )
        listening = asyncio.create_task(self._listen(lease, outward))
        ends = [self._speak(lease, inward), _ended(lease, task), lease.over.wait()]
        running = [listening, *(asyncio.create_task(end) for end in ends)]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            with suppress(Exception):  # what it had said before it ended is in the queue, and this comes last
                await outward.put(b"")
                await asyncio.wait_for(listening, LOOK_SECONDS)
        finally:
            for each in running:
                each.cancel()
            del self._leases[lease.key]
            self._tell(HostLeft(lease.key, lease.why))
            with suppress(Exception):
                await asyncio.wait_for(_let_go(task, inward, outward), LET_GO_SECONDS)
            self._take_again(lease)

    async def _queue(self, name: str) -> Any:
        return await distributed.Queue(name, client=self._client)  # type: ignore[no-untyped-call]

    def _take_again(self, lease: _Lease) -> None:
        """A worker whose host has ended gets another, but not for ever one that ends at once."""
        address = lease.worker.address
        if not lease.again or address not in self._seen:
            return
        lived = time.monotonic() - lease.since
        self._short[address] = self._short[address] + 1 if lived < SHORT_SECONDS else 1
        if self._short[address] < SHORT_LIMIT:
            self._seen.discard(address)
            self._changed.set()
        else:
            why = f"has ended {SHORT_LIMIT} times in a row at once ({lease.why})"
            self._tell(WorkerUnfit(lease.worker.name, why, "check what the worker printed", alone=not self._leases))

    async def _speak(self, lease: _Lease, inward: Any) -> None:
        while True:
            parts = [await lease.outgoing.get()]
            while not lease.outgoing.empty():
                parts.append(lease.outgoing.get_nowait())
            await inward.put(b"".join(parts))

    async def _listen(self, lease: _Lease, outward: Any) -> None:
        while data := await outward.get():
            self._tell(HostSaid(lease.key, data))


async def _ended(lease: _Lease, task: Any) -> None:
    """The task has ended, or its future was cancelled: then the scheduler has forgotten it."""
    lease.why = await _result(task)


async def _result(task: Any) -> str:
    try:
        return str(await task)
    except Exception as error:  # noqa: BLE001 - whatever it is, the host is gone
        return connection_trouble(error)


async def _let_go(task: Any, inward: Any, outward: Any) -> None:
    """Have the lease end, if it still runs; then the queues go, and the task with them."""
    try:
        if task.status == "pending":
            await inward.put(b"")
            await asyncio.wait_for(_result(task), GRACE_SECONDS)
    finally:
        task.release()
        inward.close()
        outward.close()


def _shown(address: str, about: Mapping[str, Any]) -> str:
    """The worker's name for people."""
    name = str(about["name"])
    return address if name == address else f"{name} ({address})"
