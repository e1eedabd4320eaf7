"""What a worker is told when it is started."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from batchrun.task.spec import Reading, Spec

TEMPLATE_IS_UP = b"+"
"""What a worker says that can be forked for the others. If it cannot, it says why, or nothing."""


GO_ON = b"!"
"""What such a worker is told when nothing can be refused any more, so that code of the user's may run."""


class Limits(NamedTuple):
    """After how many rows, and beyond how many bytes of memory, a worker is replaced; None: never.

    `free`: bytes of memory that are to stay free on the machine, for which workers end.
    """

    rows: int | None = None
    memory: int | None = None
    free: int | None = None


@dataclass(frozen=True)
class WorkerSetup:
    """All that a worker is told at its start (travels pickled; plain data only).

    `spec`: see `loading.load`. `inflight`: path of the in-flight file. `schema`: the JSON Schema, as text, that
    replies must fit. `reply`: what text that the task returns is, see `batchrun.task.reply`. `args`: what the task's
    function is given beside the row, by name. `sources`: path and content of the task's files, as they
    are to be loaded. `preload`: what is loaded once, in a template that workers are forked from: `imports` (the
    libraries in the head of the task's module), `module` (all of it), `no`. `limits`: when a worker is replaced.
    `batch`: up to so many rows are called together, as a DataFrame if `frame`.
    """

    spec: Spec
    inflight: str
    strict: bool
    accept_truncated: bool
    reply: Reading = "auto"
    schema: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, bytes] = field(default_factory=dict)
    preload: str = "no"
    limits: Limits = Limits()
    batch: int | None = None
    frame: bool = False
