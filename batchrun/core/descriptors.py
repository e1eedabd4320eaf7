"""What the system allows this process."""

import os
import resource

from batchrun.errors import UsageError

from .text import counted

A_LANE = 8
BESIDES = 100


def raise_descriptors(rows: int) -> None:
    """Raise this process's own limit of open files as far as so many rows at once may need and the system allows.

    Workers inherit it: where many rows share one, each may have a connection of its own there.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _needed(rows) + len(os.listdir("/proc/self/fd"))  # whoever started us may have left many open
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check_descriptors(lanes: int) -> None:
    """Raise `UsageError` where the system does not allow the open files of so many lanes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _needed(lanes):
        most = (hard - BESIDES) // A_LANE
        fewer = f", or lower --jobs: {counted(most, 'worker')} at most" if most > 0 else ""
        raise UsageError(
            f"{counted(lanes, 'worker')} {'need' if lanes > 1 else 'needs'} {_needed(lanes):,} open files, "
            f"and the system allows {hard:,}",
            f"raise the limit (ulimit -Hn {_needed(lanes)}){fewer}",
        )


def _needed(lanes: int) -> int:
    return lanes * A_LANE + BESIDES
