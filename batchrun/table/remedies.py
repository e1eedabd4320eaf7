"""Commands to paste that make a readable table of one that is not. None writes to the file that it reads."""

import os
import shlex
from itertools import chain, count
from pathlib import Path

from .compression import compression_of

_UNPACK = {"gzip": "gzip -dc", "bzip2": "bzip2 -dc", "xz": "xz -dc", "zstd": "zstd -dc"}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


def bare_name(path: Path) -> str:
    """The file's name without the ending that says how it is compressed."""
    stem, ending = os.path.splitext(path.name)
    return stem if stem and ending.lower() in _COMPRESSED else path.name


def converted(path: Path, program: str, ending: str, encoding: str = "utf-8") -> str:
    """A shell command: `program` reads the file's text, unpacked and in UTF-8, and a new file is made beside it.

    `program` is empty where unpacking is all. `ending`: that of the new file, such as `.jsonl`.
    """
    compression = compression_of(path)
    unpack = [_UNPACK[compression]] if compression else []
    recode = [] if encoding.startswith("utf-8") else [f"iconv -f {encoding} -t utf-8"]
    first, *others = [*unpack, *recode, *([program] if program else [])] or ["cat"]
    pipe = " | ".join([f"{first} < {shlex.quote(str(path))}", *others])
    return f"{pipe} > {shlex.quote(str(_free(path, ending)))}"


def with_longer_header(path: Path, line: int, sep: str, encoding: str) -> str:
    """The command that ends the header, on this line, with a separator as each row does."""
    edit = rf"{line}s/\r*$/{_in_sed(sep)}&/"
    return _fixed(path, f"sed {shlex.quote(edit)}", encoding)


def with_first_name(path: Path, line: int, name: str, sep: str, encoding: str) -> str:
    """The command that puts a name before the header on this line."""
    return _fixed(path, f"sed {shlex.quote(f'{line}s/^/{name}{_in_sed(sep)}/')}", encoding)


def without_space_before_quotes(path: Path, sep: str, encoding: str) -> str:
    """The command that removes spaces after separators, where a quote may follow."""
    return _read_as(path, sep, "skipinitialspace=True", encoding)


def with_double_quotes(path: Path, sep: str, encoding: str) -> str:
    """The command that puts double quotes in place of single ones, where they are needed."""
    return _read_as(path, sep, "quotechar=chr(39)", encoding)


def _read_as(path: Path, sep: str, how: str, encoding: str) -> str:
    program = (
        "import csv, sys; sys.stdout.reconfigure(encoding='utf-8', newline=''); "
        f"csv.writer(sys.stdout, delimiter={sep!r}).writerows(csv.reader(open(0, encoding='utf-8-sig', newline=''), "
        f"delimiter={sep!r}, {how}))"
    )
    quoted = shlex.quote(program) if sep in "$`\\!" else f'"{program}"'
    return _fixed(path, f"python3 -c {quoted}", encoding)


def _fixed(path: Path, program: str, encoding: str) -> str:
    return converted(path, program, f".fixed{os.path.splitext(bare_name(path))[1]}", encoding)


def _in_sed(sep: str) -> str:
    return f"\\{sep}" if sep in "/&\\" else sep


def _free(path: Path, ending: str) -> Path:
    """A name for a file that is not there yet."""
    stem = os.path.splitext(bare_name(path))[0]
    marks = chain([""], (f".{number}" for number in count(2)))
    return next(found for mark in marks if not os.path.lexists(found := path.with_name(f"{stem}{mark}{ending}")))
