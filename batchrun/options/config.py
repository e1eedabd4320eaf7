"""The configuration file: where it is found, what it may say, and from where its paths are meant."""

import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from batchrun.core.suggest import suggest
from batchrun.errors import UsageError


def find_config(folder: Path, known: Collection[str]) -> tuple[Path | None, dict[str, Any]]:
    """The nearest configuration file from `folder` upwards, and what it says (underscored names).

    Raises `UsageError` for a file that cannot be read, or has an option that is not among the `known`.
    """
    for place in (folder, *folder.parents):
        own, project = place / "batchrun.toml", place / "pyproject.toml"
        if own.is_file():
            return own, _checked(own, _toml(own), known)
        if project.is_file() and (table := _ours(project)) is not None:
            return project, _checked(project, table, known)
    return None, {}


def anchored(anchor: Callable[[Path, str], str] | None, value: Any, path: Path | None) -> Any:
    """An option's value in the configuration file at `path`: a path in it is meant from that file's folder."""
    if anchor is None or path is None or not isinstance(value, str):
        return value
    return anchor(path.parent, value)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "mend or remove it") from None


def _ours(project: Path) -> dict[str, Any] | None:
    """The table `[tool.batchrun]` of a pyproject.toml, if there is one."""
    tools = _toml(project).get("tool")
    table = tools.get("batchrun") if isinstance(tools, dict) else None
    if table is None or isinstance(table, dict):
        return table
    raise UsageError(f"{project}: tool.batchrun is {table!r}, not a table of options", "write [tool.batchrun]")


def _checked(path: Path, table: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    config = {name.replace("-", "_"): value for name, value in table.items()}
    for name in config:
        if name not in known:
            raise UsageError(f"{path} has no option {name!r}", suggest(name, known, "The options are"))
    return config
