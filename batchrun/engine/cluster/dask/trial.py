"""`--cluster local:N`: a cluster on this machine to try things out with, in a process group of its own.

A Ctrl-C in the terminal is meant for the coordinator, and a scheduler in its process would slow it down.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from batchrun.errors import UsageError


@contextmanager
def trial_cluster(workers: int) -> Iterator[str]:
    """The address of a scheduler with so many workers of one thread, which end with the block, or with us."""
    command = [sys.executable, "-P", "-m", "batchrun.engine.cluster.dask.trial", str(workers)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        address = process.stdout.readline().strip()
        if not address:
            raise UsageError(f"a cluster of {workers} workers cannot be started here", "try fewer: --cluster local:2")
        try:
            yield address
        finally:
            process.stdin.close()


def main(workers: int) -> None:
    """Keep a cluster until stdin ends."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:  # type: ignore[no-untyped-call]
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))
