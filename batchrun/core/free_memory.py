"""Memory that is free, on this machine and within the limits of its control groups (containers, batch systems)."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .processes import control_groups

# What the kernel gives up before it refuses memory: pages that are on disk as well.
_RECLAIMABLE = ("inactive_file", "active_file", "slab_reclaimable")


class Memory(NamedTuple):
    """Bytes that there are in all, and that can still be had."""

    total: int
    free: int


def memory_here(
    meminfo: Path = Path("/proc/meminfo"),
    membership: Path = Path("/proc/self/cgroup"),
    mounted: Path = Path("/sys/fs/cgroup"),
) -> Memory | None:
    """The memory of this machine, or of the control group around this process that has least; None if nobody says.

    `membership`, `mounted`: as in `cpu_quotas`.
    """
    found = [*_of_machine(meminfo), *_of_groups(membership, mounted)]
    return Memory(min(each.total for each in found), max(0, min(each.free for each in found))) if found else None


def _of_machine(meminfo: Path) -> Iterator[Memory]:
    with suppress(OSError, LookupError, ValueError):
        kilobytes = _numbers(meminfo)
        yield Memory(kilobytes["MemTotal:"] << 10, kilobytes["MemAvailable:"] << 10)


def _of_groups(membership: Path, mounted: Path) -> Iterator[Memory]:
    for folder, groups in control_groups("memory", membership, mounted):
        for group in groups:
            for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
                with suppress(OSError, ValueError):  # there is none, or it is "max"
                    total = int((folder / group / limit).read_text())
                    yield Memory(total, total - int((folder / group / used).read_text()) + _reclaimable(folder / group))


def _reclaimable(group: Path) -> int:
    with suppress(OSError, ValueError):
        stat = _numbers(group / "memory.stat")
        return sum(stat.get(f"total_{name}", stat.get(name, 0)) for name in _RECLAIMABLE)
    return 0


def _numbers(path: Path) -> dict[str, int]:
    """The lines of such a file: a name and a number."""
    return {line[0]: int(line[1]) for line in map(str.split, path.read_text().splitlines()) if len(line) > 1}
