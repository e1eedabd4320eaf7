"""Writing the results: the file that a run leaves, and what `export` is asked for."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from batchrun.checkpoint.bind import Bound
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.places import Places
from batchrun.checkpoint.reading import newest
from batchrun.core.signals import Signals
from batchrun.errors import DamagedRows, Interrupted
from batchrun.options.settings import Settings
from batchrun.outcome.export import outputs
from batchrun.outcome.export.exploded import Exploded
from batchrun.outcome.export.formats import format_of, known_format
from batchrun.outcome.export.picked import EVERYTHING, Pick
from batchrun.outcome.export.view import Results
from batchrun.outcome.export.writing import ExportStopped, Show, export

from .replacing import refuse_input, refuse_kind, refuse_other_results, refuse_replacing


def write_results(
    places: Places, target: Path | None, bound: Bound, checkpoint: Checkpoint, signals: Signals, settings: Settings,
    say: Callable[[str], None],
) -> Path | None:  # fmt: skip
    """Write the results file, if there is to be one, unless it shows the checkpoint as it is now.

    A further signal leaves the old file in place; raises `Interrupted` if it was the first one, `InputError`
    if the table is not what it was: results would be joined to other rows, and `UsageError` if something has appeared
    at the target that is not to be replaced. `say` is told of columns that no result has.
    """
    if target is None:
        return None
    show: Show = "exploded" if settings.explode else "all"
    pick = pick_of(settings)
    marker = marker_of(checkpoint, show, settings.format, pick)
    if outputs.is_current(places.folder, target, marker):
        return target
    before = signals.count
    try:
        export_to(
            places, bound, checkpoint, target, settings.format,
            named=settings.output is not None, overwrite=settings.overwrite, stop=lambda: signals.count > before,
            show=show, pick=pick,
        )  # fmt: skip
        _say_absent(bound, checkpoint, show, pick, say)
    except ExportStopped:
        written = None
    except DamagedRows as error:
        said = f"{error}, so {target} was not written; what has run is in the checkpoint"
        raise DamagedRows(said, error.hint) from error
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
    named: bool = True,
    overwrite: bool = False,
    stop: Callable[[], bool] | None = None,
    show: Show = "all",
    pick: Pick = EVERYTHING,
    say: Callable[[str], None] | None = None,
) -> int:
    """Write the results to `target` (None: stdout) as `wanted`, or as its name says; returns the rows written.

    `named`: whether the user has named the target. `show`, `pick`: which rows, how, and what of them. `say` is told of
    columns that no result has, and if the checkpoint's folder cannot take down that the file is ours; without it that
    is an error. Raises `UsageError` for what is not to be replaced, and `InputError` for the table itself, or one that
    has changed.
    """
    bound.check()
    key = bound.options.key or ()
    if target is None:
        rows = export(bound.table, bound.types, checkpoint.db, None, wanted or "csv", show=show, pick=pick, key=key)
        bound.check()
        if say:
            _say_absent(bound, checkpoint, show, pick, say)
        return rows
    refuse_input(places.input, target)
    chosen = known_format(wanted) if wanted else format_of(target)
    refuse_kind(target, chosen, explode=show == "exploded")

    def refuse() -> None:
        refuse_replacing(places.folder, target, named=named, overwrite=overwrite)
        if not overwrite:
            refuse_other_results(places, checkpoint, target)

    refuse()
    marker = marker_of(checkpoint, show, wanted, pick)

    def before_rename(written: IO[bytes] | Path) -> None:
        bound.check()
        refuse()  # what has appeared meanwhile
        try:
            outputs.remember(places.folder, target, written, marker)
        except OSError as error:  # its disk is full, say: the results are wanted all the same
            if say is None:
                raise
            why = os.strerror(error.errno) if error.errno else str(error)
            say(f"note: {places.folder} cannot be written ({why}), so --overwrite is needed to replace {target} later")

    rows = export(
        bound.table, bound.types, checkpoint.db, target, chosen, stop=stop,
        show=show, pick=pick, before_rename=before_rename, key=key,
    )  # fmt: skip
    if say:
        _say_absent(bound, checkpoint, show, pick, say)
    return rows


def _say_absent(bound: Bound, checkpoint: Checkpoint, show: Show, pick: Pick, say: Callable[[str], None]) -> None:
    view = Exploded if show == "exploded" else Results
    for note in view(bound.table, bound.types, checkpoint.db, only=pick.columns).doubts():
        say(note)


def pick_of(settings: Settings) -> Pick:
    """What of the results is wanted."""
    return Pick(settings.results_only, settings.result_columns)


def marker_of(checkpoint: Checkpoint, show: Show, wanted: str | None, pick: Pick) -> str:
    """Changes whenever the results would. `wanted`: a format that the target's name does not tell."""
    shape = [checkpoint.get(fact) for fact in ("id", "digest", "reading", "types")]
    told = "".join(f" {each}" for each in (show, wanted, pick.told()) if each not in ("all", None, ""))
    return f"{shape} {newest(checkpoint.db)}{told}"
