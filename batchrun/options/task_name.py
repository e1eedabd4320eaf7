"""What `--task` may name."""

import os
import shlex
from contextlib import suppress
from pathlib import Path

from batchrun.core.suggest import meant
from batchrun.errors import UsageError

BUILT_IN = "repair"


def function_name(spec: str) -> str:
    """`match` for `tasks.py:match`."""
    return spec.rpartition(":")[2]


def check_task(task: str | bytes | None) -> None:
    """Raise `UsageError` for a task's name that cannot be one."""
    if task is None or isinstance(task, bytes) or task == BUILT_IN:
        return
    _check_place(task)
    if ":" not in task or task.startswith(":") or task.endswith(":"):
        file = task.rstrip(":")
        if file.endswith(".py") and (names := functions_in(Path(file))):
            calls = " or ".join(shlex.quote(f"{file}:{name}") for name in names[:3])
            raise UsageError(f"{task!r} names a file, but no function in it", f"give --task {calls}")
        raise UsageError(
            f"{task!r} names no task",
            f"{meant(task, ['repair'])}Give --task file.py:function, package.module:function, or the built-in: repair",
        )


def functions_in(path: Path) -> list[str]:
    """The functions that a file of Python defines at its top level; nothing of it runs."""
    import ast  # few commands need it

    with suppress(OSError, SyntaxError, ValueError, RecursionError):
        found = ast.parse(path.read_bytes()).body
        return [each.name for each in found if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    return []


def _check_place(task: str) -> None:
    """Raise `UsageError` for what other tools would take, with what it is here."""
    place, _, name = task.rpartition(":")
    if place.endswith(".ipynb"):
        script = Path(place).with_suffix(".py")
        raise UsageError(
            f"{place} is a notebook, and a worker cannot load a function from it",
            f"run it in the notebook, batchrun.process(table, task={name or 'f'}), or write its cells to a script: "
            f"jupyter nbconvert --to script {shlex.quote(place)}, and --task {shlex.quote(f'{script}:{name}')}",
        )
    if place.endswith(":"):
        one = place.rstrip(":") + f":{name}"
        raise UsageError(f"{task!r} has more than one colon", f"write --task {shlex.quote(one)}")
    if name.endswith("()"):
        raise UsageError(f"{task!r} calls the function", f"write --task {shlex.quote(task[:-2])}")
    if place and ("/" in place or os.sep in place) and not place.endswith(".py"):
        raise UsageError(f"{place} is a path, but not to a .py file", "--task takes file.py:function")
