"""A real Dask cluster for tests: scheduler and workers as processes of their own, in folders of their own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from support import environment, wait_for


class DaskCluster:
    """A scheduler on a free port, and workers that can be killed one by one. `options` of the `dask` commands."""

    def __init__(self, folder: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._options = options
        self._env = environment({"DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "false", **(env or {})})
        self.scheduler = self.start_scheduler()

    @property
    def address(self) -> str:
        return json.loads(self.file.read_text())["address"]

    def start_scheduler(self, port: int = 0) -> subprocess.Popen[bytes]:
        self.file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
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

    def printed(self, name: str) -> str:
        return (self.folder / name / "printed").read_text(errors="replace")

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


@contextmanager
def dask_cluster(folder: Path, *threads: int) -> Iterator[DaskCluster]:
    """A cluster with one worker for each number of threads; it need not be up yet."""
    cluster = DaskCluster(folder)
    try:
        for count in threads:
            cluster.start_worker(threads=count)
        yield cluster
    finally:
        cluster.close()
