"""The line to a Ray cluster: a process of its own that is Ray's driver, and frames to it and from it.

Ray logs, takes over signals, and ends its process when it loses the cluster. None of that may happen to the process
that has the checkpoint (docs/decisions/0032).
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from batchrun.engine.cluster.link import LinkEvent, SchedulerLost
from batchrun.engine.wire import READ_SIZE, Frames, pack, unpack, write_all
from batchrun.errors import UsageError

CONNECT_SECONDS = 20.0
START_SECONDS = 90.0
CLOSE_SECONDS = 8.0
HEAD = "head node"
_ENVIRONMENT = {
    "RAY_NUM_REDIS_GET_RETRIES": "5",  # one a second: a wrong token is told while somebody waits for it
    "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "0",  # rows of a client that died would run on for half a minute
}


class RayLink:
    """`address`: of the cluster, as Ray takes it, or `local:N`. `per_row`: what each row needs, by Ray's names."""

    def __init__(self, address: str, per_row: Mapping[str, float]) -> None:
        self._address = address
        self._per_row = per_row
        self._process: subprocess.Popen[bytes] | None = None
        self._frames = Frames(unpack)
        self._come: list[Any] = []

    def open(self) -> None:
        """Start the driver, which connects. Raises `UsageError` if there is no cluster that we can work with."""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "batchrun.engine.cluster.ray.driver",
                self._address,
                json.dumps(self._per_row),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_ENVIRONMENT},
            start_new_session=True,  # a Ctrl-C in the terminal is meant for us
        )
        patience = START_SECONDS if self._address.startswith("local:") else CONNECT_SECONDS
        until = time.monotonic() + patience
        while not self._come and time.monotonic() < until and self._hear(until - time.monotonic()):
            pass
        match self._come:
            case [("connected",), *later]:
                self._come = later
                return
            case [("refused", why, hint), *_]:
                pass
            case _:
                why = f"no Ray cluster answers at {self._address}"
                why += f" within {patience:.0f} s" if self._process.poll() is None else ": Ray gave up"
                hint = "check that it is running and that this machine can reach it; --engine local runs the rows here"
        self._process.kill()
        self.close()
        raise UsageError(why, hint)

    def close(self) -> None:
        """Let go of every node; what runs there ends."""
        if (process := self._process) is None:
            return
        self._process = None
        with process:
            try:
                process.communicate(timeout=CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def say(self, key: str, message: object) -> int:
        """Send a message to a host; returns its size in bytes."""
        data = pack(message)
        self._tell(("say", key, data))
        return len(data)

    def release(self, key: str, why: str, *, again: bool) -> None:
        """Let go of one host: its rows end now. `again`: its node may be used again."""
        self._tell(("release", key, why, again))

    def events(self, wait: float) -> list[LinkEvent]:
        """What has come, after at most `wait` seconds."""
        if self._process and not self._come and not self._hear(wait):
            self.close()
            self._come.append(SchedulerLost(for_good=True, what=HEAD))
        come, self._come = self._come, []
        return come

    def _tell(self, message: tuple[Any, ...]) -> None:
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):  # the end of what it says tells
                write_all(self._process.stdin.fileno(), pack(message))

    def _hear(self, wait: float) -> bool:
        """Take in what the driver says. Returns whether it is still there."""
        assert self._process
        assert self._process.stdout
        fd = self._process.stdout.fileno()
        watch = select.poll()
        watch.register(fd, select.POLLIN)
        while watch.poll(wait * 1000):
            if not (data := os.read(fd, READ_SIZE)):
                return False
            self._come.extend(self._frames.feed(data))
            wait = 0
        return True
