"""The ends of a run: what is checked before any row runs, and what is left behind after the last."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from batchrun.checkpoint.bind import Bound
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.places import Places
from batchrun.core.signals import Signals
from batchrun.core.states import DONE, SETTLED_NAMES, SKIPPED
from batchrun.errors import BatchrunError, Interrupted
from batchrun.options.settings import Settings
from batchrun.outcome.export import outputs
from batchrun.outcome.export.writing import ExportStopped, export, format_of
from batchrun.run.plan import Plan
from batchrun.run.summary import Summary
from batchrun.run.tally import Tally

from .destination import refuse_foreign, refuse_input

_PARTS = ("", "-wal", "-shm")
"""What SQLite makes of a checkpoint's name."""


class SetAside(NamedTuple):
    """Where an old checkpoint was moved, and what it holds, in words (empty: there was none)."""

    path: Path
    holds: str

    @property
    def note(self) -> list[str]:
        """A sentence for the user, if anything was moved."""
        return [f"starting over: the earlier checkpoint ({self.holds}) is kept as {self.path}"] if self.holds else []


def fresh_start(places: Places) -> SetAside:
    """Move the old checkpoint aside (never delete it)."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    while (aside := places.folder / f"{places.name}.{stamp}.old").exists():
        stamp += "+"
    holds = _fold(places.checkpoint)
    _rename(places.checkpoint, aside)
    places.inflight.unlink(missing_ok=True)
    return SetAside(aside, holds)


def _rename(checkpoint: Path, to: Path) -> None:
    for part in _PARTS:
        with suppress(FileNotFoundError):
            Path(f"{checkpoint}{part}").rename(f"{to}{part}")


def _fold(path: Path) -> str:
    """Bring what is still in the checkpoint's log into its file, so that one rename moves it; says what it holds."""
    if not path.exists():
        return ""
    with suppress(BatchrunError), opened(path, write=True) as checkpoint:
        states = {state.replace("_", " "): count for state, count in checkpoint.counts().items() if count}
        return ", ".join(f"{count:,} {state}" for state, count in states.items()) or "no results"
    return "damaged"  # then the parts are moved one by one


def forget_if_unused(places: Places, aside: SetAside | None) -> None:
    """Remove a checkpoint that was made for a run which never began: a misspelt task leaves no trace in `status`.

    `aside`: where the one before it was moved, which comes back.
    """
    with suppress(BatchrunError):
        with opened(places.checkpoint, write=False) as checkpoint:
            used = checkpoint.get("digest") is not None
        if not used:
            places.roll.unlink(missing_ok=True)
            places.inflight.unlink(missing_ok=True)
            if places.log.exists() and not places.log.stat().st_size:
                places.log.unlink()
            for part in reversed(_PARTS):
                Path(f"{places.checkpoint}{part}").unlink(missing_ok=True)
            if aside:
                _rename(aside.path, places.checkpoint)


def write_results(
    places: Places, target: Path | None, bound: Bound, checkpoint: Checkpoint, signals: Signals
) -> Path | None:
    """Write the results file, if there is to be one, unless it shows the checkpoint as it is now.

    A further signal leaves the old file in place; raises `Interrupted` if it was the first one, and `InputError`
    if the table is not what it was: results would be joined to other rows.
    """
    if target is None:
        return None
    marker = marker_of(checkpoint)
    if outputs.is_current(places.folder, target, marker):
        return target
    before = signals.count
    try:
        export_to(
            places, bound, checkpoint, target, None, overwrite=True, stop=lambda: signals.count > before
        )  # fmt: skip
    except ExportStopped:
        written = None
    else:
        written = target
    if written is None and not before:
        raise Interrupted(
            signals.first, f"interrupted while {target} was written; every row that ran is in the checkpoint"
        )
    return written


def export_to(
    places: Places,
    bound: Bound,
    checkpoint: Checkpoint,
    target: Path | None,
    wanted: str | None,
    *,
    overwrite: bool = False,
    stop: Callable[[], bool] | None = None,
    failed_only: bool = False,
    say: Callable[[str], None] | None = None,
) -> int:
    """Write the results to `target` (None: stdout) as `wanted`, or as its name says; returns the rows written.

    `failed_only`: rows that have failed and why, in place of results. `say` is told if the checkpoint's folder cannot
    take down that the file is ours; without it that is an error. Raises `UsageError` for a file that
    batchrun did not write, unless `overwrite`, and `InputError` for the table itself, or one that has changed.
    """
    bound.check()
    if target is None:
        rows = export(bound.table, bound.types, checkpoint.db, None, wanted or "csv", failed_only=failed_only)
        bound.check()
        return rows
    refuse_input(places.input, target)
    if not overwrite:
        refuse_foreign(places.folder, target)
    marker = marker_of(checkpoint) + " failed only" * failed_only

    def before_rename(written: IO[bytes]) -> None:
        bound.check()
        try:
            outputs.remember(places.folder, target, written, marker)
        except OSError as error:  # its disk is full, say: the results are wanted all the same
            if say is None:
                raise
            why = os.strerror(error.errno) if error.errno else str(error)
            say(f"note: {places.folder} cannot be written ({why}), so --overwrite is needed to replace {target} later")

    return export(
        bound.table, bound.types, checkpoint.db, target, wanted or format_of(target), stop=stop,
        failed_only=failed_only, before_rename=before_rename,
    )  # fmt: skip


def marker_of(checkpoint: Checkpoint) -> str:
    """Changes whenever the results would."""
    shape = [checkpoint.get(fact) for fact in ("id", "digest", "reading", "types")]
    newest = checkpoint.db.execute("SELECT (SELECT max(id) FROM result), (SELECT max(id) FROM failure)").fetchone()
    return f"{shape} {newest}"


def summarise(
    places: Places,
    settings: Settings,
    checkpoint: Checkpoint,
    plan: Plan,
    tally: Tally,
    output: Path | None = None,
    stopped: BatchrunError | None = None,
) -> Summary:
    """How it went: the counts of the whole table, and the exit code."""
    ran = (plan.to_run or settings.reparse) and not settings.dry_run
    counts = checkpoint.counts() if ran else _all_states(plan.settled)
    left = plan.rows - sum(counts.values())
    bad = _bad_rows(checkpoint, settings, tally, counts, left)
    return Summary(
        task=places.name,
        input=places.input,
        rows=plan.rows,
        left=left,
        ran=tally.ran,
        seconds=time.monotonic() - tally.started,
        exit_code=stopped.exit_code if stopped else int(bad > 0 and not settings.dry_run),
        output=output,
        errors=tuple(tally.errors.most_common(3)),
        tokens=tally.tokens,
        settled=tally.rows,
        replies=checkpoint.replies() if tally.hows.keys() - {"value"} else {},
        cost=settings.prices.cost(tally.tokens) if settings.prices and tally.tokens else None,
        **counts,
    )


def _all_states(counts: dict[str, int]) -> dict[str, int]:
    return dict.fromkeys(SETTLED_NAMES, 0) | counts


def _bad_rows(checkpoint: Checkpoint, settings: Settings, tally: Tally, counts: dict[str, int], left: int) -> int:
    """Rows asked for that are neither done nor skipped."""
    if settings.limit is not None:
        return tally.rows_failed
    if settings.rows is not None:
        statuses = (checkpoint.attempts_and_status(row)[1] for row in settings.rows)
        return sum(status not in (DONE, SKIPPED) for status in statuses)
    return counts["failed"] + counts["timed_out"] + counts["crashed"] + left
