"""Whether a machine of the cluster can run our rows: its versions must be ours. Pure."""

from collections.abc import Mapping
from typing import Any

from batchrun.core.installing import DISTRIBUTION

SAME = ("distributed", "cloudpickle")

Versions = Mapping[str, Any]


def unfit_because(theirs: Versions | None, ours: Versions, *, runs_rows: bool) -> str | None:
    """What keeps a process of the cluster from working with us, or None.

    `theirs`, `ours`: package name -> version or None, as Dask tells them, `python` as `3.11.9.final.0`.
    `runs_rows`: it is a worker, not the scheduler, and needs batchrun itself.
    """
    if theirs is None:
        return "does not say which versions it has"
    here, there = _minor(ours.get("python")), _minor(theirs.get("python"))
    if here != there:
        return f"has Python {there}, and here it is {here}"
    for name in (*SAME, DISTRIBUTION) if runs_rows else SAME:
        if theirs.get(name) is None:
            return f"has no {name} (here: {ours.get(name)})"
        if theirs.get(name) != ours.get(name):
            return f"has {name} {theirs.get(name)}, and here it is {ours.get(name)}"
    return None


def _minor(version: Any) -> str:
    return ".".join(str(version).split(".")[:2])
