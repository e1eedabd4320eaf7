"""How a table is to be read, and which of its columns the task is given."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

from batchrun.core.suggest import listing, suggest
from batchrun.errors import InputError

from .header import column_places
from .interface import FILES, Cells
from .members import FILE_COLUMN

DTYPES = ("str", "int", "float", "bool")
FORM = 2
"""The form of rows' names (see `fingerprint`). A checkpoint keeps the one that it began with."""
_SEPARATORS = {"tab": "\t", "\\t": "\t"}


@dataclass(frozen=True)
class ReadOptions:
    """What the user said about the input; each field is an option of the same name on the command line.

    `columns`: only these are given to the task. `content`: those of them that make up a row's content, where the task
    says which ones it reads (names that the table does not have don't count). `key`: these name a row.
    `dtypes`: column -> `str`, `int`, `float` or `bool`; `missing`: words that stand for no value in columns of numbers
    and booleans, beside the usual ones (both CSV only; other formats carry their own types).
    `no_header`, `skip_lines`, `escape` are for CSV, too. `skip_lines` None: nobody has said where the header is.
    `file_column`: a column more says which of several files a row is from. `table`, `sheet`: which one of a database or
    a workbook; None for the only one.
    `form`: that of the rows' names, which is the checkpoint's to say.
    """

    encoding: str | None = None
    sep: str | None = None
    skip_bad_rows: bool = False
    dtypes: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    key: tuple[str, ...] | None = None
    no_header: bool = False
    skip_lines: int | None = None
    escape: str | None = None
    content: tuple[str, ...] | None = None
    file_column: bool = False
    table: str | None = None
    sheet: str | None = None
    form: int = FORM

    @property
    def forced_types(self) -> Mapping[str, str]:
        """The types of columns that are no matter of their cells."""
        return {**self.dtypes, FILE_COLUMN: "str"} if self.file_column else self.dtypes

    @property
    def identity(self) -> tuple[str, ...] | None:
        """The columns that make up a row's content; None for all."""
        return self.columns if self.content is None else self.content

    def as_fact(self) -> dict[str, Any]:
        """For the checkpoint, as JSON."""
        return {
            "columns": list(self.columns or ()),
            "key": list(self.key or ()),
            "content": None if self.content is None else list(self.content),
            "dtype": dict(self.dtypes),
            "missing": sorted(self.missing),
            "encoding": self.encoding,
            "sep": self.sep,
            "bad_rows": "skip" if self.skip_bad_rows else "stop",
            "no_header": self.no_header,
            "skip_lines": self.skip_lines or 0,
            "escape": self.escape,
            # What is not said is left out, as in checkpoints that know nothing of it.
            **({"file_column": True} if self.file_column else {}),
            **({"table": self.table} if self.table else {}),
            **({"sheet": self.sheet} if self.sheet else {}),
            **({"form": self.form} if self.form > 1 else {}),
        }

    @classmethod
    def of(cls, fact: Mapping[str, Any]) -> Self:
        """From what `as_fact` had made, of an earlier version too."""
        content = fact.get("content")
        return cls(
            columns=tuple(fact["columns"]) or None,
            key=tuple(fact["key"]) or None,
            content=None if content is None else tuple(content),
            dtypes=fact["dtype"],
            missing=tuple(fact.get("missing", ())),
            encoding=fact["encoding"],
            sep=fact["sep"],
            skip_bad_rows=fact["bad_rows"] == "skip",
            no_header=fact.get("no_header", False),
            skip_lines=fact.get("skip_lines", 0),
            escape=fact.get("escape"),
            form=form_in(fact),
            file_column=fact.get("file_column", False),
            table=fact.get("table"),
            sheet=fact.get("sheet"),
        )


def form_in(fact: Mapping[str, Any]) -> int:
    """The form of the names of rows that were read with these options (see `ReadOptions.as_fact`)."""
    return int(fact.get("form", 1))


def separator(options: ReadOptions, default: str) -> str:
    """The one character between cells. Raises `InputError` if `--sep` cannot be one."""
    if options.sep is None:
        return default
    sep = _SEPARATORS.get(options.sep, options.sep)
    if len(sep) != 1 or sep in '"\r\n\0':
        raise InputError(
            f"--sep {options.sep!r} cannot separate cells",
            "Give one character that is neither a quote nor a line break, such as --sep ';' or --sep tab.",
        )
    return sep


def escape_of(options: ReadOptions, sep: str) -> str | None:
    """What stands before a quote within quotes; None for a doubled one. Raises `InputError` if it cannot."""
    escape = options.escape
    if escape in (None, '"'):
        return None
    if len(escape) != 1 or escape in f"{sep}\r\n\0":
        raise InputError(
            f"--escape {escape!r} cannot come before a quote",
            "Give one character that is neither the separator nor a line break, such as --escape '\\'.",
        )
    return escape


_OF_KINDS = {
    "--no-header": ("csv",),
    "--escape": ("csv",),
    "--skip-lines": ("csv", "xlsx"),
    "--table": ("sqlite",),
    "--sheet": ("xlsx",),
}
"""Options that only tables of some kinds have a use for."""


def check_for_kind(path: Path, kind: str, options: ReadOptions) -> None:
    """Raise `InputError` if an option is said that a table of this kind has no use for."""
    said = {
        "--no-header": options.no_header,
        "--escape": options.escape,
        "--skip-lines": options.skip_lines,
        "--table": options.table,
        "--sheet": options.sheet,
    }
    for option in (name for name, value in said.items() if value and kind not in _OF_KINDS[name]):
        fit = " and ".join(FILES[each] for each in _OF_KINDS[option])
        raise InputError(f"{option} is for {fit}, and {path} is not one", f"Leave {option} out.")
    for option, told in (("--dtype", options.dtypes), ("--missing", options.missing)):
        if told and kind != "csv":
            raise InputError(
                f"{option} is for CSV files: the values of {path} have types of their own",
                f"Leave {option} out and convert within the task.",
            )


def check_columns(columns: Sequence[str], options: ReadOptions) -> None:
    """Raise `InputError` if an option names a column that the table does not have, or an unknown type."""
    for option, names in (("--columns", options.columns), ("--key", options.key)):
        if names is not None and not names:
            raise InputError(f"{option} names no column", f"The table has {listing(columns)}.")
        _check_names(option, names or (), columns)
    _check_names("--dtype", options.dtypes, columns)
    for name, dtype in options.dtypes.items():
        if dtype not in DTYPES:
            raise InputError(f"--dtype {name}={dtype}: no such type", suggest(dtype, DTYPES, "Types"))


def task_columns(columns: Sequence[str], options: ReadOptions) -> tuple[str, ...]:
    """The columns that the task is given, in file order. Raises `InputError` for an unknown one."""
    _check_names("--columns", options.columns or (), columns)
    return present(columns, options.columns)


def present(columns: Sequence[str], chosen: Sequence[str] | None) -> tuple[str, ...]:
    """Those of `columns` that were chosen (None = all)."""
    return tuple(columns) if chosen is None else tuple(name for name in columns if name in chosen)


def needed(options: ReadOptions) -> frozenset[str] | None:
    """The columns that the task is given or that name its rows (None = all)."""
    return None if options.columns is None else frozenset((*options.columns, *(options.key or ())))


def pick(columns: Sequence[str], options: ReadOptions) -> Callable[[Sequence[Cells]], Sequence[Cells]]:
    """A function from full rows to their cells of the task's columns."""
    wanted = task_columns(columns, options)
    return cells_at(column_places(columns, wanted), len(columns))


def cells_at(indices: Sequence[int], width: int) -> Callable[[Sequence[Cells]], Sequence[Cells]]:
    """A function from rows of `width` cells to their cells at `indices`, always as tuples."""
    if list(indices) == list(range(width)):
        return lambda rows: rows
    if len(indices) > 1:
        getter = itemgetter(*indices)
        return lambda rows: list(map(getter, rows))
    return lambda rows: [tuple(row[index] for index in indices) for row in rows]


def _check_names(option: str, names: Iterable[str], columns: Sequence[str]) -> None:
    for name in names:
        if name not in columns:
            raise InputError(f"{option}: the table has no column {name!r}", suggest(name, columns, "The columns are"))
