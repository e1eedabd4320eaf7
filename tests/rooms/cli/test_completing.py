"""What a shell offers to complete, as zsh asks for it; nothing of the user's runs for it."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import batchrun, environment, numbered

from batchrun.cli.completing import whole_words

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
    (folder / "other.py").write_text("")
    return folder


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("process data.csv --task ta", ["tasks.py:ask", "tasks.py:match"]),
        ("process data.csv --task ", ["other.py:", "repair", "tasks.py:"]),
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


@pytest.mark.parametrize(
    ("parts", "at", "words"),
    [
        (["batchrun", "process", ""], 2, (["batchrun", "process", ""], 2)),
        (["--task", "tasks.py", ":", "ma"], 3, (["--task", "tasks.py:ma"], 1)),
        (["--task", "tasks.py", ":"], 2, (["--task", "tasks.py:"], 1)),
        (["--task", "tasks.py", ":", "", "x"], 3, (["--task", "tasks.py:", "", "x"], 2)),
        (["--task", "=", "a.py", ":", "m", "-j", "2"], 4, (["--task=a.py:m", "-j", "2"], 0)),
        (["a", "::", "b"], 1, (["a::b"], 0)),
    ],
)
def test_words_that_bash_has_broken_are_whole_again(parts, at, words):
    assert whole_words(parts, at) == words


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes_words_with_a_colon_or_an_equals_sign(folder):
    typed = {
        "--task ta\t": "--task tasks.py:",
        "--task tasks.py:m\t": "--task tasks.py:match ",
        "--task=tasks.py:a\t": "--task=tasks.py:ask ",
        "--dtype id=s\t": "--dtype id=str ",
        "--key id,te\t": "--key id,text ",
    }
    child, terminal = pty.fork()
    if not child:
        os.chdir(folder)
        os.environ.update(PS1="$ ", TERM="dumb", PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    try:
        os.write(terminal, b"source <(batchrun --show-completion bash); echo rea''dy\n")
        seen_on(terminal, "ready")
        for keys, completed in typed.items():
            os.write(terminal, f"batchrun process data.csv {keys}".encode())
            seen_on(terminal, completed)
            os.write(terminal, b"\x15")  # Ctrl-U: the line is empty again
    finally:
        os.close(terminal)  # which hangs up
        os.waitpid(child, 0)


def seen_on(terminal: int, text: str, seconds: float = 30) -> None:
    """Wait until a terminal has shown a text."""
    shown, end = "", time.monotonic() + seconds
    while text not in shown:
        assert select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0], f"{text!r} is not in {shown!r}"
        shown += os.read(terminal, 65536).decode().replace("\a", "")
