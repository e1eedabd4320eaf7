"""Who may import whom: a library enters by one door, and what must be light stays light."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import batchrun

PACKAGE = Path(batchrun.__file__).parent
DOORS = {
    "loky": {"engine/local/nursery.py"},
    "typer": {"cli/"},
    "rich": {"display/"},
    "IPython": {"display/notebook.py"},
    "json_repair": {"task/reply/mend.py"},
    "jsonschema": {"task/reply/schema.py"},
    "openai": {"task/prompt/client.py"},
    "httpx2": {"task/prompt/client.py"},
    "aiohttp": {"checkpoint/fetching.py"},
    "fsspec": {"checkpoint/fetching.py"},
    "openpyxl": {"table/workbook.py", "table/workbook_stream.py"},
    "sqlite3": {"cli/about.py", "checkpoint/", "outcome/", "table/database.py"},
    "dask": {"engine/cluster/dask/"},
    "distributed": {"engine/cluster/dask/"},
    "ray": {"engine/cluster/ray/"},
    "pandas": {"outcome/export/", "library.py", "table/frames.py"},
    "pyarrow": {"outcome/export/formats/", "table/"},
}


def imported(path):
    """What a module imports, anywhere in it, as parts of a dotted name: `["batchrun", "run", "plan", "Plan"]`."""
    package = ["batchrun", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            yield from ([*base, alias.name] for alias in node.names)


@pytest.mark.parametrize("library", sorted(DOORS))
def test_each_library_enters_by_its_own_door(library):
    for path in PACKAGE.rglob("*.py"):
        if library in {name[0] for name in imported(path)}:
            where = path.relative_to(PACKAGE).as_posix()
            assert any(where.startswith(door) for door in DOORS[library]), f"{where} imports {library}"


def loaded(statement):
    """The modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        (
            "import batchrun.engine.worker.worker",
            {
                "pandas",
                "rich",
                "typer",
                "pyarrow",
                "numpy",
                "sqlite3",
                "json_repair",
                "asyncio",
                "openai",
                "jsonschema",
            },
        ),
        ("import batchrun.cli.app", {"pandas", "pyarrow", "numpy", "sqlite3", "loky"}),
        ("import batchrun.main", {"pandas", "pyarrow", "numpy", "rich", "typer", "openai", "jsonschema"}),
        ("import batchrun.outcome.status", {"pandas", "pyarrow", "numpy", "rich", "loky"}),
    ],
)
def test_what_must_be_light_does_not_load_what_is_heavy(statement, heavy):
    assert not loaded(statement) & heavy


def test_a_worker_loads_no_reader_of_tables_and_no_options():
    code = "import sys, batchrun.engine.worker.worker, batchrun.engine.worker.tending; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in ran.stdout.split() if name.startswith(("batchrun.table.", "batchrun.options"))}
    assert ours == {"batchrun.table.convert"}


def test_the_public_names_are_exactly_these():
    public = {"Abort", "Current", "RetryLater", "Skip", "Summary", "count_tokens", "current"}
    public |= {"iterate", "process", "results", "export"}
    assert set(batchrun.__all__) == public
    assert all(getattr(batchrun, name) for name in public)


FLOORS = (
    {"core", "errors"},
    {"table"},
    {"task"},
    {"options"},
    {"checkpoint"},
    {"engine"},
    {"run"},
    {"display", "outcome"},
    {"job"},
    {"main"},
    {"library", "cli"},
    {"__init__", "__main__"},
)
"""The rooms, from the ground up. A room is a folder of the package, or a module beside the folders."""


def room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def floor(name):
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def own_rooms(path):
    """The rooms that a module imports from, in functions and for type checkers too."""
    for name in imported(path):
        if name[0] == "batchrun":
            inside = len(name) > 1 and ((PACKAGE / name[1]).is_dir() or (PACKAGE / f"{name[1]}.py").exists())
            yield name[1] if inside else "__init__"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_rooms_below_it(path):
    for other in own_rooms(path):
        same_floor = {room(path), other} == {"core", "errors"}
        assert other == room(path) or same_floor or floor(other) < floor(room(path)), f"{path} imports {other}"


def dotted(path):
    """The name under which a module is imported."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(("batchrun", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def test_no_modules_import_each_other_in_a_circle_not_even_late_or_for_type_checkers():
    paths = {dotted(path): path for path in PACKAGE.rglob("*.py")}
    graph = {}
    for module, path in paths.items():
        names = [".".join(name) for name in imported(path) if name[0] == "batchrun"]
        graph[module] = {name if name in paths else name.rpartition(".")[0] for name in names} - {module}
    TopologicalSorter(graph).prepare()  # raises an error that names the circle


EACH_FIRST = """
import importlib, os, sys
import orjson, rich, sqlite3, typer, xxhash  # so that each child only imports our own modules
for module in sys.argv[1:]:
    if not (child := os.fork()):
        try:
            importlib.import_module(module)
        except BaseException as error:
            if getattr(error, "name", None) != "ray":  # an extra, which need not be installed
                print(module, repr(error), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_the_package_imports_without_a_cycle_from_any_module():
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__main__.py"]
    modules = [".".join(("batchrun", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in paths]
    ran = subprocess.run([sys.executable, "-c", EACH_FIRST, *modules], capture_output=True, text=True, check=True)
    assert ran.stdout == ""


def test_importing_a_submodule_does_not_hide_a_public_name():
    code = "import batchrun.main, batchrun.library, batchrun as b; assert callable(b.process) and callable(b.results)"
    subprocess.run([sys.executable, "-c", code], check=True)
