"""The options of a run: their names, how each is read from text, and which source wins.

Command line beats environment (`BATCHRUN_JOBS`) beats file (`batchrun.toml`, or `[tool.batchrun]` of a
`pyproject.toml`, found from the working directory upwards; never from the data's folder, for code beside data
is not trusted).
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from . import parsing
from .errors import UsageError
from .stopping import MaxFailures, Timeout


def _option(default: Any, read: Callable[[Any], Any]) -> Any:
    if default is parsing.NOTHING:
        return field(default_factory=lambda: default, metadata={"read": read})
    return field(default=default, metadata={"read": read})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `process` can be told, parsed. Field names are the options' names."""

    task: str | bytes = _option("repair", str)
    jobs: int = _option(0, parsing.jobs)
    key: tuple[str, ...] | None = _option(None, parsing.names)
    columns: tuple[str, ...] | None = _option(None, parsing.names)
    timeout: Timeout | None = _option(None, parsing.timeout)
    retries: int = _option(2, parsing.whole)
    retry: str = _option("failed", parsing.one_of("failed", "crashed", "all", "none"))
    max_failures: MaxFailures | None = _option(None, parsing.max_failures)
    limit: int | None = _option(None, parsing.whole)
    rows: frozenset[int] | None = _option(None, parsing.rows)
    on_change: str = _option("keep", parsing.one_of("keep", "redo", "stop"))
    fresh: bool = _option(False, parsing.yes_no)
    if_running: str = _option("fail", parsing.one_of("fail", "skip", "wait"))
    output: Path | None = _option(None, Path)
    no_output: bool = _option(False, parsing.yes_no)
    overwrite: bool = _option(False, parsing.yes_no)
    dir: Path | None = _option(None, Path)
    name: str | None = _option(None, str)
    task_version: str | None = _option(None, str)
    strict_json: bool = _option(False, parsing.yes_no)
    accept_truncated: bool = _option(False, parsing.yes_no)
    reparse: bool = _option(False, parsing.yes_no)
    dtype: Mapping[str, str] = _option(parsing.NOTHING, parsing.pairs)
    encoding: str | None = _option(None, str)
    sep: str | None = _option(None, str)
    bad_rows: str = _option("stop", parsing.one_of("stop", "skip"))
    dry_run: bool = _option(False, parsing.yes_no)
    progress: str = _option("auto", parsing.one_of("auto", "live", "plain", "none"))
    quiet: bool = _option(False, parsing.yes_no)
    json: bool = _option(False, parsing.yes_no)

    @property
    def workers(self) -> int:
        """Rows in flight at once."""
        return self.jobs or parsing.cpus()

    @property
    def checkpoint_name(self) -> str:
        """The name of the task's checkpoint."""
        return self.name or (function_name(self.task) if isinstance(self.task, str) else "task")


OPTIONS = {option.name: option.metadata["read"] for option in fields(Settings)}


def function_name(spec: str) -> str:
    """`match` for `tasks.py:match`."""
    return spec.rpartition(":")[2]


def resolve(given: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Settings:
    """The settings of a run. `given`: what the caller said (None = nothing said); `folder`: where to look for a
    configuration file, upwards. Raises `UsageError` naming the source of a value that cannot be read.
    """
    path, config = find_config(folder)
    values: dict[str, Any] = {}
    for name, read in OPTIONS.items():
        variable = f"BATCHRUN_{name.upper()}"
        if given.get(name) is not None:
            values[name] = _read(read, given[name], f"--{name.replace('_', '-')}")
        elif environment.get(variable):
            values[name] = _read(read, environment[variable], variable)
        elif name in config:
            values[name] = _from_file(name, _read(read, config[name], f"{name!r} in {path}"), path)
    settings = Settings(**values)
    if settings.no_output and given.get("output") is not None:
        raise UsageError("--output and --no-output contradict each other", "leave one of them out")
    check_task(settings.task)
    return settings


def check_task(task: str | bytes) -> None:
    """Raise `UsageError` for a task's name that cannot be one."""
    if isinstance(task, bytes) or task == "repair":
        return
    if ":" not in task or task.startswith(":") or task.endswith(":"):
        raise UsageError(
            f"{task!r} names no task",
            "give --task file.py:function, package.module:function, or the built-in: repair",
        )


def _read(read: Callable[[Any], Any], value: Any, source: str) -> Any:
    try:
        return read(value)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{source}: {error}", "'batchrun process --help' lists the options") from None


def _from_file(name: str, value: Any, path: Path | None) -> Any:
    """A path in a configuration file is meant from that file's folder."""
    if path is None:
        return value
    if name == "task" and ".py:" in value:
        file, _, function = value.rpartition(":")
        return f"{path.parent / file}:{function}"
    return path.parent / value if isinstance(value, Path) else value


def find_config(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    """The nearest configuration file from `folder` upwards, and what it says (underscored names)."""
    for place in (folder, *folder.parents):
        own, project = place / "batchrun.toml", place / "pyproject.toml"
        if own.is_file():
            return own, _checked(own, _toml(own))
        if project.is_file() and (table := _toml(project).get("tool", {}).get("batchrun")) is not None:
            return project, _checked(project, table)
    return None, {}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "mend or remove it") from None


def _checked(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    config = {name.replace("-", "_"): value for name, value in table.items()}
    for name in config:
        if name not in OPTIONS:
            close = difflib.get_close_matches(name, OPTIONS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it can have: {', '.join(OPTIONS)}"
            raise UsageError(f"{path} has no option {name!r}", hint)
    return config


def here(given: Mapping[str, Any]) -> Settings:
    """The settings for this process: its environment, its working directory."""
    return resolve(given, os.environ, Path.cwd())
