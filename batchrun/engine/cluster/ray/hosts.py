"""The actors: one on each node that has room for rows, with a lane host beside it, and bytes to and from it."""

import asyncio
import os
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from batchrun.core.installing import DISTRIBUTION
from batchrun.engine.cluster.fit import SAME_VERSIONS, unfit_because
from batchrun.engine.cluster.link import HostLeft, HostSaid, LinkEvent, SchedulerLost, WorkersLeased, WorkerUnfit

from .in_node import actor_class, node_versions
from .ray_link import HEAD

LOOK_SECONDS = 1.0
SILENT_SECONDS = 3.0
LET_GO_SECONDS = 3.0
SHORT_SECONDS = 10.0
SHORT_LIMIT = 10


_RAYS_PATIENCE = "RAY_gcs_rpc_server_reconnect_timeout_s"


def rays_patience() -> float:
    """Seconds for which a lost head is waited for: half of what Ray itself waits before it ends this process."""
    return float(os.environ.get(_RAYS_PATIENCE, 60)) / 2


class _Node(NamedTuple):
    """`name`: for people. `cpus`: as Ray counts them."""

    id: str
    name: str
    cpus: int


@dataclass(slots=True)
class _Lease:
    """An actor on a node. `over`: it must end. `again`: its node may get another one then."""

    key: str
    node: _Node
    actor: Any
    since: float
    over: asyncio.Event = field(default_factory=asyncio.Event)
    why: str = "it left the cluster"
    again: bool = True
    leased: bool = False


class Hosts:
    """`tell` is called with all that the engine should know. Every call belongs to the event loop."""

    def __init__(self, tell: Callable[[LinkEvent], Awaitable[None]]) -> None:
        self._tell = tell
        self._class: Any = ray.remote(max_restarts=0, max_task_retries=0, num_cpus=1)(actor_class())
        self._leases: dict[str, _Lease] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()
        self._short: Counter[str] = Counter()

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
        """Keep an actor on every node, until the cluster is lost."""
        while (nodes := await self._nodes()) is not None:
            there = {node["NodeID"]: node for node in nodes if node["Alive"]}
            self._seen &= there.keys()
            for node in map(_known, there.values()):
                if node.cpus and node.id not in self._seen:
                    self._lease(node)
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

    def _lease(self, node: _Node) -> None:
        self._seen.add(node.id)
        where = NodeAffinitySchedulingStrategy(node.id, soft=False)
        key = f"batchrun-lanes-{uuid.uuid4().hex}"
        lease = _Lease(key, node, self._class.options(scheduling_strategy=where).remote(), time.monotonic())
        self._leases[key] = lease
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
                await self._tell(WorkerUnfit(lease.node.name, why, SAME_VERSIONS, alone=alone))
                return
            lease.leased = True
            await self._tell(WorkersLeased(((lease.key, lease.node.name, lease.node.cpus),)))
            while data := await _of(lease.actor.read.remote()):
                await self._tell(HostSaid(lease.key, data))
            lease.why = await _of(lease.actor.end.remote())
        except RayError as error:  # Ray starts no actor again and repeats no call: see `Hosts`
            lease.why = _in_words(error)

    async def _take_again(self, lease: _Lease) -> None:
        """A node whose host has ended gets another, but not for ever one that ends at once."""
        if not lease.again:
            return
        lived = time.monotonic() - lease.since
        self._short[lease.node.id] = self._short[lease.node.id] + 1 if lived < SHORT_SECONDS else 1
        if self._short[lease.node.id] < SHORT_LIMIT:
            self._seen.discard(lease.node.id)
        else:
            why = f"has ended {SHORT_LIMIT} times in a row at once ({lease.why})"
            await self._tell(WorkerUnfit(lease.node.name, why, "check what the worker printed", alone=not self._leases))


async def _of(ref: Any) -> Any:
    return await ref


def _known(node: Mapping[str, Any]) -> _Node:
    """A node as Ray tells of it."""
    name = f"{node.get('NodeName') or node['NodeManagerAddress']} ({node['NodeID'][:8]})"
    return _Node(node["NodeID"], name, int(node["Resources"].get("CPU", 0)))


def _in_words(error: RayError) -> str:
    """The sentence of an error of Ray's that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "ause" in line), lines[0]) if lines else type(error).__name__
