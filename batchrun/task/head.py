"""The libraries that a task imports before anything else, found without running any of the user's code.

Only the head of a module counts: its statements up to the first one that could decide how the next library is
imported. Modules of the user's own that are imported there are read in their turn, not imported. See
docs/decisions/0025-libraries-are-imported-once.md.
"""

import ast
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from .spec import Spec

_LIBRARIES = tuple(
    {os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {os.path.join(Path(__file__).parents[1], "")}
)
_ELSEWHERE = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_UNFIT = {"polars", "onnxruntime"}
"""Libraries whose mere import starts threads that do not survive a fork. What stands beside them can be shared."""
_HARMLESS_CALLS = {
    *("re.compile", "logging.getLogger", "getLogger", "Path", "pathlib.Path", "TypeVar", "namedtuple", "field"),
    *("frozenset", "set", "dict", "list", "tuple", "dataclass", "dataclasses.dataclass", "environ.get"),
    *("os.environ.get", "os.getenv", "os.path.join", "os.path.dirname", "os.path.abspath"),
}
_MOST_OPCODES = 50_000
_MODULE = object()
"""Stands for what cloudpickle calls with the name of a module that a function refers to."""


class Step(NamedTuple):
    """A statement of a module's head that is to be executed: an import of a library, or what must come before it.

    `file`: where it stands. `quiet`: no import, but the wish that those after it warn of nothing.
    """

    statement: ast.stmt
    file: str
    quiet: bool = False


class _End(Exception):
    """What comes next may depend on what the user's code has done."""


def first_steps(spec: Spec, contents: Mapping[str, bytes]) -> list[Step]:
    """The imports of libraries in the head of a task's module, or those that a function by value or a ready-made
    task needs. `contents`: files that are to be read as they were.

    The folders of the user's modules must be importable already. Whatever is wrong with a module ends its head: it
    is told when the module is imported.
    """
    steps: list[Step] = []
    with suppress(_End, SyntaxError, ValueError, RecursionError, MemoryError, OSError, ImportError, AttributeError):
        for step in _Reader(contents).steps(spec):
            steps.append(step)  # noqa: PERF402 - those before an end count
    return steps


def is_library(file: str) -> bool:
    """Whether a module's file belongs to Python, to a library or to this program, and not to the user."""
    return file.startswith(_LIBRARIES) or any(part in file for part in _ELSEWHERE)


class _Reader:
    """Reads the heads of modules, each of them once."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents
        self._seen: set[str] = set()

    def steps(self, spec: Spec) -> Iterator[Step]:
        if isinstance(spec, bytes):
            for name in dict.fromkeys(_modules_in(spec)):
                yield from self._of_name(name, (), _import(name), "<the task>")
        elif not isinstance(spec, str):
            for name in spec.libraries:
                yield Step(_import(name), "<the task>")
        elif ":" in spec:
            place = spec.rpartition(":")[0]
            yield from self._of_file(str(Path(place).resolve())) if place.endswith(".py") else self._of_user(place, ())

    def _of_file(self, path: str) -> Iterator[Step]:
        if path in self._seen:
            return
        self._seen.add(path)
        if not path.endswith(".py"):
            raise _End
        content = self._contents.get(path) or Path(path).read_bytes()
        yield from self._of_statements(ast.parse(content).body, path)

    def _of_statements(self, body: Sequence[ast.stmt], file: str) -> Iterator[Step]:
        for statement in body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                yield from self._of_import(statement, file)
            elif isinstance(statement, ast.Try | ast.If):
                yield from self._of_statements(_branch(statement), file)
            elif _sets_variable(statement):
                yield Step(statement, file)  # it will be set again, where it is meant to be
            elif _silences_warnings(statement):
                yield Step(statement, file, quiet=True)
            elif not _is_inert(statement):
                raise _End

    def _of_import(self, statement: ast.Import | ast.ImportFrom, file: str) -> Iterator[Step]:
        names = [alias.name for alias in statement.names]
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                alone = ast.copy_location(ast.Import([alias]), statement)
                yield from self._of_name(alias.name, (), alone, file)
        elif statement.level:
            parts = statement.module.split(".") if statement.module else []
            yield from self._of_parts(parts, names, [str(Path(file).parents[statement.level - 1])])
        else:
            yield from self._of_name(statement.module or "", names, statement, file)

    def _of_name(self, name: str, names: Sequence[str], statement: ast.stmt, file: str) -> Iterator[Step]:
        top = name.partition(".")[0]
        if top in _UNFIT or top == "__future__":
            return
        if _leads_to_library(top):
            yield Step(statement, file)
        else:
            yield from self._of_user(name, names)

    def _of_user(self, name: str, names: Sequence[str]) -> Iterator[Step]:
        """The heads of a module of the user's, of the packages that it is in, and of those that `names` may be."""
        yield from self._of_parts(name.split("."), names, None)

    def _of_parts(self, parts: Sequence[str], names: Sequence[str], path: Sequence[str] | None) -> Iterator[Step]:
        """`path`: the folders in which the first part is looked for; None: as imports do."""
        for part in parts:
            spec = find_spec(part) if path is None else PathFinder.find_spec(f"_.{part}", path)
            if spec is None:
                raise _End
            path = spec.submodule_search_locations or ()
            if spec.has_location and spec.origin:
                yield from self._of_file(spec.origin)
        for inner in names if path else ():
            spec = PathFinder.find_spec(f"_.{inner}", path)
            if spec and spec.has_location and spec.origin:  # else it is a name in the module
                yield from self._of_file(spec.origin)


def _leads_to_library(top: str) -> bool:
    if top in sys.builtin_module_names:
        return True
    known = sys.modules.get(top)
    spec = known.__spec__ if known else find_spec(top)
    if spec is None:
        raise _End
    if spec.origin in ("built-in", "frozen"):
        return True
    places = [spec.origin] if spec.has_location and spec.origin else [*(spec.submodule_search_locations or ())]
    return bool(places) and all(is_library(os.path.join(place, "")) for place in places)


def _names_in(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _branch(statement: ast.Try | ast.If) -> list[ast.stmt]:
    """What is executed of it, if that can be seen without executing anything."""
    match statement:
        case ast.Try(inner, [ast.ExceptHandler(ast.Name("ImportError" | "ModuleNotFoundError"), body=instead)], [], []):
            tops = {name.partition(".")[0] for each in inner for name in _names_in(each)}
            return inner if all(top in sys.modules or find_spec(top) for top in tops) else instead
        case ast.If(ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), orelse=orelse):
            return orelse
        case ast.If(ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")]), orelse=orelse):
            return orelse
    raise _End


def _silences_warnings(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(ast.Call(ast.Attribute(ast.Name("warnings")), [ast.Constant("ignore"), *_])):
            return True
    return False


def _sets_variable(statement: ast.stmt) -> bool:
    """Whether it gives an environment variable a text."""
    match statement:
        case ast.Assign(
            [ast.Subscript(ast.Attribute(ast.Name("os"), "environ"), ast.Constant(str()))], ast.Constant(str())
        ):
            return True
        case ast.Expr(
            ast.Call(
                ast.Attribute(ast.Attribute(ast.Name("os"), "environ"), "setdefault"),
                [ast.Constant(str()), ast.Constant(str())],
                [],
            )
        ):
            return True
    return False


def _is_inert(node: ast.AST) -> bool:
    """Whether no import can be another for it: it defines things, and calls nothing but what is known."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            outside = [*node.decorator_list, node.args, *([node.returns] if node.returns else [])]
            return all(map(_is_inert, outside))
        case ast.ClassDef():
            return all(map(_is_inert, [*node.decorator_list, *node.bases, *node.keywords, *node.body]))
        case ast.Assign(targets=targets, value=value):
            return all(map(_is_plain_name, targets)) and _is_inert(value)
        case ast.AnnAssign(target=target, annotation=annotation, value=given):
            return _is_plain_name(target) and _is_inert(annotation) and (given is None or _is_inert(given))
        case ast.Lambda():
            return _is_inert(node.args)
        case ast.Call(func=func):
            return ast.unparse(func) in _HARMLESS_CALLS and all(map(_is_inert, [*node.args, *node.keywords]))
        case ast.Await() | ast.Yield() | ast.YieldFrom() | ast.NamedExpr():
            return False
        case ast.Expr() | ast.Pass():
            return all(map(_is_inert, ast.iter_child_nodes(node)))
        case ast.stmt():
            return False
    return all(map(_is_inert, ast.iter_child_nodes(node)))


def _is_plain_name(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id != "__path__"


def _import(name: str) -> ast.stmt:
    return ast.parse(f"import {name}").body[0]


def _modules_in(pickled: bytes) -> Iterator[str]:
    """The modules that are imported when a function by value is made again, as far as they are named early in it."""
    import pickletools  # only where a function comes by value

    pushed: list[Any] = [None, None]
    memo: list[Any] = []
    for opcode, argument, _ in islice(pickletools.genops(pickled), _MOST_OPCODES):
        name = opcode.name
        if name == "MEMOIZE":
            memo.append(pushed[-1])
        elif name == "STACK_GLOBAL":
            module, member = pushed[-2:]
            if isinstance(module, str):
                yield module
            pushed.append(_MODULE if member == "subimport" else None)
        elif name not in ("PROTO", "FRAME"):
            known = memo[int(argument or 0)] if name in ("BINGET", "LONG_BINGET") else argument
            if pushed[-1] is _MODULE and isinstance(known, str):
                yield known
            pushed.append(known if isinstance(known, str) or known is _MODULE else None)
