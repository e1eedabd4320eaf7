"""Who says what, and which source wins.

Command line beats environment (`BATCHRUN_JOBS`) beats file (`batchrun.toml`, or `[tool.batchrun]` of a
`pyproject.toml`, found from the working directory upwards, or named by `--config`; never from the data's folder, for
code beside data is not trusted).
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from batchrun.errors import UsageError

from .combinations import COMMAND_LINE, ENVIRONMENT, FILE, OptionValue, combined
from .config import anchored, find_config
from .settings import Settings
from .table import OPTIONS, Option
from .task_name import check_task
from .variables import variable


def here(given: Mapping[str, Any]) -> Settings:
    """The settings for this process: its environment, its working directory."""
    try:
        folder = Path.cwd()
    except OSError as error:
        raise UsageError(f"the working directory cannot be read: {error.strerror}", "go to one that exists") from error
    return resolve(given, os.environ, folder)


def resolve(given: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Settings:
    """The settings of a run. `given`: what the caller said (None = nothing said); `folder`: where to look for a
    configuration file, upwards. Raises `UsageError` naming the source of a value that cannot be read.
    """
    path, config = find_config(folder, OPTIONS.keys() - {"config"}, _named(given, environment))
    said: dict[str, OptionValue] = {}
    for name, option in OPTIONS.items():
        for each in _sayings(option, given, environment, config, path):
            if name not in said:
                said[name] = each
            if name != "args":
                break
            # Each argument by itself: the strongest source that says it.
            said[name] = said[name]._replace(value={**each.value, **said[name].value})
    values = combined(said)
    if "prompt" in values or "command" in values:
        values.setdefault("on_change", "stop")  # the text is the task: an edit is not to be paid for unasked
    settings = Settings(**{**values, "config": path if config else None})
    check_task(settings.task)
    return settings


def _named(given: Mapping[str, Any], environment: Mapping[str, str]) -> Path | None:
    """The configuration file that the user names."""
    said = given.get("config") or environment.get(variable("config"))
    return None if said is None else Path(os.path.abspath(said))


def _sayings(
    option: Option,
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    config: Mapping[str, Any],
    path: Path | None,
) -> Iterator[OptionValue]:
    """What is said about an option, by the strongest source first."""
    name = option.name
    if given.get(name) is not None:
        yield OptionValue(_read(option, given[name], option.flag), COMMAND_LINE, "the command line")
    if value := environment.get(variable(name)):
        yield OptionValue(_read(option, value, variable(name)), ENVIRONMENT, "the environment")
    if name in config:
        value = anchored(option.anchor, config[name], path)
        yield OptionValue(_read(option, value, f"{name!r} in {path}"), FILE, str(path))


def _read(option: Option, value: Any, place: str) -> Any:
    try:
        return option.read(value)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{place}: {error}", "'batchrun process --help' lists the options") from None
