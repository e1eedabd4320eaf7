"""The pages of the documentation as programs: their blocks run in order, in one shell, and print what they say.

- `console`: each line that begins with `$ ` is a command; lines that end in a backslash go on. Then comes what it
  prints, stdout and stderr together. `…` alone on a line stands for any lines. A comment `# exit code N` announces an
  exit code other than 0.
- A block that begins with `# NAME.py` (or `.toml`, `.txt`, `.sh`) is that file.
- Any other `python` block is a script; an `output` block behind it is what it prints.
- After `<!-- varies -->` a block runs, but may print anything. After `<!-- not run -->` it does not run. Neither do
  `make`, `pip` and `git`, nor blocks of other languages.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from support import ROOT, environment

_BLOCK = re.compile(
    r"(?:^<!-- ([a-z ]+) -->\n)?^```(\w*)\n(.*?)^```$(?:\n```output\n(.*?)^```$)?", re.MULTILINE | re.DOTALL
)
_FILE = re.compile(r"# (\S+\.(?:py|toml|txt|sh))\n")
_NOT_RUN = ("make", "pip", "git")
_FOLDED = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
    (r"\b\d[\d,.]* (ms|s|min|h)\b( \d\d (s|min)\b)?", "DURATION"),
    (r"\blane \d+", "lane N"),
    (r"\bpid \d+", "pid N"),
    (r"\b\d+ jobs?\b", "N jobs"),
    (r'"seconds": ?[\d.]+', '"seconds": S'),
)


class Block(NamedTuple):
    """A fenced block of a page. `mark`: what the comment before it says. `output`: that of a script."""

    mark: str
    language: str
    text: str
    output: str


class Step(NamedTuple):
    """What is done for a command or a block, and what it has to print (None: anything) and to end with."""

    what: str
    script: str
    prints: str | None = None
    code: int = 0


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page (of these languages)."""
    found = (Block(*groups) for groups in _BLOCK.findall(page.read_text(encoding="utf-8")))
    return [block for block in found if not languages or block.language in languages]


def steps(page: Path) -> list[Step]:
    """All that a page has its reader do."""
    return [step for block in blocks(page) if block.mark != "not run" for step in _steps_of(block)]


def _steps_of(block: Block) -> Iterator[Step]:
    if name := _FILE.match(block.text):
        yield Step(f"write {name[1]}", _written(name[1], block.text))
    elif block.language == "python":
        yield Step(block.text, f"{_written('.script.py', block.text)}\npython -W error .script.py", block.output)
    elif block.language == "console":
        for command, prints in re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
            if not command.startswith(_NOT_RUN):
                code = re.search(r"#.*exit code (\d+)", command)
                wanted = None if block.mark == "varies" else prints
                yield Step(command, command, wanted, int(code[1]) if code else 0)


def _written(name: str, text: str) -> str:
    return f"cat > {name} <<'END OF FILE'\n{text}END OF FILE"


def scratch_copy(folder: Path) -> Path:
    """A folder with the sample data as it is in a fresh copy of the project."""
    ignored = shutil.ignore_patterns("*.batchrun", "*.results.*", "__pycache__")
    shutil.copytree(ROOT / "sample_data", folder / "sample_data", ignore=ignored)
    return folder


def run(page: Path, folder: Path, env: dict[str, str] | None = None) -> list[tuple[Step, str, int]]:
    """Do what a page says in a folder, as one session of a shell: each step with its output and exit code."""
    todo = steps(page)
    session = "".join(f"\n{step.script}\nprintf '\\n@@ %d %d\\n' {n} $?\n" for n, step in enumerate(todo))
    (folder / ".session").write_text(session, encoding="utf-8")
    inherited = environment(env)
    programs = Path(sys.executable).parent  # as in an environment that is activated
    shell = subprocess.run(
        ["bash", folder / ".session"],
        cwd=folder,
        env={**inherited, "PATH": f"{programs}:{inherited['PATH']}", "TERM": "dumb", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=True,
    )
    parts = re.split(r"\n@@ \d+ (\d+)\n", shell.stdout)
    return [(step, parts[2 * n].replace(f"{folder}/", ""), int(parts[2 * n + 1])) for n, step in enumerate(todo)]


def check(page: Path, folder: Path, env: dict[str, str] | None = None) -> int:
    """Run a page and compare; the number of its steps."""
    done = run(page, folder, env)
    for step, printed, code in done:
        said = f"{page.name}: {step.what}\n{printed}"
        assert code == step.code, f"{said}\nexit code {code}"
        if step.prints:
            assert fits(folded(step.prints), folded(printed)), f"{said}\n--- but the page has\n{step.prints}"
    return len(done)


def folded(text: str) -> list[str]:
    """The lines of a text without what differs from run to run."""
    for pattern, name in _FOLDED:
        text = re.sub(pattern, name, text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def fits(wanted: list[str], lines: list[str]) -> bool:
    """Whether lines are those that are wanted, where `…` stands for any number of lines."""
    pattern = "".join("(?:.*\n)*" if line == "…" else f"{re.escape(line)}\n" for line in wanted)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None
