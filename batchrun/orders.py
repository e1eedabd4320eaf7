"""What a worker is told when it is started."""

from dataclasses import dataclass

from .worker.readymade import Spec


@dataclass(frozen=True)
class Orders:
    """All that a worker is told at its start (travels pickled; plain data only).

    `spec`: see `loading.load`. `inflight`: path of the in-flight file. `schema`: the JSON Schema, as text, that
    replies must fit.
    """

    spec: Spec
    inflight: str
    strict: bool
    accept_truncated: bool
    schema: str | None = None
