"""batchrun in scripts, notebooks and orchestrators: `process` and `results`."""

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from . import settings as settings_module
from .checkpoint import opened
from .display.reporter import make
from .errors import CheckpointError, InputError, UsageError
from .main import process as run_process
from .places import find, prepare, safe
from .settings import OPTIONS, Settings
from .source import open_bound
from .suggest import meant
from .summary import Summary

if TYPE_CHECKING:
    import pandas as pd

Task = str | Callable[[dict[str, Any]], Any]


def process(table: "str | os.PathLike[str] | pd.DataFrame", task: Task | None = None, **options: Any) -> Summary:
    """Apply `task` to each row of `table` that is left, and write the results; as `batchrun process` does.

    `table`: a path, or a DataFrame (kept as Parquet in the checkpoint's folder, under the working directory
    or `dir`; its rows are known again by their content, its index is not kept). `task`: as on the command
    line, or a function of a row. `options`: those of the command line with underscores, such as `jobs=50`,
    `timeout="30s"`, `key="id"`. Environment and configuration file count as they do there.

    Returns the summary (exit code 0 or 1). Raises what the command says with a higher exit code:
    `batchrun.errors.BatchrunError`.
    """
    settings = _settings(task, options)
    path, settings = _as_file(table, settings)
    reporter = make(settings.progress, settings.quiet, settings.json, sys.stderr)
    try:
        return run_process(path, settings, reporter)
    finally:
        reporter.close()


def results(table: "str | os.PathLike[str] | pd.DataFrame", task: Task | None = None, **options: Any) -> "pd.DataFrame":
    """The results so far, joined to the table in its order.

    Shape: one row for each row of the table; its columns, then the results' top-level keys, then
    `batchrun_status` and `batchrun_error`. `task`, `name` and `dir` say which checkpoint, if there are several.
    Works while a run goes on. Raises `CheckpointError` or `UsageError` if there is none, or several.
    """
    from .export.frame import frame

    settings = _settings(task, options)
    path = _frame_path(settings) if _is_frame(table) else _path(table)
    named = task is not None or settings.name is not None
    directory = path.parent.parent if _is_frame(table) else settings.dir
    places = find(path, directory, settings.checkpoint_name if named else None)
    with opened(places.checkpoint, write=False) as checkpoint:
        bound = open_bound(checkpoint, path, settings)
        return frame(bound.table, bound.types, checkpoint.db)


def _settings(task: Task | None, options: dict[str, Any]) -> Settings:
    for name in options:
        if name not in OPTIONS:
            raise UsageError(f"process() has no option {name!r}", f"{meant(name, OPTIONS)}It has: {', '.join(OPTIONS)}")
    given = dict(options)
    if task is None or isinstance(task, str):
        return settings_module.here({**given, "task": task})
    if not callable(task):
        raise UsageError(f"a task is a function or its name, not {type(task).__name__}", "give 'file.py:function'")
    settings = settings_module.here({**given, "task": "repair"})  # stands for the function among its rivals
    version = settings.task_version or _digest(task)
    name = settings.name or getattr(task, "__name__", "task").strip("<>")
    return replace(settings, task=_by_value(task), name=name, task_version=version)


def _by_value(function: Callable[[dict[str, Any]], Any]) -> bytes:
    import cloudpickle

    return bytes(cloudpickle.dumps(function))


def _digest(function: Callable[[dict[str, Any]], Any]) -> str:
    """A function's version: its source text (pickles of one function differ between processes)."""
    try:
        text = inspect.getsource(function).encode()
    except (OSError, TypeError):
        text = getattr(getattr(function, "__code__", None), "co_code", repr(function).encode())
    return xxhash.xxh3_128_hexdigest(text)


def _is_frame(table: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(table, pandas.DataFrame)


def _frame_path(settings: Settings) -> Path:
    name = f"{safe(settings.checkpoint_name)}.parquet"
    return (settings.dir or Path.cwd()) / f"{name}.batchrun" / name


def _path(table: Any) -> Path:
    if not isinstance(table, (str, os.PathLike)):
        raise InputError(f"a table is a path or a DataFrame, not {type(table).__name__}", "give one of these")
    return Path(os.fspath(table))


def _as_file(table: Any, settings: Settings) -> tuple[Path, Settings]:
    """The path of the table; a DataFrame is written down first, for a run must be able to read it twice."""
    if not _is_frame(table):
        return _path(table), settings
    path = _frame_path(settings)
    prepare(path.parent)
    try:
        part = path.with_suffix(".part")
        table.to_parquet(part, index=False)
        part.replace(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"the DataFrame cannot be kept in {path}: {error}", "see the message above") from error
    no_output = settings.output is None
    return path, replace(settings, dir=path.parent.parent, no_output=no_output)
