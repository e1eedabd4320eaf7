"""Whether a machine of the cluster can run our rows: its versions must be ours. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

SAME_VERSIONS = "use the same versions here and on the cluster"

Versions = Mapping[str, Any]


def unfit_because(theirs: Versions | None, ours: Versions, packages: Iterable[str]) -> str | None:
    """What keeps a process of the cluster from working with us, or None.

    `theirs`, `ours`: package name -> version or None, `python` as `3.11.9` or `3.11.9.final.0`. `packages`: those
    that must be the same.
    """
    if theirs is None:
        return "does not say which versions it has"
    here, there = _minor(ours.get("python")), _minor(theirs.get("python"))
    if here != there:
        return f"has Python {there}, and here it is {here}"
    for name in packages:
        if theirs.get(name) is None:
            return f"has no {name} (here: {ours.get(name)})"
        if theirs.get(name) != ours.get(name):
            return f"has {name} {theirs.get(name)}, and here it is {ours.get(name)}"
    return None


def _minor(version: Any) -> str:
    return ".".join(str(version).split(".")[:2])
