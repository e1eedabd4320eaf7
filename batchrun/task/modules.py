"""From `file.py`, or `package.module`, to a module: what is imported under which name, and from where."""

import ast
import importlib
import importlib.util
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from batchrun.core.importing import own_first
from batchrun.core.suggest import meant
from batchrun.errors import TaskError

from .kept_code import content_of, is_there
from .shadowing import OUR_FOLDERS

HINT = "fix the module and run again"


def module_named(dotted: str) -> ModuleType:
    """The module of this name, also from the working directory."""
    _make_importable(os.getcwd())
    return importlib.import_module(dotted)


def module_of_file(place: str) -> ModuleType:
    """The module that a file is. The file's folder and the working directory are importable for it.

    A file that imports relatively is imported as a part of the packages around it, any other by itself. Raises
    `TaskError` if there is no such file, and whatever the module raises.
    """
    _make_importable(os.getcwd())
    path = Path(place).resolve()
    if not is_there(str(path)):
        beside = [other.name for other in path.parent.glob("*.py")]
        raise TaskError(f"there is no file {place}", f"{meant(path.name, beside)}Check --task: file.py:function")
    _make_importable(str(path.parent))
    folder, dotted = package_around(path)
    if 0 < _dots(path) <= dotted.count("."):
        return _part_of_package(path, folder, dotted)
    return _by_itself(path)


def package_around(path: Path) -> tuple[Path, str]:
    """The folder in which the outermost package around a file lies, and the module's name from there.

    A package is a folder with an `__init__.py`.
    """
    folder, names = path.parent, [path.stem]
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(names)


def make_importable(place: str) -> None:
    """What lies in the working directory, and beside a file that is a task's module, can be imported from now on."""
    _make_importable(os.getcwd())
    if place.endswith(".py"):
        _make_importable(str(Path(place).resolve().parent))


def relative_hint(place: str) -> str:
    """What to do about a relative import that leads nowhere. `place`: a file, or a module's name."""
    path = Path(place).resolve()
    if not place.endswith(".py"):
        return "it leads out of the package: run in the folder above, and name the task from there (folder.module)"
    dots = max(1, _dots(path))
    around = path.parents[:dots]
    hint = "write the import without the dot: modules beside the file can be imported" if dots == 1 else ""
    if all(folder.name.isidentifier() for folder in around):
        needed = [str(folder / "__init__.py") for folder in around if not (folder / "__init__.py").exists()]
        touch = f"make it a package: {shlex.join(['touch', *map(_from_here, needed)])}"
        return f"{hint}; or {touch}" if hint else touch
    odd = next(folder.name for folder in around if not folder.name.isidentifier())
    return hint or f"rename the folder {odd!r}, which cannot be a package's name, and put an __init__.py into it"


def _from_here(path: str) -> str:
    near = os.path.relpath(path)
    return path if near.startswith("..") else near


def _make_importable(folder: str) -> None:
    if folder not in OUR_FOLDERS:
        OUR_FOLDERS.append(folder)
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path[:] = own_first([folder, *sys.path])


def _part_of_package(path: Path, folder: Path, dotted: str) -> ModuleType:
    first = dotted.partition(".")[0]
    known = sys.modules.get(first)
    if first in sys.stdlib_module_names or (
        known is not None and str(folder / first) not in getattr(known, "__path__", ())
    ):
        raise TaskError(
            f"{path} is in a package named {first!r}, and so is a module of Python's own or of a library",
            f"rename the folder {folder / first}",
        )
    _make_importable(str(folder))
    return importlib.import_module(dotted)


def _by_itself(path: Path) -> ModuleType:
    # Under its own name, so that modules beside it which import it back get the same one.
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    taken = known is not None or path.stem in sys.stdlib_module_names  # whoever imports Python's own must get that
    name = f"batchrun_task_{path.stem}" if taken else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise TaskError(f"{path} is not a Python file", "check --task: file.py:function")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # Not by the loader: compiled code that Python has kept would pass for that of a file edited in the same second.
    exec(compile(content_of(str(path)), path, "exec", dont_inherit=True), vars(module))
    return module


def _dots(path: Path) -> int:
    """The most dots before a relative import in a file; 0 where all of them may fail, or none is ever done."""
    try:
        return max(_levels(ast.parse(content_of(str(path)))), default=0)
    except (SyntaxError, ValueError, RecursionError, OSError):  # told when it is imported
        return 0


def _levels(node: ast.AST) -> Iterator[int]:
    if isinstance(node, ast.ImportFrom):
        yield node.level
    left_out: list[ast.stmt] = []
    if isinstance(node, ast.Try) and node.handlers:  # another way stands in the handler
        left_out = node.body
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        left_out = node.body
    for child in ast.iter_child_nodes(node):
        if child not in left_out:
            yield from _levels(child)
