"""batchrun in scripts, notebooks and orchestrators: `process`, `iterate`, `results` and `export`."""

import inspect
import marshal
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import xxhash

from batchrun.checkpoint.bind import Bound, open_bound
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.fetching import address_of, check_place, fetch, fetched_path
from batchrun.checkpoint.kept import Bring, keep_rows, kept_path, meant_table
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.owner import FUNCTION, TYPED, Owner
from batchrun.checkpoint.places import Places, find, places_of
from batchrun.core.suggest import suggest
from batchrun.display.reporter import make
from batchrun.options.settings import Settings
from batchrun.options.sources import here
from batchrun.options.table import OPTIONS
from batchrun.outcome.handing_over import Failures, Watched, handed_over
from batchrun.outcome.results_file import export_to, pick_of
from batchrun.run.checks import check_named
from batchrun.run.summary import Summary
from batchrun.table.frames import SpeaksArrow, is_frame, keep_frame, no_table, repeatable
from batchrun.task.by_value import by_value

from .errors import InputError, UsageError
from .main import process as run_process

if TYPE_CHECKING:
    import pandas as pd

Task = str | Callable[[dict[str, Any]], Any]
TableObject: TypeAlias = "pd.DataFrame | SpeaksArrow | Iterable[Mapping[str, Any]]"


def process(
    table: "str | os.PathLike[str] | TableObject",
    /,
    task: Task | None = None,
    *,
    on_failed: Callable[[dict[str, Any]], None] | None = None,
    **options: Any,
) -> Summary:
    """Apply `task` to each remaining row of `table`, and write the results; as `batchrun process` does.

    `table`: a path; or a DataFrame of pandas or polars, a relation of DuckDB, or whatever else has
    `__arrow_c_stream__`, kept as Parquet; or a list (or an iterator) of dicts, kept as JSON Lines, so that dates become
    text. They are kept in the checkpoint's folder, under the working directory or `dir`; rows are known again by their
    content, the index of pandas is not kept. `task`: as on the command
    line, or a function of a row. `options`: those of the command line with underscores, such as `jobs=50`,
    `timeout="30s"`, `key="id"`. Environment and configuration file count as they do there.

    `on_failed`: called for each row that fails in this run, once that is on disk, with a dict: `row` (its number),
    `status`, `result` (None), `how` (None) and `error`. What it raises ends the run.

    Returns the summary (exit code 0 or 1). Raises what the command says with a higher exit code:
    `batchrun.errors.BatchrunError`.
    """
    settings = _settings(task, options)
    if on_failed is None:
        return _process(table, task, settings, Watched())
    with Failures(_places(table, settings), on_failed) as failures:
        return _process(table, task, settings, Watched(failures.saw))


def iterate(
    table: "str | os.PathLike[str] | TableObject", /, task: Task | None = None, **options: Any
) -> Iterator[dict[str, Any]]:
    """The same job, whose rows are handed over as they are settled, once they are on disk; those that are done already
    come first.

    Each is a dict: `row` (its number), `status`, `result`, `how` and `error`, as in results in JSON Lines. Whoever
    leaves the loop ends the run as Ctrl-C does: rows in flight finish, and the same loop resumes. A row may come twice
    if it is run again. Raises what `process` raises, after the last row.
    """
    settings = _settings(task, options)
    return handed_over(_places(table, settings), partial(_process, table, task, settings))


def _process(
    table: "str | os.PathLike[str] | TableObject", task: Task | None, settings: Settings, watched: Watched
) -> Summary:
    origin = None if task is None or isinstance(task, str) else _origin(task)
    if _is_object(table):
        return _run_object(table, settings, origin, watched)
    path = _path(table, settings)
    if address := address_of(str(table)):
        check_place(address, path)
        return _run_kept(path, settings, origin, partial(fetch, address), watched)
    return _run(path, settings, origin, watched)


def _places(table: "str | os.PathLike[str] | TableObject", settings: Settings) -> Places:
    """Where the checkpoint of a run will be."""
    path = _kept_path(table, settings) if _is_object(table) else _path(table, settings)
    return places_of(path, settings.dir, settings.checkpoint_name)


def results(
    table: "str | os.PathLike[str] | TableObject", /, task: Task | None = None, **options: Any
) -> "pd.DataFrame":
    """The results so far, joined to the table in its order.

    Shape: one row for each row of the table; its columns, then the results' top-level keys, then
    `batchrun_status`, `batchrun_how` and `batchrun_error`. `task`, `name` and `dir` say which checkpoint, if there
    are several; with `explode=True`, a result that is an array is a row for each element; `results_only` and
    `result_columns` are as for `export`. Works during
    a run. Raises `CheckpointError` or `UsageError` if there is none, or several.
    """
    settings = _settings(task, options)
    with _looked_up(table, task, settings) as (_, bound, checkpoint):
        return _frame(bound, checkpoint, settings)


def export(
    table: "str | os.PathLike[str] | TableObject",
    output: "str | os.PathLike[str]",
    /,
    task: Task | None = None,
    **options: Any,
) -> int:
    """Write the results so far to a file (or a folder), as `batchrun export` does; returns the number of rows.

    `options`: `format`, `results_only`, `result_columns`, `explode` and `overwrite`, and as for `results` those that
    say which checkpoint. Raises what the command says.
    """
    settings = _settings(task, options)
    with _looked_up(table, task, settings) as (places, bound, checkpoint):
        return export_to(
            places, bound, checkpoint, Path(os.path.abspath(output)), settings.format,
            overwrite=settings.overwrite, show="exploded" if settings.explode else "all", pick=pick_of(settings),
        )  # fmt: skip


def _settings(task: Task | None, options: dict[str, Any]) -> Settings:
    for name in options:
        if name not in OPTIONS or name == "input":  # the table is said as such
            raise UsageError(f"process() has no option {name!r}", suggest(name, OPTIONS, "The options are"))
    given = dict(options)
    if task is None or isinstance(task, str):
        return here({**given, "task": task})
    if not callable(task):
        raise UsageError(f"a task is a function or its name, not {type(task).__name__}", "give 'file.py:function'")
    settings = here({**given, "task": "repair"})  # stands for the function among its rivals
    version = settings.task_version or _digest(task)
    name = settings.name or getattr(task, "__name__", "task").strip("<>")
    return replace(settings, task=by_value(task), name=name, task_version=version)


def _digest(function: Callable[[dict[str, Any]], Any]) -> str:
    """A function's version: its source text (pickles of one function differ between processes)."""
    try:
        text = inspect.getsource(function).encode()
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        text = repr(function).encode() if code is None else marshal.dumps(code.replace(co_filename=""), 2)
    return xxhash.xxh3_128_hexdigest(text)


def _origin(function: Callable[[dict[str, Any]], Any]) -> Owner:
    """Where a function comes from."""
    while isinstance(function, partial):
        function = function.func
    function = inspect.unwrap(function)
    named: Any = function if hasattr(function, "__qualname__") else type(function)
    with suppress(TypeError):  # of a built-in one
        path = inspect.getsourcefile(named)
        if path and os.path.isfile(path):
            return Owner(FUNCTION, named.__qualname__, os.path.realpath(path), digest=_digest(function))
    return Owner(FUNCTION, named.__qualname__, TYPED)


def _kept_path(table: TableObject, settings: Settings) -> Path:
    ending = "parquet" if is_frame(table) else "jsonl"
    return kept_path(f"{settings.checkpoint_name}.{ending}", settings.dir)


def _keep(table: TableObject, path: Path) -> None:
    if is_frame(table):
        keep_frame(table, path)
    else:
        keep_rows(table, path)  # type: ignore[arg-type]


def _is_object(table: Any) -> TypeGuard[TableObject]:
    """Whether the table is an object, of which a copy is kept: rows as dicts, or a frame."""
    return is_frame(table) or isinstance(table, (list, tuple, Iterator))


def _path(table: Any, settings: Settings) -> Path:
    if not isinstance(table, (str, os.PathLike)):
        raise no_table(table)
    if address := address_of(os.fspath(table)):
        return fetched_path(address, settings.dir)
    return meant_table(Path(os.fspath(table)), settings.dir)


def _run(path: Path, settings: Settings, origin: Owner | None, watched: Watched, bring: Bring | None = None) -> Summary:
    reporter = make(settings.progress, settings.quiet, settings.json, sys.stderr)
    try:
        summary = run_process(
            path, settings, reporter, bring=bring, origin=origin, hand_over=watched.hand_over, signals=watched.signals
        )
        places = places_of(path, settings.dir, settings.checkpoint_name)
        return replace(summary, load=partial(_joined, places, path, settings))
    finally:
        reporter.close()


def _run_object(table: TableObject, settings: Settings, origin: Owner | None, watched: Watched) -> Summary:
    """A table that is an object is written down, for a run must be able to read it twice; a dry run keeps none."""
    path = _kept_path(table, settings)
    settings = replace(settings, no_output=settings.output is None)
    if settings.names_no_task and is_frame(table):  # before there is a folder that keeps it
        table = repeatable(table)
        with TemporaryDirectory(prefix="batchrun-") as folder:
            keep_frame(table, Path(folder) / path.name)
            check_named(Path(folder) / path.name, settings, lambda: 0, "the DataFrame")
    return _run_kept(path, settings, origin, lambda path, _: _keep(table, path), watched)


def _run_kept(
    path: Path,
    settings: Settings,
    origin: Owner | None,
    keep: Callable[[Path, Callable[[], int]], None],
    watched: Watched,
) -> Summary:
    """A table that is to be kept at `path` first, but for a dry run."""
    settings = replace(settings, dir=path.parent.parent)
    if not settings.dry_run:
        return _run(path, settings, origin, watched, partial(keep, path))
    with TemporaryDirectory(prefix="batchrun-") as folder:
        copy = Path(folder) / path.name
        return _run(copy, settings, origin, watched, partial(keep, copy))


def _joined(places: Places, path: Path, settings: Settings) -> "pd.DataFrame":
    with opened(places.checkpoint, write=False) as checkpoint:
        return _frame(open_bound(checkpoint, path), checkpoint, settings)


def _frame(bound: Bound, checkpoint: Checkpoint, settings: Settings) -> "pd.DataFrame":
    from batchrun.outcome.export.frame import frame

    key = bound.options.key or ()
    return frame(bound.table, bound.types, checkpoint.db, explode=settings.explode, pick=pick_of(settings), key=key)


@contextmanager
def _looked_up(
    table: "str | os.PathLike[str] | TableObject", task: Task | None, settings: Settings
) -> Iterator[tuple[Places, Bound, Checkpoint]]:
    """What is known of a table: the checkpoint's places, the table bound to it, and the checkpoint itself."""
    if _is_object(table):
        with _looked_up_object(table, settings) as known:
            yield known
        return
    path = _path(table, settings)
    named = task is not None or settings.name is not None
    places = find(path, settings.dir, settings.checkpoint_name if named else None)
    with opened(places.checkpoint, write=False) as checkpoint:
        yield places, open_bound(checkpoint, path), checkpoint


@contextmanager
def _looked_up_object(table: TableObject, settings: Settings) -> Iterator[tuple[Places, Bound, Checkpoint]]:
    path = _kept_path(table, settings)
    directory, name = path.parent.parent, settings.checkpoint_name
    places = places_of(path, directory, name)
    hint = "batchrun.process(df, ...) gives a DataFrame its results; give both the same task, name and dir"
    none = UsageError(f"no DataFrame has been processed as {name!r} in {directory}", hint)
    if not places.checkpoint.exists():
        raise none
    with TemporaryDirectory(prefix="batchrun-") as folder:
        copy = Path(folder) / path.name
        _keep(table, copy)  # the one that is kept may be another
        with opened(places.checkpoint, write=False) as checkpoint:
            try:
                bound = open_bound(checkpoint, copy)
            except UsageError:
                raise none from None
            except InputError:
                message = f"a different DataFrame was processed as {name!r} in {directory}"
                raise InputError(message, hint) from None
            yield places, bound, checkpoint
