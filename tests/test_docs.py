"""README and docs say what is true: their examples run, their links lead somewhere, their lists are complete."""

import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from llm_server import served
from support import COMMAND, ROOT, batchrun, database, environment

from batchrun import errors
from batchrun.settings import OPTIONS

README = ROOT / "README.md"
REFERENCE = ROOT / "docs/reference.md"
FORMAT = ROOT / "docs/checkpoint-format.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = ("process", "ctl", "status", "errors", "show", "report", "export", "verify", "init")
CODES_WITHOUT_ERROR = {0, 1, 70, 129, 130, 143}
NOT_RUN = ("make", "pip", "git")


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


class Line(NamedTuple):
    """A command of a console block, and the exit code that its comment announces."""

    command: str
    code: int


def blocks(page: Path, language: str = "") -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(*block) for block in found if language in ("", block[0])]


def lines(block: Block) -> list[Line]:
    found = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            code = re.search(r"#.*exit code (\d+)", line)
            found.append(Line(line[2:].partition(" #")[0].strip(), int(code[1]) if code else 0))
    return found


def names_of_file(block: Block) -> str | None:
    """`tasks.py` for a block that begins with `# tasks.py`."""
    name = re.match(r"# (\S+\.py)\n", block.text)
    return name[1] if name else None


def scratch_copy(folder: Path) -> Path:
    """A folder with the sample data as it is in a fresh copy of the project."""
    ignored = shutil.ignore_patterns("*.batchrun", "*.results.*", "__pycache__")
    shutil.copytree(ROOT / "sample_data", folder / "sample_data", ignore=ignored)
    return folder


def run_line(line: Line, folder: Path, env: dict[str, str]) -> None:
    words = shlex.split(line.command)
    words[:1] = {"batchrun": COMMAND, "python": [sys.executable]}.get(words[0], words[:1])
    done = subprocess.run(words, cwd=folder, env=environment(env), capture_output=True, text=True, timeout=90)
    assert done.returncode == line.code, f"{line.command}\n{done.stdout}{done.stderr}"


def run_python(block: Block, folder: Path) -> None:
    if name := names_of_file(block):
        compile(block.text, name, "exec")
        (folder / name).write_text(block.text, encoding="utf-8")
        return
    command = [sys.executable, "-W", "error", "-c", block.text]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, f"{block.text}\n{done.stderr}"


def test_every_block_of_the_readme_works_in_the_order_of_the_page(tmp_path):
    folder = scratch_copy(tmp_path)
    ran = 0
    with served() as server:
        server.answer = lambda row: json.dumps({"same": True, "reason": "Much the same."})
        env = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-any"}
        for block in blocks(README):
            if block.language == "python":
                run_python(block, folder)
            else:
                assert block.language == "console", f"a block of an unknown kind: {block}"
                for line in lines(block):
                    if not line.command.startswith(NOT_RUN):
                        run_line(line, folder, env)
                        ran += 1
    assert ran >= 3
    assert len(server.books.requests) == 20
    header = (folder / "northern.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.endswith(",name,degrees_apart,batchrun_status,batchrun_error")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_that_are_named_exist(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:^\$ |`)make ([a-z]\S*?)(?:`|\s)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_page_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name}: {target}"


def without_blocks(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The names that headings can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def options_of(*command: str) -> set[str]:
    shown = batchrun(*command, "--help", env={"COLUMNS": "200", "TERM": "dumb"})
    assert shown.returncode == 0, shown.stderr
    text = re.sub(r"\x1b\[[\d;]*m", "", shown.stdout).partition("Examples")[0].replace("python -m", "")
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*(?![\w-])", text))


def sections() -> dict[str, str]:
    """Heading -> text below it, of the reference."""
    parts = re.split(r"^##+ (.*)$", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_has_every_option(command):
    text = sections()[f"batchrun {command}"]
    said = {option for code in re.findall(r"`([^`]+)`", text) for option in re.findall(r"--?[a-z][a-z-]*", code)}
    assert options_of(command) - {"-h", "--help"} <= said


def test_the_reference_has_every_command_and_no_other():
    shown = batchrun("--help", env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    commands = set(re.findall(r"^\W*([a-z]+) {2,}[A-Z]", shown, re.MULTILINE))
    headings = {heading.removeprefix("batchrun ") for heading in sections() if heading.startswith("batchrun ")}
    assert commands == set(COMMANDS) == headings
    assert options_of() <= set(re.findall(r"--?[a-z][a-z-]*", sections()["Commands"]))


def test_every_option_can_be_found_by_its_name_in_the_configuration():
    said = sections()["batchrun process"]
    assert [name for name in OPTIONS if f"--{name.replace('_', '-')}" not in said] == []


def test_the_reference_has_every_exit_code():
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", sections()["Exit codes"], re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert codes == {kind.exit_code for kind in kinds} | CODES_WITHOUT_ERROR


def test_the_example_of_a_configuration_is_a_valid_one():
    (block,) = blocks(REFERENCE, "toml")
    for name, value in tomllib.loads(block.text).items():
        OPTIONS[name.replace("-", "_")](value)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_python_compiles(page):
    for block in blocks(page, "python"):
        compile(block.text, page.name, "exec")


def test_the_seal_and_the_queries_of_the_format_are_right(tmp_path):
    table = scratch_copy(tmp_path) / "sample_data/llm_answers.csv"
    assert batchrun("process", table, "--retries", 0, "--no-output").returncode == 1
    (recipe,) = blocks(FORMAT, "python")
    namespace = {}
    exec(recipe.text, namespace)
    uri = f"file:{database(table, 'repair')}?mode=ro"
    with sqlite3.connect(uri, uri=True) as db:
        rows = db.execute(
            "SELECT l.position, l.fingerprint, l.key, l.status, l.attempts, r.body, r.raw, r.how, r.note, l.crc,"
            " f.id, f.kind, f.message, f.type, f.http_status, f.traceback, f.raw FROM ledger l"
            " LEFT JOIN result r ON r.id = l.result LEFT JOIN failure f ON f.id = l.failure"
        ).fetchall()
        answers = [db.execute(block.text).fetchall() for block in blocks(FORMAT, "sql")]
    db.close()
    assert len(rows) == 300
    for row in rows:
        assert namespace["seal"](*row[:9], None if row[10] is None else row[11:]) == row[9], row[0]
    assert len(answers) == 3
    assert all(answers)


def test_the_format_has_every_table_and_column(tmp_path):
    (tmp_path / "data.csv").write_text("id,text\n1,a\n")
    assert batchrun("process", tmp_path / "data.csv").returncode == 0
    with sqlite3.connect(database(tmp_path / "data.csv", "repair")) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {row[1] for table in tables for row in db.execute(f"PRAGMA table_info({table})")}
        facts = {key for (key,) in db.execute("SELECT key FROM meta")}
        version = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    text = without_blocks(FORMAT)
    assert f"`PRAGMA user_version` is {version}." in text
    assert [name for name in {*columns, *facts} if f"`{name}`" not in text] == []
    assert [name for name in tables if not re.search(rf"^### .*\b{name}\b", text, re.MULTILINE)] == []


def test_the_tests_that_the_guarantees_name_exist():
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    named = re.findall(r"`(test_\w+)(\.py)?(…)?`", (ROOT / "docs/guarantees.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    for name, is_file, cut in named:
        if is_file:
            assert (ROOT / "tests" / f"{name}.py").exists(), name
        else:
            assert f"def {name}" in tests if cut else f"def {name}(" in tests, name


def test_no_page_names_this_machine():
    for page in [*PAGES, ROOT / "CHANGELOG.md", ROOT / "sample_data/README.md"]:
        assert not re.search(r"(?<![\w.])/(?:work|root|home|tmp|opt)/", page.read_text(encoding="utf-8")), page
