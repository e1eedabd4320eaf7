"""Which engine runs the rows: this machine's lanes, or a cluster's. The run does not know which it has."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from batchrun.checkpoint.explain import explained
from batchrun.checkpoint.folder import Folder
from batchrun.checkpoint.owner import task_folders
from batchrun.checkpoint.places import Places
from batchrun.options.settings import Settings
from batchrun.task.notice import Printed, hear_notices
from batchrun.task.spec import Reading, Spec, asks_for_json, schema_of

from .seam import Engine
from .unshared import is_known_unshared
from .worker_setup import Limits, WorkerSetup

if TYPE_CHECKING:
    from batchrun.engine.local.births import Births


def engine_when_asked(
    folder: Folder,
    settings: Settings,
    spec: Spec,
    say: Callable[[str], None],
    stack: ExitStack,
    births: "Births | None" = None,
) -> Callable[[], Engine]:
    """Makes the engine when it is first asked for: a finished job needs none. `stack` ends it, before the folder is
    given up. `say`: tells the user a line; the log gets it, too. `births`: see `engine_of`.
    """
    setup = worker_setup(settings, spec, folder.places, stack)

    def say_and_log(text: str) -> None:
        say(text)
        folder.log.say(text)

    @cache
    def engine() -> Engine:
        known = is_known_unshared(folder.checkpoint.get("unshared"), setup.preload, task_folders(spec))
        told = replace(setup, preload="no") if known else setup
        with explained(folder.places.folder):
            return engine_of(settings, told, hear_notices(folder.log.printed, say), say_and_log, stack, births)

    return engine


def engine_of(
    settings: Settings,
    setup: WorkerSetup,
    printed: Printed,
    say: Callable[[str], None],
    stack: ExitStack,
    births: "Births | None" = None,
) -> Engine:
    """The engine that `--engine` names. `stack` ends it, and everything in it.

    `printed`: told what tasks print on this machine; `say`: tells the user what happens elsewhere. `births`: where
    workers of this machine's lanes come from, if that has been begun early.
    """
    if settings.engine == "dask":
        from batchrun.engine.cluster.dask.connect import cluster_engine

        return cluster_engine(settings, setup, say, stack)
    if settings.engine == "ray":
        from batchrun.engine.cluster.ray.ray_engine import ray_engine

        return ray_engine(settings, setup, say, stack)
    from batchrun.engine.local.lanes import (
        Lanes,  # what starts processes takes long to import, and a finished job starts none
    )

    return stack.enter_context(Lanes(settings.most_at_once, setup, Path(setup.inflight), printed, births))


def worker_setup(settings: Settings, spec: Spec, places: Places, stack: ExitStack) -> WorkerSetup:
    """What workers are told."""
    inflight = places.inflight
    if settings.dry_run:  # which rows were in flight at a crash is the next real run's to say
        inflight = Path(stack.enter_context(TemporaryDirectory(prefix="batchrun-"))) / inflight.name
    return WorkerSetup(
        spec=spec,
        inflight=str(inflight.absolute()),
        strict=settings.strict_json,
        accept_truncated=settings.accept_truncated,
        reply=reading_of(settings, spec),
        schema=schema_of(spec),
        args=dict(settings.args),
        preload=settings.preload,
        limits=Limits(settings.worker_rows, settings.worker_memory, settings.min_free_memory),
        batch=settings.batch,
        frame=settings.batch_frame,
    )


def reading_of(settings: Settings, spec: Spec) -> Reading:
    """What text that the task returns is. Of a model's answer in words, its thinking is not part."""
    if schema_of(spec) is not None:
        return "json"
    if settings.reply == "text":
        return "answer" if settings.prompt is not None else "text"
    return settings.reply or ("json" if asks_for_json(spec) else "auto")
