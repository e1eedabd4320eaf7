"""What runs on a node: an actor, which keeps a lane host beside it. It never sees rows, only bytes."""

import platform
from tempfile import TemporaryDirectory
from typing import Any

from batchrun.core.installing import DISTRIBUTION
from batchrun.core.processes import exit_in_words
from batchrun.core.version import VERSION
from batchrun.engine.cluster.host_process import HostProcess


def node_versions() -> dict[str, Any]:
    """Those of this process; our own is the one that runs, however it came here."""
    return {"python": platform.python_version(), DISTRIBUTION: VERSION}


def actor_class() -> type:
    """The actor's class, defined here so that it travels by value: a node without batchrun can still say so."""
    package = DISTRIBUTION

    class BatchrunLanes:
        """Keeps a lane host. Calls of one caller begin in the order in which they were made."""

        async def begin(self, ours: dict[str, Any]) -> dict[str, Any]:
            """The node's versions; where they are `ours`, the host is started."""
            import platform
            from importlib.metadata import PackageNotFoundError, version

            try:
                theirs = {"python": platform.python_version(), package: version(package)}
            except PackageNotFoundError:
                return {"python": platform.python_version(), package: None}
            if theirs[package] == ours[package]:
                from batchrun.engine.cluster.ray.in_node import Keeper

                self._keeper = await Keeper.started()
            return theirs

        async def write(self, data: bytes) -> None:
            await self._keeper.host.write(data)

        async def read(self) -> bytes:
            return await self._keeper.host.read()

        async def end(self) -> str:
            return await self._keeper.end()

    return BatchrunLanes


class Keeper:
    """A host, and the folder that it has for itself."""

    def __init__(self, host: HostProcess, folder: "TemporaryDirectory[str]") -> None:
        self.host = host
        self._folder = folder

    @classmethod
    async def started(cls) -> "Keeper":
        """A new one."""
        folder = TemporaryDirectory(prefix="batchrun-", ignore_cleanup_errors=True)
        return cls(await HostProcess.started(folder.name), folder)

    async def end(self) -> str:
        """End the host; returns how it ended, in words."""
        code = await self.host.end()
        self._folder.cleanup()
        return f"its lane host {exit_in_words(code)}"
