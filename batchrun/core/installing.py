"""How to install what is missing, into the Python that runs this program, and from where this program came.

An index may have a package of our import's name that is somebody else's, so no message may say `pip install batchrun`.
"""

import json
import shlex
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "batchrun-cli"
_PACKAGES = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "git": "gitpython",
    "jwt": "pyjwt",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Packages that have another name than the module which people miss."""


def how_to_install(*words: str) -> str:
    """The command that installs `words` (requirements, or options of pip) into this Python."""
    program = [sys.executable, "-m", "pip", "install"]
    if find_spec("pip") is None:  # as uv makes environments
        program = ["uv", "pip", "install", "--python", sys.executable]
    return shlex.join([*program, *words])


def how_to_install_extra(extra: str) -> str:
    """The command that adds one of our extras (`llm`, `dask`) to this installation."""
    return how_to_install(*_requirement(extra, _origin()))


def not_installed(module: str, environment: Mapping[str, str]) -> str:
    """What to do where this Python has no such module (`a.b`); nothing if it has a part of it, and another is missing.

    `environment`: its variables, which say whether another environment than this Python's is the active one.
    """
    top = module.partition(".")[0]
    if top in sys.modules or find_spec(top) is not None:
        return ""
    package = _PACKAGES.get(top, top)
    active = environment.get("VIRTUAL_ENV") or environment.get("CONDA_PREFIX")
    other = active and Path(active).resolve() not in (Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve())
    return (
        f"the Python running this, {sys.executable}, has no module {top!r}. If it is a package that you know by this "
        f"name: {how_to_install(package)}. If it is a module of yours, put it beside the task or in the working "
        f"directory{f'. The active environment, {active}, is a different one' if other else ''}"
    )


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
