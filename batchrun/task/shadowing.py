"""Files of the user's that have the name of a module of Python's own, or of a library, and are taken for it."""

import re
import sys
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import TracebackType

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
    if _others_took_part(error.__traceback__):
        for name in sorted(sys.stdlib_module_names & sys.modules.keys()):
            file = _file_of(name)
            if file and getattr(sys.modules[name], "__file__", None) == file:
                return _words(name, file)
    return None


def _words(name: str, file: str) -> str:
    whose = "Python's own module" if name in sys.stdlib_module_names else "the installed module"
    return f"{file} stands in the way of {whose} {name!r}: rename it"


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


def _others_took_part(trace: TracebackType | None) -> bool:
    """Whether it came to the error in code that is not the user's."""
    last = None
    while trace:
        last, trace = trace.tb_frame.f_code.co_filename, trace.tb_next
    return last is not None and not any(last.startswith(folder) for folder in OUR_FOLDERS)
