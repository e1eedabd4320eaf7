"""Processes, their groups and their children: killed as one, and their end in words."""

import math
import os
import signal
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


def kill_group(pid: int) -> None:
    """Kill a worker and everything in its group. A group that is gone is not an error."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def kill_trees(pids: Collection[int]) -> None:
    """Kill workers that still live, their groups, and their children, which may be in other groups."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGSTOP)  # so that none starts anything more
    family = _descendants(pids) if pids else []
    for child in family:  # a template's are workers, which start something, too
        with suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGSTOP)
    if family:
        family = _descendants(pids)
    for pid in pids:
        kill_group(pid)
    for child in family:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)


def _descendants(pids: Collection[int]) -> list[int]:
    """Every process that these have started (as far as the system has /proc)."""
    children: dict[int, list[int]] = {}
    with suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit() and (parent := _parent_of(name)) is not None:
                children.setdefault(parent, []).append(int(name))
    found = list(pids)
    for pid in found:
        found.extend(children.get(pid, ()))
    return found[len(pids) :]


def _parent_of(name: str) -> int | None:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            # The program's name comes second, in parentheses, and may hold anything.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None


def memory_of(process: int | str) -> int:
    """Bytes of memory that a process (its number, or `self`) has, without its children; 0 if it is gone."""
    try:
        with open(f"/proc/{process}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE_SIZE
    except (OSError, IndexError, ValueError):
        return 0


def exit_in_words(code: int) -> str:
    """How a process ended, for people; `code` is negative if a signal killed it."""
    if code >= 0:
        return f"exited with code {code}"
    name = (signal.strsignal(-code) or "unknown").lower()
    return f"killed by signal {-code}: {'probably out of memory' if code == -signal.SIGKILL else name}"


def cpus() -> int:
    """CPUs that this process may use (containers and batch schedulers give fewer than there are)."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([there, *cpu_quotas(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])


def cpu_quotas(membership: Path, mounted: Path) -> list[int]:
    """CPUs, rounded up, that a process's control groups give it; nothing where they set no limit.

    `membership`: the groups as the kernel lists them. Each group above one may be the tighter one. A container may see
    its own group as `mounted` itself while the list has its name outside.
    """
    found = []
    for folder, groups in control_groups("cpu", membership, mounted):
        for group in groups:
            with suppress(OSError, ValueError, ZeroDivisionError):
                found.append(_quota(folder / group))
    return [max(1, math.ceil(quota)) for quota in found if quota > 0]


def control_groups(controller: str, membership: Path, mounted: Path) -> list[tuple[Path, list[Path]]]:
    """Folders, and the groups of a process below each, that may limit what the controller controls."""
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except (OSError, UnicodeError):
        return []
    found = []
    for _, controllers, name in (line for line in lines if len(line) == 3):
        own = Path(name.lstrip("/"))
        groups = [] if ".." in own.parts else [own, *own.parents]
        if not controllers:
            found += [(mounted, groups), (mounted / "unified", groups)]
        elif controller in controllers.split(","):
            found += [(mounted / controller, groups), (mounted / controllers, groups)]
    return found


def _quota(group: Path) -> float:
    """CPUs that a group may use; negative where it sets no limit."""
    with suppress(FileNotFoundError):
        quota, period = (group / "cpu.max").read_text().split()
        return float(quota) / float(period) if quota != "max" else -1
    return float((group / "cpu.cfs_quota_us").read_text()) / float((group / "cpu.cfs_period_us").read_text())
