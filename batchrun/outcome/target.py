"""Where the results file of a run goes, and whether it may.

The first task of a table has `data.results.csv`, any further one `data.NAME.results.csv`: no task replaces what another
has found. Whose the first name is stands in the register of results files.
"""

import os
from pathlib import Path

from batchrun.checkpoint.bind import read_options
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.explain import explained
from batchrun.checkpoint.lock import is_held
from batchrun.checkpoint.places import Places, names_in
from batchrun.checkpoint.reading import first_run
from batchrun.errors import CheckpointError, InputError, UsageError
from batchrun.options.settings import Settings
from batchrun.outcome.export import outputs
from batchrun.outcome.export.formats import FORMATS, format_of
from batchrun.table.detect import open_table
from batchrun.table.members import files_of

from .replacing import asked, is_of, refuse_input, refuse_kind, refuse_other_results, refuse_replacing

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
    for name, (is_its, first) in asked(places, lambda one: (is_of(one, marker), first_run(one.db))):
        if is_its:
            return name
        if first is not None:
            began[name] = first
    return min(began, key=lambda name: began[name]) if began else places.name
