"""The actors: on each node that has room for rows, with a lane host beside each, and bytes to and from it."""

import asyncio
import os
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from batchrun.core.installing import DISTRIBUTION
from batchrun.engine.cluster.fit import SAME_VERSIONS, unfit_because
from batchrun.engine.cluster.link import HostLeft, HostSaid, LinkEvent, SchedulerLost, WorkersLeased, WorkerUnfit

from .in_node import actor_class, node_versions
from .ray_link import HEAD
from .spots import Spot, spots_on

LOOK_SECONDS = 1.0
SILENT_SECONDS = 3.0
LET_GO_SECONDS = 3.0
SHORT_SECONDS = 10.0
SHORT_LIMIT = 10


_RAYS_PATIENCE = "RAY_gcs_rpc_server_reconnect_timeout_s"


def rays_patience() -> float:
    """Seconds for which a lost head is waited for: half of what Ray itself waits before it ends this process."""
    return float(os.environ.get(_RAYS_PATIENCE, 60)) / 2


@dataclass(slots=True)
class _Lease:
    """An actor. `over`: it must end. `again`: its spot may get another one then."""

    key: str
    spot: Spot
    actor: Any
    since: float
    over: asyncio.Event = field(default_factory=asyncio.Event)
    why: str = "it left the cluster"
    again: bool = True
    leased: bool = False


class Hosts:
    """`per_row`: what each row needs, see `spots_on`. `tell` is called with all that the engine should know.

    Every call belongs to the event loop.
    """

    def __init__(self, per_row: Mapping[str, float], tell: Callable[[LinkEvent], Awaitable[None]]) -> None:
        self._per_row = per_row
        self._tell = tell
        self._class: Any = ray.remote(max_restarts=0, max_task_retries=0)(actor_class())
        self._leases: dict[str, _Lease] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: set[tuple[str, int]] = set()
        self._short: Counter[tuple[str, int]] = Counter()

    def send(self, key: str, data: bytes) -> None:
        """Bytes for a host. Nothing happens if it is gone: that is told."""
        if lease := self._leases.get(key):
            lease.actor.write.remote(data)

    def end(self, key: str, why: str, *, again: bool) -> None:
        """Let go of a host. `again`: its node may be used again."""
        if lease := self._leases.get(key):
            lease.why, lease.again = why, again
            lease.over.set()

    async def close(self) -> None:
        """Let go of all."""
        for key in list(self._leases):
            self.end(key, "the run has ended", again=False)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * LET_GO_SECONDS)

    async def keep_all(self) -> None:
        """Keep an actor at every spot, until the cluster is lost."""
        while (nodes := await self._nodes()) is not None:
            spots = [spot for node in nodes if node["Alive"] for spot in spots_on(node, self._per_row)]
            self._seen &= {spot.where for spot in spots}
            for spot in spots:
                if spot.where not in self._seen:
                    self._lease(spot)
            await asyncio.sleep(LOOK_SECONDS)
        await self._tell(SchedulerLost(for_good=True, what=HEAD))

    async def _nodes(self) -> list[Mapping[str, Any]] | None:
        """Those of the cluster; None if its head stays silent. What is on the nodes goes on meanwhile."""
        since, told = time.monotonic(), False
        while time.monotonic() < since + rays_patience():
            asked = asyncio.create_task(asyncio.to_thread(ray.nodes))
            done, _ = await asyncio.wait([asked], timeout=SILENT_SECONDS)
            if done and asked.exception() is None:
                nodes: list[Mapping[str, Any]] = asked.result()
                return nodes
            if not told:
                told = True
                await self._tell(SchedulerLost(for_good=False, what=HEAD))
            if done:
                await asyncio.sleep(LOOK_SECONDS)
        return None

    def _lease(self, spot: Spot) -> None:
        self._seen.add(spot.where)
        where = NodeAffinitySchedulingStrategy(spot.id, soft=False)
        actor = self._class.options(scheduling_strategy=where, **spot.options()).remote()
        lease = _Lease(f"batchrun-lanes-{uuid.uuid4().hex}", spot, actor, time.monotonic())
        self._leases[lease.key] = lease
        task = asyncio.create_task(self._keep(lease))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, lease: _Lease) -> None:
        """One actor, from its start to its end."""
        running = [asyncio.create_task(self._listen(lease)), asyncio.create_task(lease.over.wait())]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in running:
                each.cancel()
            del self._leases[lease.key]
            if lease.leased:
                await self._tell(HostLeft(lease.key, lease.why))
            with suppress(RayError, TimeoutError):
                await asyncio.wait_for(_of(lease.actor.end.remote()), LET_GO_SECONDS)
            with suppress(RayError):
                ray.kill(lease.actor)
            await self._take_again(lease)

    async def _listen(self, lease: _Lease) -> None:
        """Pass on what a host says, until it has ended."""
        try:
            theirs = await _of(lease.actor.begin.remote(node_versions()))
            if why := unfit_because(theirs, node_versions(), (DISTRIBUTION,)):
                lease.again = False
                alone = list(self._leases) == [lease.key]
                await self._tell(WorkerUnfit(lease.spot.name, why, SAME_VERSIONS, alone=alone))
                return
            lease.leased = True
            await self._tell(WorkersLeased(((lease.key, lease.spot.name, lease.spot.rows),)))
            while data := await _of(lease.actor.read.remote()):
                await self._tell(HostSaid(lease.key, data))
            lease.why = await _of(lease.actor.end.remote())
        except RayError as error:  # Ray starts no actor again and repeats no call: see `Hosts`
            lease.why = _in_words(error)

    async def _take_again(self, lease: _Lease) -> None:
        """A spot whose host has ended gets another, but not for ever one that ends at once."""
        if not lease.again:
            return
        lived = time.monotonic() - lease.since
        where = lease.spot.where
        self._short[where] = self._short[where] + 1 if lived < SHORT_SECONDS else 1
        if self._short[where] < SHORT_LIMIT:
            self._seen.discard(where)
        else:
            why = f"has ended {SHORT_LIMIT} times in a row at once ({lease.why})"
            await self._tell(WorkerUnfit(lease.spot.name, why, "check what the worker printed", alone=not self._leases))


async def _of(ref: Any) -> Any:
    return await ref


def _in_words(error: RayError) -> str:
    """The sentence of an error of Ray's that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "ause" in line), lines[0]) if lines else type(error).__name__
