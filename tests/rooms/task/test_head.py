"""The head of a task's module: which libraries are imported before anything can decide how."""

import ast
import sys

import cloudpickle
import pytest

from batchrun.task import head
from batchrun.task.head import first_steps, is_library
from batchrun.task.prompt.prompt import Prompt


@pytest.fixture
def steps_in(tmp_path, monkeypatch):
    """The steps in the head of `work.py`, which is written beside other files, as code."""

    def steps(text, **others):
        for name, content in {"work": text, **others}.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        monkeypatch.syspath_prepend(tmp_path)
        return [ast.unparse(step.statement) for step in first_steps(f"{tmp_path}/work.py:task", {})]

    return steps


def test_the_libraries_of_the_head_are_found_in_their_order(steps_in):
    text = '''
        """About it."""
        from __future__ import annotations
        import json, numpy as np
        from pandas import DataFrame, isna
        def task(row): ...
    '''
    assert steps_in(dedented(text)) == ["import json", "import numpy as np", "from pandas import DataFrame, isna"]


def dedented(text):
    lines = text.splitlines()
    return "\n".join(line.removeprefix(" " * 8) for line in lines)


@pytest.mark.parametrize(
    "statement",
    [
        "sys.path.insert(0, 'elsewhere')",
        "load_dotenv()",
        "CLIENT = connect()",
        "os.environ['KEY'] = secret",
        "if sys.platform == 'linux': os.chdir('/')",
        "for name in NAMES: setup(name)",
        "with open('x') as file: pass",
        "def f(x=connect()): ...",
        "@register\nclass A: pass\nimportlib.reload(A)",
        "class A:\n    x = connect()",
        "x = y = (z := 1)",
        "__path__ = []",
        "os.environ.update(A='1')",
        "warnings.simplefilter('error')",
        "try:\n    import json\nexcept Exception:\n    pass",
        "import there_is_no_such_module",
        "sys.modules['pandas'] = fake",
        "del sys.path[0]",
        "x: int = connect()",
    ],
)
def test_the_head_ends_before_what_could_make_a_library_another_one(steps_in, statement):
    assert steps_in(f"import json\n{statement}\nimport numpy\n") == ["import json"]


@pytest.mark.parametrize(
    "statement",
    [
        "LIMIT = 3",
        "NAMES: list[str] = ['a', 'b']",
        "LOG = logging.getLogger(__name__)",
        "WORD = re.compile(r'\\w+', re.A)",
        "if TYPE_CHECKING:\n    from nowhere import Thing",
        "if __name__ == '__main__':\n    main()",
        "def f(x, y=3, *, z: int = 4) -> str:\n    return connect()",
        "async def f(): ...",
        "@dataclass(frozen=True)\nclass A(Base):\n    x: int = 3\n    def f(self): connect()",
        "KEY = lambda row: connect()",
        "'''words'''",
        "try:\n    import there_is_no_such_module\nexcept ImportError:\n    there_is_no_such_module = None",
        "import polars",
    ],
)
def test_what_cannot_does_not_end_it(steps_in, statement):
    assert steps_in(f"import json\n{statement}\nimport numpy\n") == ["import json", "import numpy"]


def test_what_libraries_look_at_comes_before_them(steps_in):
    text = "import os, warnings\nos.environ['OMP_NUM_THREADS'] = '1'\nwarnings.filterwarnings('ignore')\nimport numpy\n"
    assert steps_in(text)[2:] == [
        "os.environ['OMP_NUM_THREADS'] = '1'",
        "warnings.filterwarnings('ignore')",
        "import numpy",
    ]


def test_an_import_that_may_fail_is_taken_where_it_can_be_found(steps_in):
    text = "try:\n    import orjson\nexcept ImportError:\n    import json as orjson\n"
    assert steps_in(text) == ["import orjson"]
    assert steps_in(text.replace("import orjson", "import there_is_no_such_module")) == ["import json as orjson"]


def test_modules_of_the_users_own_are_read_and_not_imported(steps_in):
    helper = "import json\nfrom pack import one\nfrom pack.two import thing\n"
    others = {"helper": helper, "pack/__init__": "import numpy\n", "pack/one": "import orjson\n"}
    more = {"pack/two": "from . import three\n", "pack/three": "import xxhash\n"}
    found = steps_in("import helper\nimport pandas\n", **others, **more)
    assert found == ["import json", "import numpy", "import orjson", "import xxhash", "import pandas"]


def test_what_a_module_of_the_users_does_may_change_what_comes_behind_it(steps_in):
    assert steps_in("import json\nimport helper\nimport numpy\n", helper="connect()\n") == ["import json"]


def test_modules_that_import_each_other_are_read_once(steps_in):
    found = steps_in("import helper\nimport numpy\n", helper="import work\nimport helper\nimport json\n")
    assert found == ["import json", "import numpy"]


def test_a_file_of_the_users_that_shadows_a_library_is_no_library(steps_in, monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)  # what is loaded is where it was found
    assert steps_in("import colorsys\nimport numpy\n", colorsys="connect()\n") == []


def test_relative_imports_are_followed_without_the_package_being_imported(steps_in, tmp_path):
    steps_in(
        "",
        **{
            "pack/__init__": "connect()\n",
            "pack/work": "from .two import x\nimport orjson\n",
            "pack/two": "import json\n",
        },
    )
    found = [ast.unparse(step.statement) for step in first_steps(f"{tmp_path}/pack/work.py:task", {})]
    assert found == ["import json", "import orjson"]


@pytest.mark.parametrize("text", ["this is no Python (", "import json\x00", "\N{BOM}" * 3, "(" * 300])
def test_a_module_that_cannot_be_read_has_no_head(steps_in, text):
    assert steps_in(text) == []


def test_a_module_is_read_as_the_run_began_with_it(steps_in, tmp_path):
    steps_in("import json\n")
    kept = {f"{tmp_path}/work.py": b"import numpy\n"}
    assert [ast.unparse(step.statement) for step in first_steps(f"{tmp_path}/work.py:task", kept)] == ["import numpy"]


def test_a_function_by_value_names_its_libraries():
    import json
    import textwrap

    import numpy

    def task(row):
        return json.dumps(textwrap.wrap(str(numpy.mean(row["x"]))))

    def other(row):
        return json.dumps(row), task(row)

    task.__module__ = other.__module__ = "__main__"
    names = [ast.unparse(step.statement) for step in first_steps(cloudpickle.dumps(other), {})]
    assert {"import json", "import numpy", "import textwrap"} <= set(names)
    assert not any("typing" in name for name in names if "textwrap" in name)


def test_the_client_of_a_prompt_is_one_of_its_libraries():
    names = [ast.unparse(step.statement) for step in first_steps(Prompt("{name}", "m"), {})]
    assert "import openai" in names


def test_a_builtin_and_what_is_no_task_need_nothing():
    assert first_steps("repair", {}) == []
    assert first_steps("nowhere.py:task", {}) == []
    assert first_steps("no.such.package:task", {}) == []
    assert first_steps(b"no pickle", {}) == []


def test_whose_a_file_is():
    assert is_library(ast.__file__)
    assert is_library(cloudpickle.__file__)
    assert is_library(head.__file__)
    assert not is_library(__file__)
