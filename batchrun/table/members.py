"""Which files a table is made of: one file, those of one kind in a folder, or all that a pattern names."""

import glob
import json
import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from batchrun.errors import InputError

from .files import PARQUET_MAGIC, head_of, unreadable

FILE_COLUMN = "batchrun_file"
"""The column that says which file a row is from, if it is asked for."""

PARQUET_NAMES = (".parquet", ".parq", ".pq")
_COMPRESSED = r"(\.(gz|bz2|xz|zst))?"
_TEXT_KINDS = {
    "CSV": re.compile(rf".*\.csv{_COMPRESSED}"),
    "TSV": re.compile(rf".*\.(tsv|tab){_COMPRESSED}"),
    "JSON Lines": re.compile(rf".*\.(jsonl|ndjson){_COMPRESSED}"),
}
_MARKER = re.compile(r"[_.].*")
"""Written by the tools that write folders of files."""
_RESULTS = re.compile(r".*\.results\..*")
"""Our own results, which are no part of a table unless it is a table of results."""
_WILD = re.compile(r"[*?[]")


def is_pattern(path: Path) -> bool:
    """Whether a path names files by wildcards. A file whose own name has such characters is that file."""
    return _WILD.search(str(path)) is not None and not os.path.lexists(path)


def is_several(path: Path) -> bool:
    """Whether a table may be made of several files."""
    return path.is_dir() or is_pattern(path)


def files_of(path: Path) -> list[Path]:
    """The file itself (and an SQLite database's log); or those of a folder, or of a pattern, in the natural order of
    their names (2 before 10).

    Of a folder these are its Parquet files, or else its files of text of one kind. Names that start with `_` or `.`
    are markers of the tools that write such folders, and are ignored, as are our own results. Not so the folder of a
    Delta table: which of its files count, only its log says. Raises `InputError` where there are none, or of several
    kinds.
    """
    if path.is_dir():
        return _files_in(path)
    return _files_like(path) if is_pattern(path) else [path, *_log_of(path)]


def _log_of(path: Path) -> list[Path]:
    """The log of an SQLite database, which holds what has changed last, if there is anything in it."""
    log = Path(f"{path}-wal")
    return [log] if log.exists() and log.stat().st_size else []


def unread_files(path: Path) -> list[Path]:
    """Files that bear a table's name and lie in a folder that is a table, or below it, but are not read with it."""
    if not path.is_dir():
        return []
    read = set(files_of(path))
    return [file for file in _named_like_tables(path) if file not in read]


def name_in(path: Path, file: Path) -> str:
    """What a file of a table is called: its path from the table's folder."""
    return file.name if file == path else file.relative_to(_base(path)).as_posix()


def would_belong(path: Path, target: Path) -> bool:
    """Whether a file at `target` would be one of the files of `path`, a folder or a pattern."""
    base = _base(path)
    if path.is_dir():
        return os.path.samefile(path, target.parent)
    if not is_pattern(path) or (_RESULTS.fullmatch(target.name) and not _RESULTS.fullmatch(path.name)):
        return False
    target, base = Path(os.path.abspath(target)), Path(os.path.abspath(base))
    return base in target.parents and _fits(
        target.relative_to(base).parts, Path(os.path.abspath(path)).relative_to(base).parts
    )


def stand_in(path: Path) -> Path:
    """The path that a table's checkpoint and results are named after: itself, or of a pattern one without wildcards.

    `logs/part-*.csv` has its places in `logs`, named after `part-all.csv.files`: no file is likely to be called so.
    """
    if not is_pattern(path):
        return path
    base = _base(path)
    wild = "-".join(path.relative_to(base).parts)
    return base / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', re.sub(r'[*]+', 'all', wild))}{PATTERN_ENDING}"


def file_cell(path: Path, file: Path) -> str:
    """What `FILE_COLUMN` says of a file's rows."""
    return name_in(path, file).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


PATTERN_ENDING = ".files"
"""Ends the name after which the places of a pattern's table are named."""


def _base(path: Path) -> Path:
    """The folder in which a table's files are: that before the first wildcard of a pattern.

    A folder on the way whose own name has such characters is that folder.
    """
    if path.is_dir():
        return path
    base = Path()
    for part in path.parts[:-1]:
        if _WILD.search(part) and not (base / part).exists():
            break
        base /= part
    return base


def _fits(parts: Sequence[str], wild: Sequence[str]) -> bool:
    if not wild or not parts:
        return not wild and not parts
    if wild[0] == "**":
        return _fits(parts, wild[1:]) or _fits(parts[1:], wild)
    return fnmatchcase(parts[0], wild[0]) and _fits(parts[1:], wild[1:])


def _files_in(path: Path) -> list[Path]:
    if (path / "_delta_log").is_dir():
        raise InputError(
            f"{path} is a Delta table: its folder also holds rows that were deleted or replaced",
            "Take a snapshot: pyarrow.parquet.write_table(deltalake.DeltaTable(PATH).to_pyarrow_table(), FILE); "
            "give that file.",
        )
    try:
        names = [name for name in os.listdir(path) if not _MARKER.fullmatch(name)]
        kinds = {file: kind for file in _in_order(path, names) if (kind := _kind_of(file))}
    except OSError as error:
        raise unreadable(path, error) from error
    if not kinds:
        raise _without_tables(path)
    wanted = "Parquet" if "Parquet" in kinds.values() else next(iter(kinds.values()))
    files = _but_results([file for file, kind in kinds.items() if kind == wanted])
    other = next((file for file in _but_results(kinds) if kinds[file] != wanted), None)
    if other and wanted != "Parquet":
        raise InputError(
            f"{path} holds tables of several kinds: {files[0].name} ({wanted}), {other.name} ({kinds[other]})",
            f"Name those of one kind with a quoted pattern: {_pattern_of(path, files[0])}",
        )
    return files


def _files_like(path: Path) -> list[Path]:
    base = _base(path)
    try:
        names = glob.glob(str(path.relative_to(base)), root_dir=base, recursive=True)
        files = [name for name in names if (base / name).is_file() and not _is_other(path, Path(name))]
    except OSError as error:
        raise unreadable(path, error) from error
    if not files:
        home = " In quotes the shell leaves ~ as it is: write $HOME." if path.parts[0].startswith("~") else ""
        raise InputError(
            f"no file matches {path}",
            f"Check the pattern: * matches any part of a name, ** any folders on the way.{home}",
        )
    return _but_results(_in_order(base, files))


def _is_other(path: Path, file: Path) -> bool:
    """Whether a file is hardly meant by a pattern: a marker, or what is in a checkpoint's folder."""
    ours = any(part.endswith(".batchrun") for part in file.parent.parts)
    return ours or (_MARKER.fullmatch(file.name) is not None and not _MARKER.fullmatch(path.name))


def _but_results(files: Collection[Path]) -> list[Path]:
    return [file for file in files if not _RESULTS.fullmatch(file.name)] or list(files)


def _in_order(base: Path, names: Iterable[str]) -> list[Path]:
    return [
        base / name for name in sorted(names, key=lambda name: [(_natural(part), part) for part in Path(name).parts])
    ]


def _natural(name: str) -> list[str | int]:
    """Text and numbers by turns."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", name))]


def _kind_of(file: Path) -> str | None:
    """By the name of a file; one whose name says nothing is asked whether it is Parquet."""
    name = file.name.lower()
    if not file.is_file():
        return None
    if kind := next((kind for kind, names in _TEXT_KINDS.items() if names.fullmatch(name)), None):
        return kind
    return "Parquet" if name.endswith(PARQUET_NAMES) or head_of(file, 4) == PARQUET_MAGIC else None


def _without_tables(path: Path) -> InputError:
    below = list(_named_like_tables(path))
    parquet = [file for file in below if file.name.lower().endswith(PARQUET_NAMES)]
    if parquet:
        whole, one = json.dumps(str(path)), json.dumps(f"{path}.parquet")
        code = f"import pyarrow.parquet as p; p.write_table(p.read_table({whole}), {one})"
        return InputError(
            f"{path} has no Parquet files of its own, and subfolders are not read: {_some(path, parquet)}",
            f"Give one of these folders, such as {shlex.quote(str(parquet[0].parent))}; or make one file of all, "
            f"with the folders' names as columns: python -c {shlex.quote(code)}",
        )
    if below:
        return InputError(
            f"{path} has no tables of its own, and subfolders are not read: {_some(path, below)}",
            f"Give one of these folders, or name the files with a quoted pattern: {_pattern_of(path / '**', below[0])}",
        )
    return InputError(
        f"{path} is a folder without tables",
        "Give a file, or a folder of CSV, TSV, JSON Lines or Parquet files. Name files with other endings "
        f"with a quoted pattern: {shlex.quote(str(path / '*.txt'))}",
    )


def _pattern_of(folder: Path, file: Path) -> str:
    """For files that are called like one of them, as it is typed."""
    ending = re.search(rf"\.[^.]+{_COMPRESSED}$", file.name)
    return shlex.quote(str(folder / f"*{ending[0] if ending else ''}"))


def _some(path: Path, files: Sequence[Path]) -> str:
    more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
    return f"{files[0].relative_to(path)}{more}"


def _named_like_tables(path: Path) -> Iterator[Path]:
    """In the order of their names; neither checkpoints nor what `files_of` ignores is looked into."""
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(
            name for name in folders if not name.startswith(("_", ".")) and not name.endswith(".batchrun")
        )
        yield from (Path(folder, name) for name in sorted(names) if _is_named_like_table(name))


def _is_named_like_table(name: str) -> bool:
    low = name.lower()
    told = low.endswith(PARQUET_NAMES) or any(names.fullmatch(low) for names in _TEXT_KINDS.values())
    return told and not _MARKER.fullmatch(name) and not _RESULTS.fullmatch(name)
