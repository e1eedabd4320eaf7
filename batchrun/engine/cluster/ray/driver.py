"""Ray's driver, in a process beside the coordinator: bytes from the coordinator to the hosts, events back.

It ends, and with it everything on the cluster, when its stdin ends: when the coordinator is done, or gone.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import ray

from batchrun.engine.cluster.fit import SAME_VERSIONS
from batchrun.engine.cluster.own_pipes import pipes_aside
from batchrun.engine.wire import READ_SIZE, Frames, pack, unpack, write_all

from .hosts import Hosts

_TRIAL_MEMORY = 200 << 20
_REACHABLE = "check that it is running and that this machine can reach it; --engine local runs the rows here"


def connect(address: str) -> None:
    """Make this process a driver of the cluster. Raises what Ray raises."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL", "namespace": "batchrun"}
    if address.startswith("local:"):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        cpus = int(address.removeprefix("local:"))
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=_TRIAL_MEMORY, **quiet)
    else:
        ray.init(address=address, **quiet)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # Ray has taken them
        signal.signal(signum, lambda *_: None)  # who means us closes our stdin


def trouble(address: str, error: BaseException) -> tuple[str, str]:
    """What is wrong where Ray cannot connect, and what to do about it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    told = "\n".join(str(each) for each in _chain(error))
    if "Version mismatch" in told:
        return f"the Ray cluster at {address} has other versions: {' '.join(lines)}", SAME_VERSIONS
    if "InvalidAuthToken" in told:
        return (
            f"the Ray cluster at {address} wants a token",
            "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH",
        )
    if address.startswith("local:"):
        return f"a Ray cluster cannot be started here: {lines[0]}", "try fewer: --cluster local:2"
    return f"no Ray cluster answers at {address}: {lines[0]}", _REACHABLE


def _chain(error: BaseException | None) -> list[BaseException]:
    return [error, *_chain(error.__cause__ or error.__context__)] if error else []


async def _live(address: str, per_row: Mapping[str, float], inbox: int, outbox: int) -> None:
    turn = asyncio.Lock()

    async def tell(event: tuple[Any, ...]) -> None:
        async with turn:  # in the order in which it happened
            with suppress(BrokenPipeError):  # the coordinator is gone, and hosts are still to be let go
                await asyncio.to_thread(write_all, outbox, pack(event))

    try:
        connect(address)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        await tell(("refused", *trouble(address, error)))
        return
    await tell(("connected",))
    hosts = Hosts(per_row, tell)
    ends = [asyncio.create_task(hosts.keep_all()), asyncio.create_task(_heed(hosts, inbox))]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    await hosts.close()


async def _heed(hosts: Hosts, inbox: int) -> None:
    """Do what the coordinator says, until it has said everything."""
    reader, frames = asyncio.StreamReader(limit=READ_SIZE), Frames(unpack)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(inbox, "rb", buffering=0)
    )
    while data := await reader.read(READ_SIZE):
        for message in frames.feed(data):
            match message:
                case ("say", key, said):
                    hosts.send(key, said)
                case ("release", key, why, again):
                    hosts.end(key, why, again=again)


if __name__ == "__main__":
    asyncio.run(_live(sys.argv[1], json.loads(sys.argv[2]), *pipes_aside()))
    # Not by way of Ray's own goodbye, which may wait long for a head that is not there.
    os._exit(0) if not sys.argv[1].startswith("local:") else ray.shutdown()
