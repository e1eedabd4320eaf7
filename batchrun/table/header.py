"""From the first record of a CSV file to the names of its columns."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from batchrun.errors import InputError

SEPARATORS = {";": "';'", "\t": "tab", "|": "'|'", ",": "','"}


def column_names(path: Path, header: Sequence[str], guessed_sep: str | None) -> tuple[str, ...]:
    """The columns' names; an empty one becomes `Unnamed: 0` (by its place, as in pandas).

    `guessed_sep` is the separator if the user did not name it. Raises `InputError` if two columns share a
    name, or if it looks as if the separator were another one.
    """
    if guessed_sep is not None and len(header) == 1:
        _check_separator(path, header[0], guessed_sep)
    names = tuple(name or f"Unnamed: {place}" for place, name in enumerate(header))
    check_distinct(path, names)
    return names


def column_places(columns: Sequence[str], names: Iterable[str]) -> list[int]:
    """Where some columns stand among all of them. Raises `KeyError` for one that is not there."""
    places = {name: place for place, name in enumerate(columns)}
    return [places[name] for name in names]


def check_distinct(path: Path, names: Sequence[str]) -> None:
    """Raise `InputError` if two columns share a name."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        places = [str(place) for place, name in enumerate(names, 1) if name == twice[0]]
        raise InputError(
            f"{path}: {len(places)} columns are called {twice[0]!r} (columns {', '.join(places)})",
            "Give each column a name of its own.",
        )


def looks_separated(name: str, sep: str) -> str | None:
    """What else than `sep` a column's name seems to be separated by, as `--sep` takes it."""
    return next((said for other, said in SEPARATORS.items() if other != sep and other in name), None)


def _check_separator(path: Path, name: str, sep: str) -> None:
    if said := looks_separated(name, sep):
        raise InputError(
            f"{path}: the header is one column, {name!r}, that looks separated by {said}",
            f"Read it with --sep {said}, or insist on one column with --sep {SEPARATORS.get(sep, repr(sep))}.",
        )
