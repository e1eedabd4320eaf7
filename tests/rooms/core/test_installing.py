"""Hints on what to install: into the Python that runs, from where this program came, never somebody else's package."""

import re
import shlex
import sys
import tomllib

import pytest
from support import ROOT

from batchrun.core.installing import DISTRIBUTION, _requirement, how_to_install, how_to_install_extra


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ({}, ["batchrun-cli[llm]"]),
        ({"url": "file:///my%20code/batchrun", "dir_info": {}}, ["/my code/batchrun[llm]"]),
        ({"url": "file:///code/batchrun", "dir_info": {"editable": True}}, ["-e", "/code/batchrun[llm]"]),
        (
            {"url": "https://host/batchrun_cli-0.1.0-py3-none-any.whl", "archive_info": {}},
            ["batchrun-cli[llm] @ https://host/batchrun_cli-0.1.0-py3-none-any.whl"],
        ),
    ],
)
def test_an_extra_comes_from_where_the_program_came(origin, words):
    assert _requirement("llm", origin) == words


def test_the_hint_is_a_command_for_the_python_that_runs():
    assert shlex.split(how_to_install("openpyxl")) == [sys.executable, "-m", "pip", "install", "openpyxl"]
    assert shlex.split(how_to_install_extra("dask"))[:4] == [sys.executable, "-m", "pip", "install"]


def test_the_name_is_that_of_the_distribution():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"] == DISTRIBUTION


def test_nothing_says_to_install_a_package_called_batchrun():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "batchrun").rglob("*.py")]
    for page in pages:
        said = re.search(r"install (?:-\S+ )*['\"]?batchrun(?!-cli)\b(?!/)", page.read_text(encoding="utf-8"))
        assert not said or page.name == "installing.py", f"{page}: {said}"
