"""What is remembered of libraries that cannot be imported once for all workers: later runs do not try it again."""

import platform
from collections.abc import Iterable, Mapping
from typing import Any

from batchrun.task.load import source_digest


def unshared_as_fact(refusal: str, preload: str, sources: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What the checkpoint remembers. `sources`: path and digest of the task's files, which import the libraries."""
    return {"why": refusal, "preload": preload, "python": platform.python_version(), "sources": [*sources]}


def is_known_unshared(fact: Mapping[str, Any] | None, preload: str) -> bool:
    """Whether an earlier run was refused the same: by this Python, with the same code."""
    if not fact or (fact["preload"], fact["python"]) != (preload, platform.python_version()):
        return False
    return bool(fact["sources"]) and all(source_digest(path) == digest for path, digest in fact["sources"])
