"""A lane host as a child process of a cluster's worker, in that worker's event loop."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Self

GRACE_SECONDS = 1.5
CHUNK_BYTES = 4 << 20


class HostProcess:
    """Bytes to a host, and bytes from it. It dies with this process."""

    def __init__(self, process: Process) -> None:
        assert process.stdin
        assert process.stdout
        self._process, self._inbox, self._outbox = process, process.stdin, process.stdout
        self._reading = asyncio.Lock()  # who ends it may do so while somebody reads

    @classmethod
    async def started(cls, folder: str) -> Self:
        """A new one, with its files in `folder`."""
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "batchrun.engine.cluster.host", str(os.getpid())),
                stdin=PIPE,
                stdout=PIPE,
                cwd=folder,
                start_new_session=True,
                limit=CHUNK_BYTES,
            )
        )

    async def write(self, data: bytes) -> None:
        """For the host. Nothing happens if it has died: the end of what it says tells."""
        self._inbox.write(data)
        with suppress(ConnectionError):
            await self._inbox.drain()

    async def read(self) -> bytes:
        """What it says; nothing at its end."""
        async with self._reading:
            return await self._outbox.read(CHUNK_BYTES)

    async def end(self) -> int:
        """Close its inbox, at which it ends its rows; kill it if it does not. Returns its exit code."""
        self._inbox.close()
        try:
            # Read on: a host that cannot write would not see the end of its inbox.
            await asyncio.wait_for(self._drained(), GRACE_SECONDS)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
        return await self._process.wait()

    async def _drained(self) -> None:
        while await self.read():
            pass
        await self._process.wait()
