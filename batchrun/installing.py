"""How to install what is missing, into the Python that runs this program, and from where this program came.

An index may have a package of our import's name that is somebody else's, so no message may say `pip install batchrun`.
"""

import json
import shlex
import sys
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "batchrun-cli"


def how_to_install(*words: str) -> str:
    """The command that installs `words` (requirements, or options of pip) into this Python."""
    program = [sys.executable, "-m", "pip", "install"]
    if find_spec("pip") is None:  # as uv makes environments
        program = ["uv", "pip", "install", "--python", sys.executable]
    return shlex.join([*program, *words])


def how_to_install_extra(extra: str) -> str:
    """The command that adds one of our extras (`llm`, `dask`) to this installation."""
    return how_to_install(*_requirement(extra, _origin()))


def _requirement(extra: str, origin: dict[str, object]) -> list[str]:
    """`origin`: what PEP 610 says of an installation, or nothing: from an index, or not installed at all."""
    url = origin.get("url")
    if not isinstance(url, str):
        return [f"{DISTRIBUTION}[{extra}]"]
    folder = origin.get("dir_info")
    if not isinstance(folder, dict):
        return [f"{DISTRIBUTION}[{extra}] @ {url}"]
    path = unquote(urlsplit(url).path)
    return ["-e"] * bool(folder.get("editable")) + [f"{path}[{extra}]"]


def _origin() -> dict[str, object]:
    from importlib.metadata import (
        PackageNotFoundError,
        distribution,
    )  # slow, and wanted only where something is missing

    try:
        said = json.loads(distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
