"""What the figures were measured on, in plain words."""

import os
import platform
import time
from pathlib import Path
from statistics import median

_TIMES = 200


def machine(folder: Path) -> str:
    """Processors, memory, system, interpreter, and what a durable write costs in `folder`."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return (
        f"Measured on {cores} cores ({platform.machine()}) with {memory:.0f} GiB of memory, {platform.system()}, "
        f"Python {platform.python_version()}; an fsync takes {1000 * fsync_seconds(folder):.2f} ms there."
    )


def fsync_seconds(folder: Path) -> float:
    """The median time that it takes to bring a small write to the disk."""
    seconds = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(_TIMES):
            file.write(b"x" * 4096)
            begin = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - begin)
    (folder / "fsync").unlink()
    return median(seconds)
