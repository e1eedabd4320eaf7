"""What a shell offers to complete, as zsh asks for it; nothing of the user's runs for it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import batchrun, environment, numbered

TASKS = """
raise SystemExit("nobody runs this")

def match(row):
    return 1

async def ask(row):
    return 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completing")
    table = numbered(folder / "data.csv", 2)
    assert batchrun("process", table, "--command", "echo {id}", "--name", "echoes").returncode == 0
    (folder / "tasks.py").write_text(TASKS)
    return folder


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("process data.csv --task ta", ["tasks.py:"]),
        ("process data.csv --task tasks.py:", ["tasks.py:ask", "tasks.py:match"]),
        ("process data.csv --task rep", ["repair"]),
        ("process data.csv --key id,te", ["id,text"]),
        ("process data.csv --columns ", ["id", "text"]),
        ("process data.csv --dtype id=s", ["id=str"]),
        ("process data.csv --progress p", ["plain"]),
        ("process data.csv --on-change ", ["keep", "redo", "stop"]),
        ("show data.csv --name ", ["echoes"]),
        ("errors data.csv --task e", ["echoes"]),
        ("process missing.csv --key ", []),
    ],
)
def test_the_shell_is_offered(folder, typed, offered):
    asked = {"_BATCHRUN_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"batchrun {typed}"}
    command = [Path(sys.executable).with_name("batchrun")]
    told = subprocess.run(command, cwd=folder, env=environment(asked), capture_output=True, text=True).stdout
    assert [word.replace("\\", "") for word in re.findall(r'"([^"]+)"', told)] == offered


def test_the_help_names_the_choices():
    told = batchrun("process", "--help", env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    assert "keep|redo|stop" in told
    assert "auto|live|plain|none" in told
