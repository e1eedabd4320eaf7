"""The tables of a checkpoint. See docs/checkpoint-format.md. Every format from 1 on is read: see `old_formats`."""

import sqlite3

FORMAT = 3

BLOCKS = """
CREATE {temp} TABLE block(
  id INTEGER PRIMARY KEY, rows INTEGER NOT NULL, status INTEGER NOT NULL, attempts INTEGER NOT NULL,
  task INTEGER NOT NULL, run INTEGER NOT NULL, lane INTEGER, at REAL, failure INTEGER, note TEXT, names BLOB NOT NULL,
  keys BLOB, seconds TEXT NOT NULL, bodies TEXT, raws TEXT, hows TEXT, crc INTEGER NOT NULL
);
CREATE {temp} TABLE place(
  position INTEGER PRIMARY KEY, rows INTEGER NOT NULL, block INTEGER NOT NULL, nth INTEGER NOT NULL,
  crc INTEGER NOT NULL
);
"""
SPENT = """
CREATE {temp} TABLE spent(
  run INTEGER PRIMARY KEY, prompt INTEGER, completion INTEGER, cached INTEGER, reasoning INTEGER, cost REAL
);
"""
# For people: one line for each row that is settled. Driven by the results, which are what is asked for most.
VIEW = """
CREATE VIEW row AS
SELECT p.position - p.nth + e.key AS number,
  CASE b.status WHEN 1 THEN 'done' WHEN 2 THEN 'failed' WHEN 3 THEN 'timed_out' WHEN 4 THEN 'crashed'
    WHEN 5 THEN 'skipped' END AS status,
  b.attempts, json_extract(b.seconds, e.fullkey) / 1e6 AS seconds,
  CASE WHEN b.bodies IS NULL THEN NULL WHEN e.type IN ('object', 'array') THEN e.value ELSE b.bodies -> e.key END
    AS result,
  coalesce(json_extract(b.hows, e.fullkey), CASE WHEN b.bodies IS NOT NULL THEN 'value' END) AS how,
  coalesce(json_extract(b.raws, e.fullkey), f.raw) AS reply, b.note, f.kind AS error_kind, f.message AS error,
  datetime(b.at, 'unixepoch') AS ended, b.lane + 1 AS lane, b.run, t.version AS task_version
FROM place p JOIN block b ON b.id = p.block JOIN json_each(coalesce(b.bodies, b.seconds)) e
  LEFT JOIN failure f ON f.id = b.failure LEFT JOIN task t ON t.id = b.task
WHERE p.position > 0 AND e.key >= p.nth AND e.key < p.nth + p.rows;
"""

# What every format has.
COMMON = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE run(
  id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, exit INTEGER, pid INTEGER NOT NULL,
  versions TEXT NOT NULL, options TEXT NOT NULL, counts TEXT
);
CREATE TABLE task(id INTEGER PRIMARY KEY, version TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, first_used REAL NOT NULL);
CREATE TABLE failure(
  id INTEGER PRIMARY KEY, position INTEGER NOT NULL, attempt INTEGER NOT NULL, run INTEGER NOT NULL,
  at REAL NOT NULL, seconds REAL, lane INTEGER, kind TEXT NOT NULL, message TEXT NOT NULL, type TEXT,
  http_status INTEGER, traceback TEXT, raw TEXT
);
CREATE INDEX failure_position ON failure(position);
CREATE TABLE twin(position INTEGER PRIMARY KEY, occurrence INTEGER NOT NULL);
CREATE TABLE changed(position INTEGER PRIMARY KEY);
"""

SCHEMA = f"{COMMON} {BLOCKS.format(temp='')} {SPENT.format(temp='')} {VIEW}"


def is_known(version: int) -> bool:
    """Whether files of a format can be read. 0 is what any SQLite file says that is not a checkpoint."""
    return 1 <= version <= FORMAT


def create(db: sqlite3.Connection) -> None:
    """Make the tables in an empty file, all or none."""
    db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={FORMAT}; COMMIT;")
