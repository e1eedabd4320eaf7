"""What `--command` and its options say, as plain data."""

import json
import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import xxhash

from batchrun.core.suggest import listing, suggest
from batchrun.errors import TaskError, UsageError
from batchrun.task.prompt.template import cell_as_text

from .arguments import Arguments, arguments_of, named_in


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is started for each row; what it writes to stdout is the reply, and nothing is null.

    `text`: the command, with `{column}` in it. `shell`: let `/bin/sh` read it. `stdin`: the column whose cell
    the program reads from its standard input; without one it finds nothing there. `elsewhere`: rows run on other
    machines.
    """

    text: str
    shell: bool = False
    stdin: str | None = None
    elsewhere: bool = False

    @property
    def is_async(self) -> bool:
        """A row has its own process, which can be killed with its children."""
        return False

    @property
    def version(self) -> str:
        """Digest of the command's text and of how it is read."""
        return xxhash.xxh3_128_hexdigest(json.dumps([self.text, self.shell, self.stdin]).encode())

    @property
    def schema(self) -> None:
        """Any JSON will do."""

    @property
    def asks_for_json(self) -> bool:
        """A command's words are not read by anybody who would answer."""
        return False

    @property
    def libraries(self) -> tuple[str, ...]:
        """None: the program is a process of its own."""
        return ()

    @property
    def named(self) -> frozenset[str]:
        """The columns that the command inserts, and that of `--stdin`."""
        return frozenset((*named_in(self.text, shell=self.shell), *([] if self.stdin is None else [self.stdin])))

    def check(self, columns: Sequence[str]) -> None:
        """Raise `UsageError` for a command that cannot be read, or that names a column that is not there."""
        self.arguments(columns).check()
        if self.stdin is not None and self.stdin not in columns:
            hint = suggest(self.stdin, columns, "The columns are")
            raise UsageError(f"--stdin: the task is given no column {self.stdin!r}", hint)

    def note(self, columns: Sequence[str]) -> str | None:
        """A sentence if the same would run for every row."""
        if self.stdin is not None or self.arguments(columns).used:
            return None
        return (
            "the command names no column, and there is no --stdin: it is the same for every row "
            f"(the columns are: {listing(columns)})"
        )

    def require(self) -> None:
        """Raise `TaskError` if there is no such program, where rows run on this machine."""
        name = self.arguments(()).program
        if name is not None and not self.elsewhere:
            found(name)

    def preview(self, row: dict[str, Any]) -> str:
        """The command that would run for a row, as it could be typed."""
        arguments = self.arguments(tuple(row))
        variables = [f"{name}={shlex.quote(value)}" for name, value in arguments.variables(row).items()]
        line = " ".join([*variables, shlex.join(arguments.of(row))])
        return line if self.stdin is None else f"{line}\n\nstdin: {cell_as_text(row[self.stdin])}"

    def arguments(self, columns: Sequence[str]) -> Arguments:
        """What makes a row's arguments, for a table with these columns."""
        return arguments_of(self.text, columns, shell=self.shell)

    def __str__(self) -> str:
        return f"command {self.text.split()[0]}"


def found(name: str) -> str:
    """The path of a program. Raises `TaskError` if there is none."""
    path = shutil.which(name)
    if path is not None:
        return os.path.abspath(path)
    if os.sep in name and os.path.exists(name):
        raise TaskError(f"the program {name!r} is not executable", f"make it executable: chmod +x {name}")
    raise TaskError(f"there is no program {name!r}", "check --command: its first word is the program")
