"""What is remembered of libraries that cannot be imported once for all workers: later runs do not try it again."""

import platform
from collections.abc import Iterable, Mapping
from typing import Any

from batchrun.checkpoint.owner import lies_in
from batchrun.task.load import source_digest


def unshared_as_fact(refusal: str, preload: str, sources: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What the checkpoint remembers. `sources`: path and digest of the task's files, which import the libraries."""
    return {"why": refusal, "preload": preload, "python": platform.python_version(), "sources": [*sources]}


def is_known_unshared(fact: Mapping[str, Any] | None, preload: str, folders: Iterable[str]) -> bool:
    """Whether an earlier run was refused the same: by this Python, with the same code, which lies in `folders`."""
    if not fact or (fact["preload"], fact["python"]) != (preload, platform.python_version()):
        return False
    sources = fact["sources"]
    return bool(sources) and all(lies_in(path, folders) and source_digest(path) == digest for path, digest in sources)
