"""Versions of what matters when something is to be found out: this program, what it stands on, what it can use."""

import platform
import sqlite3
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from batchrun.core.version import VERSION

_NEEDED = ("json-repair", "loky", "orjson", "pandas", "pyarrow", "rich", "typer", "xxhash")
_OPTIONAL = {"openai": "--prompt", "distributed": "--engine dask", "ray": "--engine ray", "openpyxl": "Excel"}


def about() -> str:
    """Lines for people; the first is the program's own version."""
    machine = platform.platform(terse=True)
    needed = [f"{name} {_version(name)}" for name in _NEEDED]
    optional = [f"{name} {_version(name)} ({use})" for name, use in _OPTIONAL.items()]
    return "\n".join(
        [
            f"batchrun {VERSION}",
            f"  on    python {platform.python_version()}, sqlite {sqlite3.sqlite_version}, {machine}",
            f"  with  {', '.join(needed)}",
            f"  also  {', '.join(optional)}",
        ]
    )


def _version(name: str) -> str:
    try:
        return installed(name)
    except PackageNotFoundError:
        return "not installed"
