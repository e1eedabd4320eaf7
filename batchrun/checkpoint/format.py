"""The tables of a checkpoint, and how a file of an older format becomes one of the present format.

See docs/checkpoint-format.md. Every format from 1 on is read; a file is brought up to date when a run opens it.
"""

import sqlite3

FORMAT = 2

_SPENT = """
CREATE {temp} TABLE spent(
  run INTEGER PRIMARY KEY, prompt INTEGER, completion INTEGER, cached INTEGER, reasoning INTEGER, cost REAL
);
"""

SCHEMA = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE run(
  id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, exit INTEGER, pid INTEGER NOT NULL,
  versions TEXT NOT NULL, options TEXT NOT NULL, counts TEXT
);
CREATE TABLE task(id INTEGER PRIMARY KEY, version TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, first_used REAL NOT NULL);
CREATE TABLE ledger(
  position INTEGER PRIMARY KEY, fingerprint BLOB NOT NULL, key BLOB, status INTEGER NOT NULL,
  attempts INTEGER NOT NULL, task INTEGER NOT NULL, run INTEGER NOT NULL, seconds REAL, result INTEGER,
  failure INTEGER, crc INTEGER NOT NULL, at REAL, lane INTEGER
);
CREATE TABLE result(id INTEGER PRIMARY KEY, body BLOB, raw TEXT, how TEXT, note TEXT);
CREATE TABLE failure(
  id INTEGER PRIMARY KEY, position INTEGER NOT NULL, attempt INTEGER NOT NULL, run INTEGER NOT NULL,
  at REAL NOT NULL, seconds REAL, lane INTEGER, kind TEXT NOT NULL, message TEXT NOT NULL, type TEXT,
  http_status INTEGER, traceback TEXT, raw TEXT
);
CREATE INDEX failure_position ON failure(position);
CREATE TABLE twin(position INTEGER PRIMARY KEY, occurrence INTEGER NOT NULL);
CREATE TABLE changed(position INTEGER PRIMARY KEY);
{_SPENT.format(temp="")}
"""

# What each older format lacks; no step reads or rewrites a row, so it takes no time whatever the file's size.
_STEPS = {
    1: f"ALTER TABLE ledger ADD COLUMN at REAL; ALTER TABLE ledger ADD COLUMN lane INTEGER; {_SPENT.format(temp='')}",
}
# The same for a reader, who must not write: views and tables of its own connection stand before the file's.
_GUISES = {
    1: f"CREATE TEMP VIEW ledger AS SELECT *, NULL AS at, NULL AS lane FROM main.ledger; {_SPENT.format(temp='TEMP')}",
}


def is_known(version: int) -> bool:
    """Whether files of a format can be read. 0 is what any SQLite file says that is not a checkpoint."""
    return 1 <= version <= FORMAT


def create(db: sqlite3.Connection) -> None:
    """Make the tables in an empty file, all or none."""
    db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={FORMAT}; COMMIT;")


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring a file of format `version` up to the present one, durably, all or nothing."""
    steps = "".join(_STEPS[old] for old in range(version, FORMAT))
    db.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version={FORMAT}; COMMIT;")


def disguise(db: sqlite3.Connection, version: int) -> None:
    """Let a reader see a file of format `version` as one of the present format; the file stays as it is."""
    for old in range(version, FORMAT):
        db.executescript(_GUISES[old])
