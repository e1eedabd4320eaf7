"""What a shell offers to complete: tasks, functions, columns, checkpoints. Nothing of the user's is run for it."""

import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

import typer

from batchrun.options.task_name import functions_in

Completion = Callable[..., list[str]]
_NO_TASKS = re.compile(r"^[._]|\.batchrun$")


def completion_of(name: str, choices: Iterable[str]) -> Completion | None:
    """What completes the value of an option of `process`; None for what nobody can know."""
    words = list(choices)

    def chosen(begun: str) -> list[str]:
        return _beginning(begun, words)

    return chosen if words else _OF_OPTIONS.get(name)


def tasks(_: typer.Context, begun: str) -> list[str]:
    """Files of Python with a colon behind them, or the functions of the only one; and the built-in task."""
    file, colon, _rest = begun.rpartition(":")
    if colon:
        return _beginning(begun, _tasks_in(file))
    place = Path(begun).parent if "/" in begun else Path()
    with suppress(OSError):
        folders = [f"{path}/" for path in place.iterdir() if path.is_dir() and not _NO_TASKS.search(path.name)]
        found = _beginning(begun, ["repair", *(f"{path}:" for path in place.glob("*.py")), *folders])
        # A shell ends a word that is the only one with a space.
        return found if len(found) != 1 or not found[0].endswith(":") else _tasks_in(found[0][:-1]) or found
    return []


def _tasks_in(file: str) -> list[str]:
    return sorted(f"{file}:{name}" for name in functions_in(Path(file)))


def columns(context: typer.Context, begun: str) -> list[str]:
    """The columns of the table that has been typed; of a list, its last one."""
    before, comma, _ = begun.rpartition(",")
    return _beginning(begun, (f"{before}{comma}{name}" for name in _columns(context)))


def checkpoints(context: typer.Context, begun: str) -> list[str]:
    """The names of the table's checkpoints."""
    from batchrun.checkpoint.places import folder_of, names_in

    table = _table(context)
    return _beginning(begun, names_in(folder_of(table, context.params.get("dir")))) if table else []


def _types(context: typer.Context, begun: str) -> list[str]:
    return _beginning(
        begun, (f"{name}={kind}" for name in _columns(context) for kind in ("str", "int", "float", "bool"))
    )


_OF_OPTIONS: dict[str, Completion] = {
    "task": tasks,
    "name": checkpoints,
    "dtype": _types,
    **dict.fromkeys(("key", "columns", "stdin", "skip_empty"), columns),
}


def _beginning(begun: str, words: Iterable[str]) -> list[str]:
    return sorted(word for word in words if word.startswith(begun))


def _table(context: typer.Context) -> Path | None:
    """The table that has been typed: in front of an option that lacks its value, words are not sorted yet."""
    said = context.params.get("input") or next(iter(context.args), None)
    return Path(said) if said else None


def _columns(context: typer.Context) -> tuple[str, ...]:
    from batchrun.errors import BatchrunError
    from batchrun.table.detect import open_table
    from batchrun.table.options import ReadOptions

    table = _table(context)
    with suppress(BatchrunError, OSError):
        return tuple(open_table(table, ReadOptions()).columns) if table else ()
    return ()


@contextmanager
def as_bash_has_words(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Bash breaks words at `:` and `=`, and replaces only what is behind the last of them. Where it asks within: make
    whole words of what it gives, and parts of words of what is printed.
    """
    if environment.get("_BATCHRUN_COMPLETE") != "complete_bash":
        yield
        return
    words, at = whole_words(environment["COMP_WORDS"].split("\n"), int(environment["COMP_CWORD"]))
    environment.update(COMP_WORDS="\n".join(words), COMP_CWORD=str(at))
    begun = words[at] if at < len(words) else ""
    value = begun.partition("=")[2] if begun.startswith("--") else begun
    known = value[: len(value) - len(re.split("[:=]", value)[-1])]
    told = io.StringIO()
    try:
        with redirect_stdout(told):
            yield
    finally:
        sys.stdout.writelines(f"{line.removeprefix(known)}\n" for line in told.getvalue().splitlines())


def whole_words(parts: Sequence[str], at: int) -> tuple[list[str], int]:
    """The words that bash has broken, and which of them part `at` is in."""
    words: list[str] = []
    glue, place = False, at
    for number, part in enumerate(parts):
        breaks = bool(part) and not part.strip(":=")
        if words and part and (breaks or glue):
            words[-1] += part
        else:
            words.append(part)
        if number == at:
            place = len(words) - 1
        glue = breaks
    return words, place
