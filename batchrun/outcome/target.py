"""Where the results file of a run goes, and whether it may.

The first task of a table has `data.results.csv`, any further one `data.NAME.results.csv`: no task replaces what another
has found. Whose the first name is stands in the register of results files.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

from batchrun.checkpoint.atomic import is_empty_folder
from batchrun.checkpoint.bind import Bound, read_options
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.explain import explained
from batchrun.checkpoint.lock import is_held
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.places import Places, names_in, places_of
from batchrun.checkpoint.reading import first_run, newest
from batchrun.core.ownership import whose
from batchrun.core.signals import Signals
from batchrun.errors import BatchrunError, CheckpointError, DamagedRows, InputError, Interrupted, UsageError
from batchrun.options.settings import Settings
from batchrun.outcome.export import outputs
from batchrun.outcome.export.exploded import Exploded
from batchrun.outcome.export.formats import FORMATS, format_of, known_format
from batchrun.outcome.export.picked import EVERYTHING, Pick
from batchrun.outcome.export.view import Results
from batchrun.outcome.export.writing import ExportStopped, Show, export
from batchrun.table.detect import open_table
from batchrun.table.members import files_of, would_belong

_Answer = TypeVar("_Answer")
_ENDINGS = {"csv": ".csv", "parquet": ".parquet", "xlsx": ".xlsx", "sqlite": ".sqlite"}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


def check_output(places: Places, settings: Settings) -> Path | None:
    """The results file that the run leaves, if any.

    Raises before any row runs if it could not be written or is not ours to replace.
    """
    target = _output_of(places, settings)
    if target is None:
        return None
    refuse_kind(target, settings.format or format_of(target), explode=settings.explode)
    remedy = "choose another file with --output, or --no-output"
    if not target.parent.is_dir():
        raise InputError(f"{target} cannot be written: there is no folder {target.parent}", remedy)
    if not os.access(target.parent, os.W_OK):
        raise CheckpointError(f"{target} cannot be written: {target.parent} is not writable", remedy)
    refuse_input(places.input, target)
    refuse_replacing(places.folder, target, named=settings.output is not None, overwrite=settings.overwrite)
    return target


def reserve_output(places: Places, checkpoint: Checkpoint, target: Path, *, overwrite: bool) -> None:
    """Let nobody else's results go to `target` while this run goes on, which holds its checkpoint's lock.

    Raises `UsageError` if they do already, or what is there is another task's, unless `overwrite`.
    """
    if not overwrite:
        refuse_other_results(places, checkpoint, target)
    with explained(places.folder):
        other = outputs.reserve(
            places.folder,
            target,
            places.name,
            lambda name: is_held(places.folder / f"{name}.lock"),
            overwrite=overwrite,
        )
    if other:
        raise UsageError(
            f"the task {other!r}, which is running, will write its results to {target}, and those of {places.name!r} "
            "would replace them",
            "choose another file with --output, or replace it with --overwrite",
        )


def settle_output(
    places: Places, settings: Settings, checkpoint: Checkpoint, checked: Path | None
) -> Path | None:  # fmt: skip
    """The results file, once the run is certain: of a table's first task, it has the first name from now on.

    `checked`: what `check_output` found, before another run may have become the first.
    """
    if settings.dry_run:
        return None
    with explained(places.folder):
        first = outputs.claim(places.folder, _first_task(places))
    if checked is None or settings.output:
        return checked
    if checked == places.results(checked.name.rpartition("results")[2], first=first == places.name):
        return checked
    if target := check_output(places, settings):
        reserve_output(places, checkpoint, target, overwrite=settings.overwrite)
    return target


def _output_of(places: Places, settings: Settings) -> Path | None:
    if settings.no_output or settings.dry_run:
        return None
    if settings.output:
        return Path(os.path.abspath(settings.output))
    return places.results(_ending(places.input, settings), first=_first_task(places) == places.name)


def _ending(table: Path, settings: Settings) -> str:
    """A results file is of its table's format if none is asked for, but not compressed."""
    if settings.format:
        return next(iter(FORMATS[settings.format].suffixes), "")
    kind = open_table(table, read_options(settings)).kind
    name = files_of(table)[0].name.lower()
    bare = os.path.splitext(name)[0] if name.endswith(_COMPRESSED) else name
    return ".tsv" if kind == "csv" and bare.endswith(".tsv") else _ENDINGS.get(kind, ".jsonl")


def _first_task(places: Places) -> str:
    """The name of the checkpoint that has the first results file, or will have it."""
    others = [name for name in names_in(places.folder) if name != places.name]
    return outputs.first_task(places.folder) or (_first_of_earlier_versions(places) if others else places.name)


def _first_of_earlier_versions(places: Places) -> str:
    """All tasks wrote to one file: whose results are in it, or else the task that ran first."""
    marker = outputs.marker_at(places.folder, places.results(".csv", first=True))
    began: dict[str, float] = {}
    for name, (is_its, first) in _asked(places, lambda one: (_is_of(one, marker), first_run(one.db))):
        if is_its:
            return name
        if first is not None:
            began[name] = first
    return min(began, key=lambda name: began[name]) if began else places.name


def refuse_input(table: Path, target: Path) -> None:
    """Raise `InputError` if `target` is the table, under whatever name, or lies in its folder."""
    if target.exists() and table.exists() and os.path.samefile(table, target):
        raise InputError(f"{target} is the input itself", "choose another file with --output")
    if would_belong(table, target):
        raise InputError(f"{target} would become part of the input", "choose another file with --output")


def refuse_kind(target: Path, format: str, *, explode: bool = False) -> None:  # noqa: A002 - the option's name
    """Raise `UsageError` for a folder where a file goes, anything else where a folder goes, and lines of rows there."""
    if not FORMATS[format].is_folder:
        if target.is_dir():
            raise UsageError(
                f"{target} is a folder, and results are one file",
                "name a file with --output, or give --format json-files for a file per row",
            )
        return
    if explode:
        raise UsageError("--explode writes several lines of a row, and json-files has one file per row", "write .jsonl")
    if os.path.lexists(target) and not target.is_dir():
        raise UsageError(f"{target} is not a folder, and {format} is one", "choose another name with --output")


def refuse_replacing(folder: Path, target: Path, *, named: bool, overwrite: bool) -> None:
    """Raise `UsageError` for what is at `target` and must stay: what is not as batchrun left it, or was not written by
    it (unless it is a file, and `overwrite`), a link or a pipe that the user has not `named`, and a link of somebody
    else.
    """
    _refuse_way_through(target, named=named)
    is_folder = target.is_dir()
    if (overwrite and not is_folder) or outputs.may_replace(folder, target) or is_empty_folder(target):
        return
    if outputs.has_written(folder, target):
        what = f"{target} has been changed since it was written, and would be replaced"
    else:
        what = f"{target} already exists, and batchrun did not write it for this table"
    if is_folder:  # whatever is in it is not ours to remove
        raise UsageError(what, "move it away, or choose another folder with --output")
    raise UsageError(what, "move it away, choose another file with --output, or replace it with --overwrite")


def refuse_other_results(places: Places, checkpoint: Checkpoint, target: Path) -> None:
    """Raise `UsageError` if `target` holds what another task of the table has found."""
    marker = outputs.shown_by(places.folder, target)
    if not marker or _is_of(checkpoint, marker):
        return
    asked = _asked(places, lambda other: _is_of(other, marker))
    if name := next((name for name, is_its in asked if is_its and name != places.name), None):
        raise UsageError(
            f"{target} holds the results of the task {name!r}, and those of {places.name!r} would replace them",
            "choose another file with --output, or replace it with --overwrite",
        )


def _asked(places: Places, question: Callable[[Checkpoint], _Answer]) -> Iterator[tuple[str, _Answer]]:
    """The name and the answer of each checkpoint of the table that can be read."""
    for name in names_in(places.folder):
        path = places_of(places.input, places.folder.parent, name).checkpoint
        with suppress(BatchrunError), opened(path, write=False) as checkpoint:
            yield name, question(checkpoint)


def _is_of(checkpoint: Checkpoint, marker: str) -> bool:
    """Whether a file with this marker shows a state of the checkpoint."""
    known = checkpoint.get("id")
    return bool(known) and f"'{known}'" in marker


def _refuse_way_through(target: Path, *, named: bool) -> None:
    try:
        found = os.lstat(target)
    except OSError:  # nothing is there
        return
    is_link = stat.S_ISLNK(found.st_mode)
    if is_link and (why := whose(found)):
        raise UsageError(f"{target} is a link, and {why}", "choose another file with --output")
    if not named and not stat.S_ISREG(found.st_mode):
        what = "a link" if is_link else "not a regular file"
        raise UsageError(
            f"{target} is {what}: results are written through it only if you name it",
            f"to do so, give --output {target}",
        )


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

    `named`: whether the user has named the target. `show`, `pick`: which rows, how, and
    what of them.
    `say` is told of columns that no result has, and if the checkpoint's folder cannot take down that the file is ours;
    without it that is an error. Raises
    `UsageError` for what is not to be replaced, and `InputError` for the table itself, or one that has changed.
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
    refuse_replacing(places.folder, target, named=named, overwrite=overwrite)
    if not overwrite:
        refuse_other_results(places, checkpoint, target)
    marker = marker_of(checkpoint, show, wanted, pick)

    def before_rename(written: IO[bytes] | Path) -> None:
        bound.check()
        refuse_replacing(places.folder, target, named=named, overwrite=overwrite)  # what has appeared meanwhile
        if not overwrite:
            refuse_other_results(places, checkpoint, target)
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
