"""Where a task's module comes from: packages, files that stand in the way, modules that this Python lacks."""

import shlex
import subprocess
import sys
from io import BytesIO
from zipfile import ZipFile

import pytest
from support import COMMAND, batchrun, environment, numbered, settled

from batchrun.core.installing import not_installed
from batchrun.engine.cluster.task_bundle import bundle_of
from batchrun.task.modules import package_around

HELPERS = "def up(text):\n    return text.upper()\n"
TASK = "def task(row):\n    return {'t': up(row['text'])}\n"


def lay_out(folder, **files):
    """Files with their text, `__` in a name for a slash; and a table of one row."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return numbered(folder / "data.csv", 1)


def package(*folders):
    for folder in folders:
        (folder / "__init__.py").touch()


def process(folder, task, *args, **options):
    return batchrun("process", folder / "data.csv", "--task", task, "--no-output", "--retries", 0, *args, cwd=folder)


@pytest.mark.parametrize("way", ["from ..helpers import up", "from .. import helpers\nup = helpers.up"])
@pytest.mark.parametrize("from_inside", [False, True])
def test_a_file_of_a_package_may_import_relatively(folder, way, from_inside):
    table = lay_out(folder, pkg__helpers=HELPERS, pkg__sub__work=f"{way}\n{TASK}")
    package(folder / "pkg", folder / "pkg" / "sub")
    where = folder / "pkg" / "sub" if from_inside else folder
    task = "work.py:task" if from_inside else "pkg/sub/work.py:task"
    ran = batchrun("process", table, "--task", task, "--no-output", cwd=where)
    assert ran.returncode == 0, ran.stderr
    assert settled(table, "task")[1][1] == {"t": "TEXT 1"}


def test_an_import_within_the_function_may_be_relative_too(folder):
    lay_out(
        folder,
        pkg__helpers=HELPERS,
        pkg__work="def task(row):\n    from .helpers import up\n    return {'t': up('a')}\n",
    )
    package(folder / "pkg")
    assert process(folder, "pkg/work.py:task").returncode == 0


@pytest.mark.parametrize(
    "head",
    [
        "try:\n    from .helpers import up\nexcept ImportError:\n    from helpers import up\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..far import Away\nfrom helpers import up\n",
    ],
)
def test_a_file_that_does_without_its_package_is_imported_by_itself(folder, head):
    lay_out(folder, pkg__helpers=HELPERS, pkg____init__="raise RuntimeError\n", pkg__work=head + TASK)
    ran = process(folder, "pkg/work.py:task")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("dots", [1, 2, 3])
def test_where_there_is_no_package_the_hint_makes_one(folder, dots):
    path = ["a", "b", "c"]
    lay_out(folder, a__b__c__work=f"from {'.' * dots}helpers import up\n{TASK}")
    (folder.joinpath(*path[: 4 - dots]) / "helpers.py").write_text(HELPERS)
    ran = process(folder, "a/b/c/work.py:task")
    assert ran.returncode == 2
    command = shlex.split(ran.stderr.rpartition("make it a package: ")[2])
    assert command[0] == "touch"
    subprocess.run(command, cwd=folder, check=True)
    again = process(folder, "a/b/c/work.py:task")
    assert again.returncode == 0, again.stderr


def test_a_folder_that_cannot_be_a_package_is_named(folder):
    lay_out(folder, **{"my-jobs__x__work": f"from ..helpers import up\n{TASK}"})
    ran = process(folder, "my-jobs/x/work.py:task")
    assert ran.returncode == 2
    assert "'my-jobs'" in ran.stderr


def test_an_edit_of_a_module_further_up_in_the_package_is_another_version(folder):
    lay_out(folder, pkg__helpers=HELPERS, pkg__sub__work=f"from ..helpers import up\n{TASK}")
    package(folder / "pkg", folder / "pkg" / "sub")
    assert process(folder, "pkg/sub/work.py:task").returncode == 0
    (folder / "pkg" / "helpers.py").write_text(HELPERS + "# fixed\n")
    ran = process(folder, "pkg/sub/work.py:task", "--on-change", "stop")
    assert (ran.returncode, "another version" in ran.stderr) == (2, True)


def test_a_file_of_a_package_travels_with_the_package_and_nothing_else(folder):
    lay_out(folder, jobs__pkg__helpers=HELPERS, jobs__pkg__sub__work=TASK, jobs__other="")
    package(folder / "jobs" / "pkg", folder / "jobs" / "pkg" / "sub")
    parcel = bundle_of("jobs/pkg/sub/work.py:task", folder)
    there = folder / "there"
    with ZipFile(BytesIO(parcel.data)) as archive:
        archive.extractall(there)
    assert parcel.spec == "task/pkg/sub/work.py:task"
    assert package_around(there / "task" / "pkg" / "sub" / "work.py") == (there / "task", "pkg.sub.work")
    assert (there / "task" / "pkg" / "helpers.py").exists()
    assert not (there / "task" / "other.py").exists()


PLANTED = "open(__file__ + '.was-run', 'w').close()\n"


@pytest.mark.parametrize("start", [COMMAND, [sys.executable, "-m", "batchrun"]])
def test_a_file_beside_the_task_or_the_data_is_never_imported_in_the_place_of_pythons_own(folder, start):
    using = "import statistics, logging, random, asyncio\ndef task(row):\n    return statistics.mean([1, 3])\n"
    names = ("statistics", "logging", "random", "socket", "json", "queue", "sqlite3", "typing", "concurrent")
    lay_out(folder, jobs__work=using, **dict.fromkeys(names, PLANTED), **{f"jobs__{name}": PLANTED for name in names})
    numbered(folder / "data.csv", 2)
    command = [*start, "process", "data.csv", "-t", "jobs/work.py:task", "--no-output"]
    ran = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert not list(folder.rglob("*.was-run"))
    assert (
        f"{folder / 'statistics.py'} is never imported, because Python's own module 'statistics' comes first"
        in ran.stderr
    )


def test_a_module_of_the_users_that_bears_the_name_of_pythons_own_is_named_where_it_is_missed(folder):
    lay_out(folder, jobs__work="from types import mine\ndef task(row):\n    return 1\n", jobs__types="mine = 1\n")
    ran = process(folder, "jobs/work.py:task")
    assert ran.returncode == 2
    assert (
        f"{folder / 'jobs' / 'types.py'} is never imported, because Python's own module 'types' comes first"
        in ran.stderr
    )


def test_a_task_may_be_named_like_a_module_of_pythons_own_and_others_get_that(folder):
    lay_out(folder, calendar="import email.utils, calendar\ndef task(row):\n    return calendar.isleap(2024)\n")
    assert process(folder, "calendar.py:task").returncode == 0


def test_modules_beside_the_task_come_before_installed_ones(folder):
    lay_out(folder, jobs__work="from six import mine\ndef task(row):\n    return mine\n", jobs__six="mine = 1\n")
    assert process(folder, "jobs/work.py:task").returncode == 0


def test_a_task_that_is_named_like_the_library_it_wants_is_named(folder):
    lay_out(folder, pandas="from pandas import DataFrame\ndef task(row):\n    return 1\n")
    ran = process(folder, "pandas.py:task")
    assert ran.returncode == 2
    assert f"{folder / 'pandas.py'} shadows the installed module 'pandas'" in ran.stderr


def test_a_module_that_this_python_lacks_is_installed_into_this_python(folder):
    lay_out(folder, work="import nobody_has_this.part\ndef task(row):\n    return 1\n")
    ran = process(folder, "work.py:task")
    assert ran.returncode == 2
    assert sys.executable in ran.stderr
    assert "install" in ran.stderr
    assert "nobody_has_this" in ran.stderr.rpartition("install ")[2]


def test_a_package_is_named_as_it_is_installed_and_one_that_is_there_is_not():
    assert "scikit-learn" in not_installed("sklearn.svm", {})
    assert not_installed("json.nothing", {}) == not_installed("yaml.nothing", {}) == ""
    assert "/opt/other, is a different one" in not_installed("sklearn", {"VIRTUAL_ENV": "/opt/other"})
    assert "another one" not in not_installed("sklearn", {"CONDA_PREFIX": sys.prefix})


def test_a_misspelt_module_of_the_tasks_own_is_not_to_be_installed(folder):
    lay_out(folder, working="def task(row):\n    return 1\n")
    ran = process(folder, "workin:task")
    assert ran.returncode == 2
    assert "Did you mean 'working'" in ran.stderr
    assert "install" not in ran.stderr


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("cells.ipynb:task", "--task cells.py:task"),
        ("./work.py::task", "write --task ./work.py:task"),
        ("work.py:task()", "write --task work.py:task"),
        ("jobs/work:task", "is a path, but not to a .py file"),
    ],
)
def test_names_as_other_tools_take_them_are_told_what_they_are_here(folder, task, said):
    lay_out(folder)
    ran = process(folder, task)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


BEHIND_A_FORK = """
import sys
sys.path.insert(0, ".")
__import__(sys.argv[1])
from batchrun.task.load import load, note_modules
note_modules()
print(*(path.rpartition("/")[2] for path, _ in load("work.py:task")[1].sources))
"""


@pytest.mark.parametrize("before", ["json", "helpers", "more"])
def test_a_task_consists_of_the_same_files_whatever_had_been_loaded_before_its_worker_was_forked(folder, before):
    lay_out(folder, helpers=HELPERS, more="", work=f"import json\nimport more\nfrom helpers import up\n{TASK}")
    told = subprocess.run([sys.executable, "-c", BEHIND_A_FORK, before], cwd=folder, capture_output=True, text=True)
    assert told.stdout.split() == ["helpers.py", "more.py", "work.py"], told.stderr
