"""What a checkpoint's file may hold: the tables that batchrun makes, word for word, and nothing else.

A file that somebody sent is data. A view, a trigger or a virtual table in it would be a program, run by whoever reads
it: a view that calls itself, under the name of a table, never ends.
"""

import re
import sqlite3

from .anchoring.kept_cells import TABLES as KEPT
from .format import FORMAT, SCHEMA
from .old_formats import SCHEMAS as EARLIER

_LIMITS = {
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
"""More than any statement of ours needs."""


def _words(statement: str) -> str:
    """A statement without what makes no difference: SQLite adds quotes and spaces where it alters a table."""
    return re.sub(r'[\s"]+', "", statement).lower().replace("createtableifnotexists", "createtable")


_KNOWN = {
    version: frozenset(map(_words, schema.split(";"))) for version, schema in {**EARLIER, FORMAT: SCHEMA + KEPT}.items()
}


def distrust(db: sqlite3.Connection) -> None:
    """Let nothing in the file run by itself, and nothing be larger than a statement of ours needs."""
    for limit, most in _LIMITS.items():
        db.setlimit(limit, most)
    db.execute("PRAGMA trusted_schema=OFF")
    db.execute("PRAGMA cell_size_check=ON")


def stranger_in(db: sqlite3.Connection, version: int) -> str | None:
    """What is in a file of format `version` that no batchrun has made, in words; None if nothing is."""
    known = _KNOWN.get(version, frozenset())
    for kind, name, statement in db.execute("SELECT type, name, sql FROM main.sqlite_master"):
        if not _is_own(str(kind), str(name), statement, known):
            return f"{kind} {name!r}"
    return None


def _is_own(kind: str, name: str, statement: object, known: frozenset[str]) -> bool:
    if statement is None:  # the index of a key, which SQLite makes itself
        return kind == "index" and name.startswith("sqlite_autoindex_")
    if kind == "table" and re.fullmatch(r"sqlite_stat\d", name):  # of ANALYZE
        return True
    return isinstance(statement, str) and _words(statement) in known
