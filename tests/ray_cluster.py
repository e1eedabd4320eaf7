"""A real Ray cluster for tests: a head that runs no rows, and nodes that can be killed one by one, on this machine."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from dask_cluster import free_port
from support import environment, wait_for

HERMETIC = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
"""Environment of everybody who takes part."""


class RayNode:
    """A node of a cluster."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def part(self, name: str) -> psutil.Process:
        """One of its processes, by the end of its program's name."""
        children = psutil.Process(self._process.pid).children()
        return next(child for child in children if child.cmdline() and child.cmdline()[0].endswith(f"/{name}"))

    def kill(self) -> None:
        """As when its machine is lost: what runs rows there must end by itself."""
        self.part("raylet").kill()

    def close(self) -> None:
        """No process remains."""
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        self._process.kill()
        self._process.wait()


class RayCluster:
    """A head, and nodes. `folder`: for what the processes print. `env`: of all of them."""

    engine = "ray"

    def __init__(self, folder: Path, env: dict[str, str] | None = None) -> None:
        self._env = {**HERMETIC, **(env or {})}
        self.folder = folder
        self.workers: list[RayNode] = []
        self._place = Path(tempfile.mkdtemp(prefix="r"))  # names of sockets must be short
        self.where = f"127.0.0.1:{free_port()}"
        port = self.where.rpartition(":")[2]
        self.head = self._start(
            *("head", {}, "--head", "--port", port, "--num-cpus", "0", "--temp-dir", str(self._place)),
            "--include-dashboard=false",
        )

    def start_worker(self, *, threads: int = 1, gpus: int = 0, env: dict[str, str] | None = None) -> RayNode:
        """One more node, which is up."""
        name = f"w{len(self.workers)}"
        worker = self._start(
            name, env or {}, "--address", self.where, "--num-cpus", str(threads), "--num-gpus", str(gpus)
        )
        self.workers.append(worker)
        return worker

    def kill_head(self) -> None:
        """What holds the nodes together is gone for good."""
        self.head.part("gcs_server").kill()

    def printed(self) -> str:
        """What the hosts and their lanes have printed so far."""
        return "".join(
            path.read_text(errors="replace") for path in self._place.glob("session_latest/logs/worker-*.err")
        )

    def _start(self, name: str, env: dict[str, str], *options: str) -> RayNode:
        log = self.folder / f"{name}.printed"
        with log.open("wb") as printed:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--node-name", name, *options),
                    *("--node-ip-address", "127.0.0.1", "--object-store-memory", str(100 << 20)),
                ],
                cwd=self.folder,
                env=environment({**self._env, **env}),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
            )
        node = RayNode(process)
        try:
            wait_for(lambda: "Ray runtime started" in log.read_text() or process.poll() is not None, 90)
            assert process.poll() is None, log.read_text()
        except BaseException:
            node.close()
            raise
        return node

    def close(self) -> None:
        for node in [*self.workers, self.head]:
            node.close()
        shutil.rmtree(self._place, ignore_errors=True)


@contextmanager
def ray_cluster(folder: Path, *threads: int, env: dict[str, str] | None = None) -> Iterator[RayCluster]:
    """A cluster with one node for each number of threads."""
    cluster = RayCluster(folder, env)
    try:
        for count in threads:
            cluster.start_worker(threads=count)
        yield cluster
    finally:
        cluster.close()
