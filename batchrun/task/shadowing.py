"""Files of the user's that have the name of a module of Python's own, or of a library.

Python's own comes before them, and they before a library: the wrong one may be meant either way.
"""

import os
import re
import sys
from contextlib import suppress
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

OUR_FOLDERS: list[str] = []
"""Folders that were made importable for the task."""
_SUSPECT = (ImportError, AttributeError, TypeError)
_QUOTED = re.compile(r"'(\w+)(?:\.[\w.]+)?'")


def shadowed(error: BaseException) -> str | None:
    """What to say if it is such a file that has led to this error, else None."""
    seen: set[int] = set()
    while error and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, _SUSPECT) and (said := _blamed(error)):
            return said
        following = error.__cause__ or error.__context__
        if following is None:
            return None
        error = following
    return None


def _blamed(error: BaseException) -> str | None:
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - an exception's __str__ may be code that fails
        return None
    for name in _QUOTED.findall(message):
        if (file := _file_of(name)) and (name in sys.stdlib_module_names or _elsewhere(name)):
            return _words(name, file)
    return None


def _words(name: str, file: str) -> str:
    if name in sys.stdlib_module_names:
        return not_imported(name, file)
    return f"{file} shadows the installed module {name!r}: rename it"


def not_imported(name: str, file: str) -> str:
    """What to say of a file of the user's that bears the name of a module of Python's own."""
    return f"{file} is never imported, because Python's own module {name!r} comes first: rename the file if you need it"


def passed_over() -> list[tuple[str, str]]:
    """Modules of Python's own that have been imported, and files beside the task or the data that bear their names."""
    found = []
    for folder in OUR_FOLDERS:
        with suppress(OSError):
            names = {name.removesuffix(".py") for name in os.listdir(folder)} & sys.stdlib_module_names
            for name in sorted(names & sys.modules.keys()):
                file, own = _file_of(name), getattr(sys.modules[name], "__file__", None)
                if file and own and own != file and (name, file) not in found:
                    found.append((name, file))
    return found


def _file_of(name: str) -> str | None:
    """The file of the user's that is imported under this name, if there is one."""
    for folder in OUR_FOLDERS:
        found = _names_in(folder).get(name)
        if found:
            return found
    return None


@cache
def _names_in(folder: str) -> dict[str, str]:
    files = [path for path in Path(folder).glob("*.py") if path.is_file()]
    packages = [path for path in Path(folder).glob("*/__init__.py") if path.is_file()]
    return {path.parent.name: str(path) for path in packages} | {path.stem: str(path) for path in files}


def _elsewhere(name: str) -> bool:
    """Whether there is another module of this name."""
    return PathFinder.find_spec(name, [folder for folder in sys.path if folder not in OUR_FOLDERS]) is not None
