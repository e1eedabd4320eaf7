"""A row's cells as arguments of a program. No cell is ever read as part of a command.

Without a shell the command is split into words first, and cells are put into the words: a cell stays within its
word, whatever is in it. With a shell the command goes to `/bin/sh` with a reference to a variable in the place of each
cell, and the cells are in its environment. The shell expands a variable once and never looks for quotes or commands in
it. (Quoted text put into the command would be read again inside double quotes, here-documents and backticks.)
"""

import re
import shlex
from collections.abc import Collection, Sequence
from typing import Any, NoReturn, Protocol

from batchrun.errors import UsageError
from batchrun.task.prompt.template import Template, cell_as_text, columns_named

SHELL = "/bin/sh"
_SHELLS_OWN = re.compile(r"\$\{([^{}]*)\}")
_SPANS = re.compile(
    r"""
    (?P<literal> '[^']*' | (?<!<)<<-?[ \t]*['"\\](?P<end>\w+) .*? \n\t*(?P=end)(?=\n|\Z) )
    | (?<!<)<<-?[ \t]*(?P<open>\w+) .*? \n\t*(?P=open)(?=\n|\Z)
    | "(?P<quoted>(?: \\. | \$\([^()]*\) | `[^`]*` | [^"\\] )*+)"
    | \\.
    | (?<![^\s;&|()])\#[^\n]*
    """,
    re.DOTALL | re.VERBOSE,
)
"""What a shell does not read as plain words. `literal`: what it takes as it is; `quoted`: what is in double quotes."""
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)|`([^`]*)`")
_ESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\\\0\d+\0")
_COMMAND = r"(?:^|[;&|({`\n]|\b(?:then|do|else|if|while|until)\s)\s*"
_WHERE_IT_COUNTS = (
    r"(?:^|[$\s;&|])\(\((?:(?!\)\)).)*?",
    r"\$\[[^\]]*?",
    r"\w\[[^\]\s]*?",
    r"\[\[(?=(?:(?!\]\]).)*\s-(?:eq|ne|lt|le|gt|ge|v)\s)(?:(?!\]\]).)*?",
    _COMMAND + r"let\s[^;&|\n]*?",
)
"""Text before a cell, or a variable with one, that has `bash` count: `a[$(command)]` as a number runs the command."""
_WHERE_IT_IS_CODE = (
    _COMMAND + r"(?:eval|trap)\s[^;&|\n]*?",
    _COMMAND + r"(?:declare|typeset|local)\s+-\w*[in]\w*\s[^;&|\n]*?",
    _COMMAND + r"(?:printf\s+-v|(?:test|\[)\s+(?:!\s+)?-v|read(?:\s+-\w+)*|unset(?:\s+-\w+)*)\s+\"?",
)
_CELL = r"\0\d+\0"
_COUNTED = re.compile(f"(?:{'|'.join(_WHERE_IT_COUNTS)}){_CELL}", re.DOTALL)
_CODE = re.compile(f"(?:{'|'.join(_WHERE_IT_IS_CODE)}){_CELL}", re.DOTALL)
_TAKEN_OVER = re.compile(rf"(?:(?:^|[\s;&|({{`])(\w+)\+?=[^\s;&|\0]*|\bfor\s+(\w+)\s+in\b[^;\n\0]*){_CELL}")
"""A variable of the script's own that is given a cell."""


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

    def variables(self, row: dict[str, Any]) -> dict[str, str]:
        """What its environment has beside ours."""


def arguments_of(text: str, columns: Sequence[str], *, shell: bool) -> Arguments:
    """Read a command. Raises `UsageError` for one that says nothing, or whose quotes do not close."""
    if not text.strip():
        raise UsageError("--command is empty", "give a program and its arguments: --command 'tool --id {id}'")
    return ByShell(text, columns) if shell else Words(text, columns)


def named_in(text: str, *, shell: bool) -> set[str]:
    """What stands in a command's braces: those that are columns are put in, others are text."""
    if shell:
        return columns_named(_SHELLS_OWN.sub("", text))
    return {name for word in shlex.split(text) for name in columns_named(word)}


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
        """Raise `UsageError` for a name in braces that is not a column, or only nearly one, or is cut at its space."""
        for template in (*self._templates, Template(self._text, self._columns)):  # the whole: before it is cut
            template.check(what="command")
        for column in self._columns:
            if f"{{{column}}}" in self._text and column not in self.used and len(shlex.split(f"x{column}x")) > 1:
                raise UsageError(
                    f"the command's {{{column}}} is split at its space", f"put it in quotes: '{{{column}}}'"
                )

    def of(self, row: dict[str, Any]) -> list[str]:
        """One argument for each word of the command; a missing cell leaves an empty one."""
        return [template.render(row) for template in self._templates]

    def variables(self, row: dict[str, Any]) -> dict[str, str]:
        """None: the program sees the cells in its arguments."""
        return {}


class ByShell:
    """Arguments for a shell: the command, in which each cell is a variable."""

    program = SHELL

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self._template = Template(_SHELLS_OWN.sub(r"${{\1}}", text), columns)
        self.used = sorted(self._template.used, key=list(columns).index)
        self._variables = {column: f"batchrun_{number}" for number, column in enumerate(self.used, start=1)}
        # Alike in quotes, out of them and in a here-document: the cell, and never more than one word.
        self._script = self._template.render(
            {column: f'${{{variable}+"${variable}"}}' for column, variable in self._variables.items()}
        )

    def check(self) -> None:
        """Raise `UsageError` for a name in braces that is not a column, or stands where a variable would be wrong."""
        self._template.check(what="command")
        marked = self._template.render({column: f"\0{number}\0" for number, column in enumerate(self.used)})
        if found := _COUNTED.search(marked) or _counted_later(marked):
            self._refuse(
                found,
                "is inside ((...)), or where bash evaluates it as arithmetic anyway: a cell could be read as code",
                "let expr or awk count",
            )
        if found := _CODE.search(marked):
            self._refuse(found, "is where a shell reads code, or a variable's name", "pass it as an argument")
        if found := _ESCAPED.search(marked):
            self._refuse(found, "comes after a backslash: the shell inserts nothing there", "leave the backslash out")
        if found := _literal(marked):
            self._refuse(
                found,
                "is inside single quotes, or in a here-document that begins with quotes: "
                "the shell inserts nothing there",
                "leave the quotes out (a cell needs none), or use double quotes around {name}",
            )

    def _refuse(self, found: "re.Match[str]", why: str, remedy: str) -> NoReturn:
        name = f"{{{self.used[int(found[0].split(chr(0))[1])]}}}"
        raise UsageError(f"the command's {name} {why}", remedy.format(name=name))

    def of(self, row: dict[str, Any]) -> list[str]:
        """The shell with the command."""
        return [SHELL, "-c", self._script]

    def variables(self, row: dict[str, Any]) -> dict[str, str]:
        """The cells that the command uses."""
        return {variable: cell_as_text(row[column]) for column, variable in self._variables.items()}


def _counted_later(marked: str) -> "re.Match[str] | None":
    """Where a variable is given a cell that the script then counts with."""
    for taken in _TAKEN_OVER.finditer(marked):
        name = re.escape(taken[1] or taken[2])
        if re.search(rf"(?:{'|'.join(_WHERE_IT_COUNTS)})(?<!\w){name}(?!\w)", marked, re.DOTALL):
            return taken
    return None


def _literal(marked: str) -> "re.Match[str] | None":
    """Text with a cell's place in it that a shell takes as it is. Quotes within those of substitutions are not seen."""
    for span in _SPANS.finditer(marked):
        if span["literal"] and "\0" in span["literal"]:
            return span
        for inner in _SUBSTITUTION.finditer(span["quoted"] or ""):
            if found := _literal(inner[1] or inner[2] or ""):
                return found
    return None
