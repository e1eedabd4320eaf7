"""Braces that nearly name a column: in another case, with spaces, or as some language of templates would have it. Pure.

They look as if they would be filled in, and would be sent as they stand. What is plainly something else stays text:
JSON, a type after a colon, a list of names.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence

_FORMAT = re.compile(r"(?:.?[<>=^])?[-+ ]?z?#?0?\d*[,_]?(?:\.\d+)?[bcdeEfFgGnosxX%]?|[^{}\n]*%-?[A-Za-z][^{}\n]*")
_EXAMPLE = re.compile(r" +\d+(?:\.\d+)?")
_TAIL = re.compile(r"(?:[|?!\[.]|\(\)|:-|=\s*(?:$|[!:])).*", re.DOTALL)
_OF_ROW = re.compile(
    r"""\w+\s*(?:\[\s*['"]?([^\[\]'"]+)['"]?\s*\]|\.get\(\s*['"]([^'"]+)['"].*?\)|\.(\w+)|->(\w+))""", re.DOTALL
)
_JSON = re.compile(r"""\s*(['"]).*?\1\s*:""", re.DOTALL)
_OTHERS = re.compile(
    r"%\((?P<a>[^()\n]+)\)[a-z]|\{\{(?P<b>[^{}]*)\}\}|<(?P<c>[^<>\n]+)>|\[(?P<d>[^\[\]\n]+)\]|\$(?P<e>\w+)|%(?P<f>\w+)%"
)
_LONGEST = 500


def meant_column(inside: str, columns: Sequence[str]) -> str | None:
    """The column that somebody meant by `inside`, which stood between braces and is none; None if nobody did."""
    if len(inside) > _LONGEST or ";" in inside or _JSON.match(inside):  # a shell's group ends in a semicolon
        return None
    folded = {_folded(column): column for column in reversed(columns)}
    folded.pop("", None)
    if ":" not in inside and (column := folded.get(_folded(inside))):
        return column
    return next((folded[name] for name in map(_folded, _names_in(inside.strip())) if name in folded), None)


def meant_by_jinja(inside: str, columns: Sequence[str]) -> str | None:
    """The column meant by `{{ inside }}`, with the spaces or the filter that other languages of templates have.

    Without these, doubled braces stand for braces.
    """
    padded = inside[:1].isspace() and inside[-1:].isspace()
    return meant_column(inside, columns) or _exact(inside, columns) if padded else None


def other_notation(text: str, columns: Sequence[str]) -> tuple[str, str] | None:
    """A column's name in another notation than braces (`%(name)s`, `{{name}}`, `<name>`, `[name]`, `$name`,
    `%name%`): as it stands in the text, and the column. For texts that insert nothing.
    """
    for found in _OTHERS.finditer(text):
        if column := _exact(next(filter(None, found.groups()), ""), columns):
            return found[0], column
    return None


def percent_notation(text: str, columns: Sequence[str]) -> tuple[str, str] | None:
    """The same of `%(name)s` alone, which is hardly ever anything else."""
    for found in re.finditer(r"%\(([^()\n]+)\)[-#0 +\d.]*[a-z]", text):
        if column := _exact(found[1], columns):
            return found[0], column
    return None


def _exact(inside: str, columns: Sequence[str]) -> str | None:
    return next((column for column in columns if column == inside.strip()), None)


def _folded(name: str) -> str:
    """A name without case, spaces and signs."""
    return "".join(filter(str.isalnum, name.casefold()))


def _names_in(inside: str) -> Iterator[str]:
    """Names that a formatted expression may be about, the likeliest first."""
    head, colon, spec = inside.partition(":")
    if colon and not spec.startswith("-") and (not _FORMAT.fullmatch(spec) or _EXAMPLE.fullmatch(spec)):
        return
    yield re.sub(r"![a-z]?$|=$", "", head.strip()).strip()
    if found := _OF_ROW.match(inside):
        yield next(filter(None, found.groups()))
    for cut in range(1, len(inside)):
        if _TAIL.fullmatch(inside, cut):
            yield inside[:cut]
            break
    yield from _names_in_code(head.partition("|")[0].strip())


def _names_in_code(code: str) -> Iterator[str]:
    """Names in an expression of Python. A mere list of names is none."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(code, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    if isinstance(tree, (ast.Tuple, ast.Set, ast.Dict, ast.List, ast.Constant)):
        return
    for part in ast.walk(tree):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr
        elif isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Constant):
            yield str(part.slice.value)
