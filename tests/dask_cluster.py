"""A real Dask cluster for tests: scheduler and workers as processes of their own, in folders of their own."""

import json
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from support import environment, wait_for


class DaskCluster:
    """A scheduler, and workers that can be killed one by one. `options`, `env`: of all `dask` commands."""

    engine = "dask"

    def __init__(self, folder: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._options = options
        self._env = environment({"DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "false", **(env or {})})
        self.scheduler = self.start_scheduler()

    @property
    def where(self) -> Path:
        """What `--cluster` is given."""
        return self.file

    def kill_head(self) -> None:
        """The scheduler is gone for good."""
        self.scheduler.kill()

    @property
    def address(self) -> str:
        return json.loads(self.file.read_text())["address"]

    def start_scheduler(self, port: int | None = None) -> subprocess.Popen[bytes]:
        """On a free port, or where one was that has been killed."""
        self.file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(port or free_port()),
            "--scheduler-file",
            str(self.file),
            "--no-dashboard",
        )
        wait_for(lambda: self.file.exists() and self.file.read_text(), 60)
        return self.scheduler

    def start_worker(
        self, *, threads: int = 1, nanny: bool = False, port: int = 0, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        name = f"w{len(self.workers)}"
        worker = self._start(
            *(
                "worker",
                "--host",
                "127.0.0.1",
                "--scheduler-file",
                str(self.file),
                "--name",
                name,
                "--nthreads",
                str(threads),
            ),
            *("--nanny" if nanny else "--no-nanny", "--no-dashboard", "--worker-port", str(port)),
            env=env,
        )
        self.workers.append(worker)
        return worker

    def printed(self) -> str:
        """What the workers and their lanes have printed so far."""
        return "".join(
            (self.folder / f"w{number}" / "printed").read_text(errors="replace") for number in range(len(self.workers))
        )

    def _start(self, kind: str, *options: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        name = kind if kind == "scheduler" else f"w{len(self.workers)}"
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        with (folder / "printed").open("ab") as printed:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options, *self._options],
                cwd=folder,
                env={**self._env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
            )

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        child.kill()
            process.kill()
            process.wait()


def free_port() -> int:
    """Below the ports that the system gives to clients: nobody has it by chance when a scheduler comes back to it."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def dask_cluster(
    folder: Path, *threads: int, options: tuple[str, ...] = (), env: dict[str, str] | None = None
) -> Iterator[DaskCluster]:
    """A cluster with one worker for each number of threads; it need not be up yet."""
    cluster = DaskCluster(folder, *options, env=env)
    try:
        for count in threads:
            cluster.start_worker(threads=count)
        yield cluster
    finally:
        cluster.close()
