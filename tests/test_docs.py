"""README and docs say what is true: their examples run, their links lead somewhere, their lists are complete."""

import json
import re
import shlex
import sqlite3
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest
from pages import blocks, scratch_copy
from support import ROOT, batchrun, database, environment, records, start, wait_for

import batchrun as package
from batchrun import errors
from batchrun.core.kinds import KINDS
from batchrun.core.states import STATE_NAMES
from batchrun.options.table import OPTIONS

README = ROOT / "README.md"
REFERENCE = ROOT / "docs/reference.md"
FORMAT = ROOT / "docs/checkpoint-format.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = (
    "process",
    "import",
    "ctl",
    "status",
    "errors",
    "sample",
    "show",
    "report",
    "export",
    "verify",
    "clean",
    "init",
)
CODES_WITHOUT_ERROR = {0, 1, 70, 129, 130, 143}


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


def shell_words(line: str) -> list[str]:
    """Words, and what stands between commands, as a shell sees them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";|>&")
    lexer.whitespace_split = True
    return list(lexer)


@cache
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


def test_the_reference_has_every_option_of_the_table_and_process_takes_it():
    said = sections()["batchrun process"]
    for option in OPTIONS.values():
        if option.panel:
            names = [option.flag, option.short] if option.short else [option.flag]
            assert "`" + "`, `".join(names) in said, names
            assert {*names} <= options_of("process")
    assert "`input`" in sections()["Configuration"]


def test_the_reference_has_every_exit_code():
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", sections()["Exit codes"], re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert codes == {kind.exit_code for kind in kinds} | CODES_WITHOUT_ERROR


def test_the_example_of_a_configuration_is_a_valid_one():
    (block,) = blocks(REFERENCE, "toml")
    for name, value in tomllib.loads(block.text).items():
        OPTIONS[name.replace("-", "_")].read(value)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_python_compiles(page):
    for block in blocks(page, "python"):
        compile(block.text, page.name, "exec")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "sample_data/README.md"], ids=lambda page: page.name)
def test_every_command_that_is_shown_has_the_options_that_are_shown(page):
    shown = [block.text.replace("\\\n", " ") for block in blocks(page, "console", "sh", "text", "ini")]
    for line in re.findall(r"(?:^|[ /;])batchrun ([a-z]+ .*)$", "\n".join(shown), re.MULTILINE):
        words = [*takewhile(lambda word: word not in ("|", ">", "&", ";"), shell_words(line))]
        if words[0] in COMMANDS:
            used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            assert used <= options_of(words[0]), f"{page.name}: {line}"


def test_the_lists_of_pages_have_each_page_once():
    for index, pages in (
        (ROOT / "docs/README.md", (ROOT / "docs").glob("*.md")),
        (ROOT / "docs/decisions/README.md", (ROOT / "docs/decisions").glob("*.md")),
    ):
        text = index.read_text(encoding="utf-8")
        assert [page.name for page in pages if page != index and text.count(f"]({page.name})") != 1] == []


def test_the_list_of_decisions_has_their_titles():
    text = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8").replace("`", "")
    for page in (ROOT / "docs/decisions").glob("0*.md"):
        number, title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").split(". ", 1)
        assert f"| [{number}]({page.name}) | {title} |" in text


def words_in(heading: str, column: int = 1) -> set[str]:
    """The code words in a column of the tables below a heading of the reference."""
    rows = re.findall(r"^\|(.*)\|$", sections()[heading], re.MULTILINE)
    return {word for row in rows[1:] for word in re.findall(r"`([^`]+)`", row.split("|")[column - 1])}


def test_the_reference_has_every_state_kind_and_way_and_no_other():
    assert words_in("States") == set(STATE_NAMES)
    assert words_in("Kinds of error") == set(KINDS)
    (hopeless,) = re.findall(r"Not tried again in this run: kinds ([^;]*);", sections()["Retries"])
    assert set(re.findall(r"`(\w+)`", hopeless)) == {name for name, kind in KINDS.items() if kind.hopeless}
    assert words_in("From reply to result") == {"value", "text", "json", "think", "fence", "embedded", "repaired"}


def test_the_reference_has_all_that_is_public_in_python():
    said = sections()["The task"] + sections()["Python"]
    assert [name for name in package.__all__ if not re.search(rf"\b{name}\b", said)] == []
    assert [name for name in package.Summary.__match_args__ if f".{name}" not in said] == []
    kinds = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and kind.__module__ == errors.__name__
    }
    assert {kind for kind in kinds if kind not in said} == set()


def keys_of(record: object) -> set[str]:
    """All names of a record, those of the objects within included; but not those of users' columns and results."""
    if isinstance(record, list):
        return set().union(*map(keys_of, record))
    if isinstance(record, dict):
        return {*record}.union(*(keys_of(value) for name, value in record.items() if name not in ("input", "result")))
    return set()


def test_the_reference_has_every_key_of_every_record(folder):
    (folder / "data.csv").write_text("id,text\n" + "".join(f"{n},text\n" for n in range(1, 40)))
    task = ("--task", f"{folder}/tasks.py:failing")
    ran = batchrun("process", folder / "data.csv", *task, "--retries", 0, "--json")
    assert_said("process --json", records(ran.stdout))
    for command, *arguments in (("status",), ("errors",), ("show", 3)):
        printed = batchrun(command, folder / "data.csv", *arguments, "--json", *task)
        assert_said(f"{command} --json", json.loads(printed.stdout))
    slow = start("process", folder / "data.csv", "--task", f"{folder}/tasks.py:short", env={"SECONDS": "60"})
    try:
        steered = ("ctl", folder / "data.csv", "--json", "--task", f"{folder}/tasks.py:short")
        answer = wait_for(lambda: batchrun(*steered).stdout, 60)
    finally:
        slow.kill()
        slow.communicate()
    assert_said("ctl --json", json.loads(answer))


def assert_said(heading: str, record: object) -> None:
    said = set(re.findall(r'[`"](\w+)[`"]', sections()[heading]))
    said |= {name for code in re.findall(r"`(\{[^`]+)`", sections()[heading]) for name in re.findall(r"\w+", code)}
    said |= {"kind", "message", "type", "http_status", "traceback"}  # of an error: a heading of its own
    assert keys_of(record) - said == set(), heading


def test_the_seal_and_the_queries_of_the_format_are_right(tmp_path):
    table = scratch_copy(tmp_path) / "sample_data/llm_answers.csv"
    assert batchrun("process", table, "--retries", 0, "--no-output", "--limit", 250).returncode == 1
    (recipe,) = blocks(FORMAT, "python")
    namespace = {}
    exec(recipe.text, namespace)
    uri = f"file:{database(table, 'repair')}?mode=ro"
    with sqlite3.connect(uri, uri=True) as db:
        kept = db.execute(
            "SELECT b.id, rows, status, attempts, task, b.run, b.lane, b.at, note, names, keys, b.seconds, bodies,"
            " raws, hows, crc, f.id, f.kind, f.message, f.type, f.http_status, f.traceback, f.raw"
            " FROM block b LEFT JOIN failure f ON f.id = b.failure"
        ).fetchall()
        places = db.execute("SELECT * FROM place").fetchall()
        answers = [db.execute(block.text).fetchall() for block in blocks(FORMAT, "sql")]
    db.close()
    assert sum(place[1] for place in places) == 250
    for block in kept:
        failure = None if block[16] is None else block[17:]
        assert namespace["seal_of_block"](block[:9], *block[9:15], failure) == block[15], block[0]
    assert all(namespace["seal_of_place"](*place) == crc for *place, crc in places)
    assert len(answers) > 8
    assert all(answers)


def test_the_format_has_every_table_and_column(tmp_path):
    (tmp_path / "data.csv").write_text("id,text\n1,a\n")
    assert batchrun("process", tmp_path / "data.csv", "-t", "repair").returncode == 0
    with sqlite3.connect(database(tmp_path / "data.csv", "repair")) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
        columns = {row[1] for table in tables for row in db.execute(f"PRAGMA table_info({table})")}
        facts = {key for (key,) in db.execute("SELECT key FROM meta")}
        version = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    text = without_blocks(FORMAT)
    assert f"`PRAGMA user_version` is {version}." in text
    assert [name for name in {*columns, *facts} if f"`{name}`" not in text] == []
    assert [name for name in tables if not re.search(rf"^### .*\b{name}\b", text, re.MULTILINE)] == []


def test_the_tests_that_the_guarantees_name_exist():
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)(\.py)?(…)?`", (ROOT / "docs/guarantees.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    for name, is_file, cut in named:
        if is_file:
            assert list((ROOT / "tests").rglob(f"{name}.py")), name
        else:
            assert f"def {name}" in tests if cut else f"def {name}(" in tests, name


def test_the_cells_that_the_guarantees_count_are_those_that_their_tests_have():
    page = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
    told = re.findall(r"\| (\d+) cells\b[^|]*\|[^|]*\|(.*)", page)
    assert len(told) > 10
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "tests"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert listed.returncode == 0, listed.stdout
    cells = Counter(re.findall(r"::(test_\w+)", listed.stdout))
    for count, tests in told:
        assert sum(cells[name] for name in re.findall(r"`(test_\w+)`", tests)) == int(count), tests


def test_no_page_names_this_machine():
    for page in [*PAGES, ROOT / "CHANGELOG.md", ROOT / "sample_data/README.md"]:
        assert not re.search(r"(?<![\w.])/(?:work|root|home|tmp|opt)/", page.read_text(encoding="utf-8")), page
