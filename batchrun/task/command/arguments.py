"""A row's cells as arguments of a program. No cell is ever read as part of a command.

Without a shell the command is split into words first, and cells are put into the words: a cell stays within its
word, whatever is in it. With a shell the command goes to `/bin/sh` as it is, and cells are its parameters: `{name}`
becomes `"${1}"`. The shell expands that once and never looks for quotes or commands in it. (Quoted text put
into the command would be read again inside double quotes, here-documents, comments and backticks.)
"""

import re
import shlex
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any, Protocol

from batchrun.errors import UsageError
from batchrun.task.prompt.template import Template, as_text, names_in

SHELL = "/bin/sh"
_SHELLS_OWN = re.compile(r"\$\{([^{}]*)\}")
_PLACE = re.compile(r"\0(\d+)\0")
_TOKENS = re.compile(r"\\.|\$\(\(|\$\(|<<<|<<-?[ \t]*(?:'[^'\n]*'|\"[^\"\n]*\"|[^\s;&|<>()]+)", re.DOTALL)
_IN_SINGLE_QUOTES = (
    "stands inside single quotes, or after a backslash: the shell puts nothing in there",
    "leave the quotes out (cells are quoted as it is), or use double quotes around {name}",
)


class Arguments(Protocol):
    """What makes a row's arguments."""

    @property
    def program(self) -> str | None:
        """The program, if its name is the same for all rows."""

    @property
    def used(self) -> Collection[str]:
        """The columns whose cells are put in."""

    def check(self) -> None:
        """Raise `UsageError` for a command that cannot be right."""

    def of(self, row: dict[str, Any]) -> list[str]:
        """The program and its arguments for a row."""


def arguments_of(text: str, columns: Sequence[str], *, shell: bool) -> Arguments:
    """Read a command. Raises `UsageError` for one that says nothing, or whose quotes do not close."""
    if not text.strip():
        raise UsageError("--command is empty", "give a program and its arguments: --command 'tool --id {id}'")
    return ByShell(text, columns) if shell else Words(text, columns)


def named_in(text: str, *, shell: bool) -> set[str]:
    """What stands in a command's braces: those that are columns are put in, others are text."""
    if shell:
        return names_in(_without_variables(text))
    return {name for word in shlex.split(text) for name in names_in(word)}


def _without_variables(text: str) -> str:
    """`${HOME}` is the shell's own."""
    return _SHELLS_OWN.sub(r"${{\1}}", text)


class Words:
    """Arguments made without a shell."""

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self._text, self._columns = text, columns
        try:
            self._words = shlex.split(text)
        except ValueError as error:
            hint = "close the quotes; what is in quotes is one argument"
            raise UsageError(f"--command cannot be split into words: {error}", hint) from None
        self._templates = [Template(word, columns) for word in self._words]
        self.used = {column for template in self._templates for column in template.used}

    @property
    def program(self) -> str | None:
        """The first word, unless a cell may be a part of it."""
        return None if "{" in self._words[0] else self._words[0]

    def check(self) -> None:
        """Raise `UsageError` for a name in braces that is no column, or nearly one, or is cut at its space."""
        for template in (*self._templates, Template(self._text, self._columns)):  # the whole: before it is cut
            template.check(what="command")
        for column in self._columns:
            if f"{{{column}}}" in self._text and column not in self.used and len(shlex.split(f"x{column}x")) > 1:
                raise UsageError(
                    f"the command's {{{column}}} is cut into words at its space", f"put it in quotes: '{{{column}}}'"
                )

    def of(self, row: dict[str, Any]) -> list[str]:
        """One argument for each word of the command; a missing cell leaves an empty one."""
        return [template.render(row) for template in self._templates]


class ByShell:
    """Arguments for a shell: the command, then the cells that it uses."""

    program = SHELL

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self._template = Template(_without_variables(text), columns)
        self.used = sorted(self._template.used, key=list(columns).index)
        marks = {column: f"\0{number}\0" for number, column in enumerate(self.used, start=1)}
        self._marked = self._template.render(marks)

    def check(self) -> None:
        """Raise `UsageError` for a name in braces that is no column, or one where the shell puts nothing in."""
        self._template.check(what="command")
        _ = self._script

    def of(self, row: dict[str, Any]) -> list[str]:
        """The shell with the command, a name for `$0`, and the cells."""
        return [SHELL, "-c", self._script, "batchrun", *(as_text(row[column]) for column in self.used)]

    @cached_property
    def _script(self) -> str:
        """The command with a parameter in the place of each cell, quoted unless it stands in quotes already."""
        parts: list[str] = []
        reading = _Reading()
        at = 0
        while at < len(self._marked):
            if place := _PLACE.match(self._marked, at):
                parts.append(self._parameter(place[1], reading))
                at = place.end()
                continue
            found = None if reading.quote == "'" else _TOKENS.match(self._marked, at)
            token = found[0] if found else self._marked[at]
            at += len(token)
            if token == "\\\0":
                self._refuse(self._marked[at:].partition("\0")[0], *_IN_SINGLE_QUOTES)
            reading.take(token)
            parts.append(token)
        return "".join(parts)

    def _parameter(self, number: str, reading: "_Reading") -> str:
        if reading.quote == "'":
            self._refuse(number, *_IN_SINGLE_QUOTES)
        if reading.counts:
            self._refuse(number, "stands inside $((...)), which would read the cell as code", "let expr or awk count")
        if reading.in_document and set(reading.documents[0]) & set("'\"\\"):
            self._refuse(
                number,
                "stands in a here-document with quotes at its beginning: the shell puts nothing in there",
                "leave these quotes out (what is in a cell is text there as well)",
            )
        return f"${{{number}}}" if reading.quote or reading.in_document else f'"${{{number}}}"'

    def _refuse(self, number: str, why: str, remedy: str) -> None:
        name = f"{{{self.used[int(number) - 1]}}}"
        raise UsageError(f"the command's {name} {why}", remedy.format(name=name))


class _Reading:
    """Where in a command the reader is: in which `quote`, in which substitutions, each with quotes of its own.

    `documents`: the ends of here-documents ahead, the first of which may have begun (`in_document`).
    """

    def __init__(self) -> None:
        self.quote = ""
        self.documents: list[str] = []
        self.in_document = False
        self._line = ""
        self._open: list[tuple[str, str]] = []

    @property
    def counts(self) -> bool:
        """Whether this is arithmetic."""
        return any(opened == "$((" for opened, _ in self._open)

    def take(self, token: str) -> None:
        """Read on. A backslash and what follows it are one token."""
        if self.in_document:
            self._take_text(token)
        elif self.quote == "'" or token == self.quote:
            self.quote = "" if token == self.quote else self.quote
        elif token == "`" and not self.quote and self._open and self._open[-1][0] == "`":
            self.quote = self._open.pop()[1]
        elif token in ("$(", "$((", "`"):
            self._open.append((token, self.quote))
            self.quote = ""
            if token == "$((":
                self._open.append(("(", ""))
        elif not self.quote:
            self._take_plain(token)

    def _take_plain(self, token: str) -> None:
        if token in ("'", '"'):
            self.quote = token
        elif token == "(":
            self._open.append((token, ""))
        elif token == ")" and self._open and self._open[-1][0] != "`":
            self.quote = self._open.pop()[1]
        elif token.startswith("<<") and token != "<<<" and not self.counts:  # there, it shifts bits
            self.documents.append(token.lstrip("<-").strip())
        elif token == "\n":
            self.in_document = bool(self.documents)

    def _take_text(self, token: str) -> None:
        if token != "\n":
            self._line += token
        elif self._line.lstrip("\t") == re.sub(r"[\\'\"]", "", self.documents[0]):
            del self.documents[0]
            self.in_document, self._line = bool(self.documents), ""
        else:
            self._line = ""
