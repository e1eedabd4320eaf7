"""What a worker is told when it is started."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from batchrun.checkpoint.places import Places
from batchrun.options.settings import Settings
from batchrun.task.spec import Reading, Spec, asks_for_json, schema_of


@dataclass(frozen=True)
class Orders:
    """All that a worker is told at its start (travels pickled; plain data only).

    `spec`: see `loading.load`. `inflight`: path of the in-flight file. `schema`: the JSON Schema, as text, that
    replies must fit. `reply`: what text that the task returns is, see `batchrun.task.reply`. `args`: what the task's
    function is given beside the row, by name. `sources`: path and content of the task's files, as they
    are to be loaded.
    """

    spec: Spec
    inflight: str
    strict: bool
    accept_truncated: bool
    reply: Reading = "auto"
    schema: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, bytes] = field(default_factory=dict)


def orders_for(settings: Settings, spec: Spec, places: Places, stack: ExitStack) -> Orders:
    """What workers are told."""
    inflight = places.inflight
    if settings.dry_run:  # which rows were in flight at a crash is the next real run's to say
        inflight = Path(stack.enter_context(TemporaryDirectory(prefix="batchrun-"))) / inflight.name
    return Orders(
        spec=spec,
        inflight=str(inflight.absolute()),
        strict=settings.strict_json,
        accept_truncated=settings.accept_truncated,
        reply=reading_of(settings, spec),
        schema=schema_of(spec),
        args=dict(settings.args),
    )


def reading_of(settings: Settings, spec: Spec) -> Reading:
    """What text that the task returns is. Of a model's answer in words, its thinking is no part."""
    if schema_of(spec) is not None:
        return "json"
    if settings.reply == "text":
        return "answer" if settings.prompt is not None else "text"
    return settings.reply or ("json" if asks_for_json(spec) else "auto")
