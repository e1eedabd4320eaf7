"""The template of a prompt: `{column}` becomes the row's cell, `{{` and `}}` a brace, all else stays as it is."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import date, time
from typing import Any

from batchrun.core.suggest import suggest
from batchrun.errors import UsageError

from .nearly import meant_by_jinja, meant_column, other_notation, percent_notation

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_DOUBLED = re.compile(r"\{\{([^{}]*)\}\}")


def columns_named(text: str) -> set[str]:
    """What stands in a template's braces: those that are columns are inserted, others are text."""
    return {token[1] for token in _TOKEN.finditer(text) if token[1] is not None}


class Template:
    """A text with the places of some of a table's columns in it.

    An identifier in braces must be a column, and what nearly names one (`{price:.2f}`) is refused by `check`; any
    other brace is literal, so that JSON can be shown in a prompt. `{{` stands for a brace, and so does the `}}` that
    closes it; a `}}` without one is two closing braces of nested JSON.
    """

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self._text = text
        self._columns = columns
        self._unknown: list[str] = []
        self._literal: list[str] = []
        self._parts: list[str | _Place] = []
        self._cut(text)

    @property
    def used(self) -> set[str]:
        """The columns that the template inserts."""
        return {part.column for part in self._parts if isinstance(part, _Place)}

    def check(self, also: Iterable[str] = (), what: str = "prompt") -> None:
        """Raise `UsageError` for a name in braces, or one of `also` (of `--skip-empty`), that is not a column, and for
        braces that nearly name one.

        `what`: what the template is, for the message.
        """
        for name in self._unknown:
            raise UsageError(
                f"the {what} inserts {{{name}}}, but the task is given no column {name!r}",
                f"{suggest(name, self._columns, 'The columns are')} {{{{{name}}}}} stands for the text {{{name}}}.",
            )
        for inside in self._literal:
            if column := meant_column(inside, self._columns):
                text = inside.strip()  # with spaces, doubled braces are taken for those of other languages
                raise UsageError(
                    f"the {what} has {{{inside}}}, which is not filled in: braces take only a column's name",
                    f"write {{{column}}} for the cell as it is, or {{{{{text}}}}} for the text {{{text}}}",
                )
        for name in also:
            if name not in self._columns:
                hint = suggest(name, self._columns, "The columns are")
                raise UsageError(f"--skip-empty: the task is given no column {name!r}", hint)

    def check_notation(self) -> None:
        """Raise `UsageError` for cells that were to be put in as other languages of templates write them."""
        meant = percent_notation(self._text, self._columns) or self._jinja()
        if not (meant or self.used):  # the same question for every row: nobody wants that, with such a text
            meant = other_notation(self._text, self._columns)
        if meant:
            found, column = meant
            raise UsageError(
                f"the prompt has {found}, which is not filled in: cells go where a column stands in single braces",
                f"write {{{column}}}",
            )

    def _jinja(self) -> tuple[str, str] | None:
        for found in _DOUBLED.finditer(self._text):
            if column := meant_by_jinja(found[1], self._columns):
                return found[0], column
        return None

    @property
    def doubled(self) -> set[str]:
        """The columns whose names stand in doubled braces, which make text of them."""
        return {found[1] for found in _DOUBLED.finditer(self._text)} & set(self._columns)

    def render(self, row: dict[str, Any]) -> str:
        """The text for a row. A cell is inserted once: braces in it mean nothing."""
        return "".join(part if isinstance(part, str) else cell_as_text(row[part.column]) for part in self._parts)

    def _cut(self, text: str) -> None:
        at = opened = 0
        for token in _TOKEN.finditer(text):
            self._parts.append(text[at : token.start()])
            at = token.end()
            if token[0] == "{{":
                opened += 1
                self._parts.append("{")
            elif token[0] == "}}":
                self._parts.append("}" if opened else "}}")
                opened -= opened > 0
            else:
                self._parts.append(self._place_or_text(token))
        self._parts.append(text[at:])

    def _place_or_text(self, token: "re.Match[str]") -> "str | _Place":
        name = token[1]
        if name in self._columns:
            return _Place(name)
        if name.isidentifier():
            self._unknown.append(name)
        else:
            self._literal.append(name)
        return token[0]


def check_system(text: str, columns: Sequence[str]) -> None:
    """Raise `UsageError` for a system text in whose braces a column is named, or nearly: no cell is put in there."""
    for token in _TOKEN.finditer(_DOUBLED.sub("", text)):
        inside = token[1]
        if inside is not None and (column := inside if inside in columns else meant_column(inside, columns)):
            raise UsageError(
                f"the system text has {{{inside}}}, which is not filled in: it is the same for all rows",
                f"put {{{column}}} into --prompt, and leave the braces out of --system",
            )


def mentions(word: str, template: str) -> bool:
    """Whether a template's own text has a word, in whatever case; what stands in braces is a column's name."""
    return word in _TOKEN.sub(lambda token: token[0] if re.search("[\"':]", token[1] or '"') else "", template).lower()


class _Place:
    """Where a column's cell goes."""

    __slots__ = ("column",)

    def __init__(self, column: str) -> None:
        self.column = column


def is_empty(cell: Any) -> bool:
    """Whether a cell says nothing: missing, NaN, or blank text."""
    return cell is None or cell != cell or (isinstance(cell, str) and not cell.strip())


def cell_as_text(cell: Any) -> str:
    """A cell as a person would write it: nothing where it is missing, JSON for arrays and objects."""
    if isinstance(cell, str):
        return cell
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, (date, time)):
        return cell.isoformat()
    if isinstance(cell, (bool, dict, list, tuple)):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
