"""The folder in which a run keeps all that it knows of a table, held by one run at a time."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from batchrun.core.redact import Redactor
from batchrun.core.signals import Signals
from batchrun.options.settings import Settings

from . import suspects
from .checkpoint import Checkpoint
from .deaths import LostRows, lost_rows
from .fresh import SetAside, forget_if_unused, fresh_start
from .inflight import forget, left_behind
from .kept import Bring
from .lock import held
from .log import Log
from .opening import opened
from .places import Places, check_folder, places_of, prepare
from .presence import Presence
from .witness import Witness


@dataclass(frozen=True, slots=True)
class Folder:
    """What a run holds. `died`: what the last run has left, if it died; `aside`: what `--fresh` has moved away."""

    places: Places
    checkpoint: Checkpoint
    witness: Witness
    presence: Presence
    log: Log
    redactor: Redactor
    died: LostRows
    aside: SetAside | None


def find_places(input_path: Path, settings: Settings, stack: ExitStack) -> Places:
    """Where the checkpoint is. A dry run of a new task leaves nothing behind."""
    places = places_of(input_path, settings.dir, settings.checkpoint_name)
    check_folder(places.folder)
    if settings.dry_run and (settings.fresh or not places.checkpoint.exists()):
        return replace(places, folder=Path(stack.enter_context(TemporaryDirectory(prefix="batchrun-"))))
    return places


@contextmanager
def claimed(places: Places, settings: Settings, signals: Signals, bring: Bring | None) -> Iterator[Folder]:
    """Hold the folder inside the block: no other run can begin, and the checkpoint is open.

    `bring`: puts the table where it is read from, as soon as no other run can be reading it there.
    """
    prepare(places.folder)
    with ExitStack() as stack:
        lock = stack.enter_context(held(places.lock, settings.if_running, lambda: signals.first))
        witness = Witness(lock)
        if bring is not None:
            bring(lambda: signals.first)
        aside = fresh_start(places) if settings.fresh and not settings.dry_run else None
        if not places.checkpoint.exists():
            stack.push(lambda failed, *_: forget_if_unused(places, aside) if failed or settings.dry_run else None)
        witness.compare(places.checkpoint, places.lock)
        with signals.at_once("interrupted while the checkpoint was opened; nothing was changed"):
            checkpoint = stack.enter_context(opened(places.checkpoint, write=True))
        witness.forget_failures(checkpoint.reached())
        died = _last_death(checkpoint, places, settings)
        redactor = Redactor(os.environ, (settings.api_key_env,))
        log = stack.enter_context(Log(places.log, redactor))
        yield Folder(places, checkpoint, witness, Presence(places, lock), log, redactor, died, aside)


def _last_death(checkpoint: Checkpoint, places: Places, settings: Settings) -> LostRows:
    """What the last run has left, if it died. The checkpoint keeps it until a run gets so far that it is said."""
    remains = left_behind(places.inflight)
    last = lost_rows(remains, checkpoint.attempts_made(remains.rows()))
    died = last.and_before(LostRows.of(checkpoint.get("died")))
    if not settings.dry_run:
        if last != LostRows():
            # The file goes only when the checkpoint has all of it, in one piece. A crash in between counts one death
            # twice, so that a suspect runs alone a death early; the other way round nobody would ever hear of these
            # rows.
            with checkpoint.transaction():
                known = suspects.after_run(checkpoint.get("suspects", {}), remains.running)
                checkpoint.put(died=died.as_fact(), suspects=known)
        forget(places.inflight)
    return died
