"""One name, one thing: who reads a name in a message, a traceback or a review finds one place that it can mean."""

import ast
from collections import defaultdict
from pathlib import Path

import batchrun

PACKAGE = Path(batchrun.__file__).parent

# A module's name is what is looked for first. These are the same thing in two rooms, and say so.
SAME_MODULES = {
    "__init__",
    "json_lines",  # a format: read in `table`, written in `outcome.export.formats`
    "parquet",
}
# The same for functions.
SAME_NAMES = {
    "export",  # the results as a file: `outcome.export.writing`, and `library.export` for callers
    "main",  # where a process begins
    "process",  # the job: `main.process`, and `library.process` for callers
    "write",  # one for each output format, found by the format's name
}


def modules():
    """Every module but the commands': those are called as the user calls them (`errors`, `status`, `export`)."""
    return [path for path in PACKAGE.rglob("*.py") if path.parent.name != "cli"]


def more_than_once(found):
    return {name: sorted(places) for name, places in found.items() if len(places) > 1}


def test_no_two_modules_have_one_name():
    found = defaultdict(list)
    for path in modules():
        found[path.stem].append(path.relative_to(PACKAGE).as_posix())
    assert more_than_once({name: places for name, places in found.items() if name not in SAME_MODULES}) == {}


def test_no_two_public_functions_or_classes_have_one_name():
    found = defaultdict(list)
    for path in modules():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
                found[node.name].append(f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}")
    assert more_than_once({name: places for name, places in found.items() if name not in SAME_NAMES}) == {}


def test_what_is_allowed_to_share_a_name_does_so():
    stems = [path.stem for path in modules()]
    assert [name for name in SAME_MODULES if stems.count(name) < 2] == []
