"""The configuration file: where it is found, whether it counts, what it may say, and from where its paths are meant.

It can name a program to run and a server that rows and keys are sent to. So one that is found counts only if nobody
but the user and root could have written it; one that the user names counts in any case.
"""

import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from batchrun.core.ownership import stranger_to
from batchrun.core.suggest import suggest
from batchrun.errors import UsageError

_MOST_BYTES = 1 << 20
_OWN, _PROJECT = "batchrun.toml", "pyproject.toml"


def find_config(folder: Path, known: Collection[str], named: Path | None = None) -> tuple[Path | None, dict[str, Any]]:
    """The nearest configuration file from `folder` upwards, or the one that is `named`; and what it says (underscored
    names).

    Raises `UsageError` for a file that cannot be read, has an option that is not among the `known`, or was found
    where others than the user and root can write.
    """
    if named is not None:
        table = _ours(named) or {} if named.name == _PROJECT else _toml(named)
        return named, _checked(named, table, known)
    for place in (folder, *folder.parents):
        own, project = place / _OWN, place / _PROJECT
        if own.is_file():
            _refuse_strangers(own, folder)
            return own, _checked(own, _toml(own), known)
        if project.is_file() and (found := _found(project)) is not None:
            _refuse_strangers(project, folder)
            return project, _checked(project, found, known)
    return None, {}


def _refuse_strangers(path: Path, folder: Path) -> None:
    if why := stranger_to(path):
        raise UsageError(
            f"the options in {path} are not trusted, because others could have written them: {why}",
            f"if they are yours, take write permission from others (chmod go-w), or name the file yourself: --config "
            f"{path}, for all commands BATCHRUN_CONFIG={path}. If not, an empty {folder / _OWN} keeps them out",
        )


def _found(project: Path) -> dict[str, Any] | None:
    """As `_ours`; a stranger's file that cannot be read says nothing."""
    try:
        return _ours(project)
    except UsageError:
        if stranger_to(project):
            return None
        raise


def anchored(anchor: Callable[[Path, str], str] | None, value: Any, path: Path | None) -> Any:
    """An option's value in the configuration file at `path`: a path in it is meant from that file's folder."""
    if anchor is None or path is None or not isinstance(value, str):
        return value
    return anchor(path.parent, value)


def _toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES:,} bytes")
        return tomllib.loads(text.decode())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "fix or remove it") from None


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
