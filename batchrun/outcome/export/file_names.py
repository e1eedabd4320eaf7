"""Names of files that are made of keys. Keys are data: what a file system or a shell might take for more is replaced.

No name leads into another folder, begins like an option or a hidden file, is a device's name on Windows, or is longer
than file systems take; and no two are the same to a file system that does not tell cases or accents' spellings apart.
"""

import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import closing

_MOST_BYTES = 120
_AS_THEY_ARE = "-_.+@=,"
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)


def stem_of(key: str) -> str:
    """A file's name, without its ending, that is made of a key. Others may have the same."""
    text = "".join(_or_line(each) for each in unicodedata.normalize("NFC", key))
    if text[:1] in ("", ".", "-") or _DEVICE.fullmatch(text):
        text = f"_{text}"
    return text.encode()[:_MOST_BYTES].decode(errors="ignore")


def shared_names(stems: Iterable[list[str]]) -> frozenset[str]:
    """Names that are the same for several files, folded as by `folded`; the names come some at a time."""
    with closing(sqlite3.connect("", isolation_level=None)) as db:  # on disk, beyond a few megabytes
        db.execute("CREATE TABLE name (folded TEXT)")
        db.execute("BEGIN")
        for some in stems:
            db.executemany("INSERT INTO name VALUES (?)", zip(map(folded, some)))
        found = db.execute("SELECT folded FROM name GROUP BY folded HAVING count(*) > 1")
        return frozenset(each for (each,) in found)


def told_apart(stems: Iterable[str], rows: Iterable[int], several: frozenset[str]) -> Iterator[str]:
    """The names, with the row's number where others would have the same; `~` is in no other name."""
    for stem, row in zip(stems, rows, strict=False):
        yield f"{stem}~{row}" if several and folded(stem) in several else stem


def folded(stem: str) -> str:
    """The same for all names that some file system takes for one."""
    return unicodedata.normalize("NFKD", stem).upper().casefold()


def _or_line(character: str) -> str:
    return character if character in _AS_THEY_ARE or unicodedata.category(character)[0] in "LMN" else "_"
