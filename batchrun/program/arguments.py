"""A row's cells as arguments of a program. No cell is ever read as part of a command.

Without a shell the command is split into words first, and cells are put into the words: a cell stays within its
word, whatever is in it. With a shell the command goes to `/bin/sh` as it is, and cells are its parameters: `{name}`
becomes `"${1}"`. The shell expands that once and never looks for quotes or commands in it. (Quoted text put
into the command would be read again inside double quotes, here-documents, comments and backticks.)
"""

import re
import shlex
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from batchrun.errors import UsageError
from batchrun.prompt.template import Template, as_text

SHELL = "/bin/sh"
_SHELLS_OWN = re.compile(r"\$\{([^{}]*)\}")
_PLACE = re.compile(r"\0(\d+)\0")


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
        """Raise `UsageError` for a name in braces that is no column, or one that is cut at its space."""
        for template in self._templates:
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
        # `${HOME}` is the shell's own.
        self._template = Template(_SHELLS_OWN.sub(r"${{\1}}", text), columns)
        self.used = sorted(self._template.used, key=list(columns).index)
        marks = {column: f"\0{number}\0" for number, column in enumerate(self.used, start=1)}
        self._marked = self._template.render(marks)

    def check(self) -> None:
        """Raise `UsageError` for a name in braces that is no column, or one where the shell puts nothing in."""
        self._template.check(what="command")
        self._script()

    def of(self, row: dict[str, Any]) -> list[str]:
        """The shell with the command, a name for `$0`, and the cells."""
        return [SHELL, "-c", self._script(), "batchrun", *(as_text(row[column]) for column in self.used)]

    def _script(self) -> str:
        """The command with a parameter in the place of each cell, quoted unless it stands in quotes already."""
        parts, quote, at = [], "", 0
        while at < len(self._marked):
            char, place = self._marked[at], _PLACE.match(self._marked, at)
            if place:
                parts.append(self._parameter(place[1], quote))
                at = place.end()
                continue
            if char == "\\" and quote != "'":
                char = self._marked[at : at + 2]
                if char == "\\\0":
                    self._refuse(self._marked[at + 2 :].partition("\0")[0])
            elif char == quote:
                quote = ""
            elif char in "'\"" and not quote:
                quote = char
            parts.append(char)
            at += len(char)
        return "".join(parts)

    def _parameter(self, number: str, quote: str) -> str:
        if quote == "'":
            self._refuse(number)
        return f"${{{number}}}" if quote else f'"${{{number}}}"'

    def _refuse(self, number: str) -> None:
        name = f"{{{self.used[int(number) - 1]}}}"
        raise UsageError(
            f"the command's {name} stands inside single quotes, or after a backslash: the shell puts nothing in there",
            f"leave the quotes out (cells are quoted as it is), or use double quotes around {name}",
        )
