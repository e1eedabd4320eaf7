"""`verify` proves what a checkpoint promises: each row settled once, under its own content, undamaged."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import seal
from .anchor import occurrence_of
from .checkpoint import Checkpoint, Failure, Settled, explained
from .source import Bound, Twins
from .table import identities

_ROWS = """
SELECT l.position, l.fingerprint, l.key, l.status, l.attempts, l.task, l.seconds, l.result, l.failure, l.crc,
       r.id, r.body, r.raw, r.how, r.note, f.id, f.position, f.attempt, f.at, f.seconds, f.lane, f.kind, f.message,
       f.type, f.http_status, f.traceback, f.raw
FROM ledger l LEFT JOIN result r ON r.id = l.result LEFT JOIN failure f ON f.id = l.failure
ORDER BY l.position
"""
_SHOWN = 10


@dataclass(slots=True)
class Proof:
    """What was checked. `damage`: what is wrong, in words; `left`: rows without a settled record."""

    rows: int = 0
    settled: int = 0
    left: int = 0
    gone: int = 0
    damage: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0: every row is settled and whole; 1: whole, but rows are left; 4: damaged."""
        return 4 if self.damage else int(self.left > 0)


def verify(checkpoint: Checkpoint, bound: Bound | None) -> Proof:
    """Check database, seals and, where the table is at hand, each row's fingerprint against its record."""
    proof = Proof(rows=checkpoint.get("rows", 0))
    try:
        proof.damage += _database(checkpoint.db)
        proof.damage += _seals(checkpoint.db, proof)
        if bound:
            proof.damage += _fingerprints(checkpoint, bound)
    except sqlite3.DatabaseError as error:
        proof.damage.append(f"the database cannot be read to its end: {error}")
    proof.left = max(0, proof.rows - proof.settled)
    return proof


def _database(db: sqlite3.Connection) -> list[str]:
    found = [row[0] for row in db.execute("PRAGMA integrity_check(10)")]
    return [] if found == ["ok"] else [f"database: {text}" for text in found]


def _seals(db: sqlite3.Connection, proof: Proof) -> Iterator[str]:
    for row in db.execute(_ROWS):
        position, crc = row[0], row[9]
        if position > proof.rows:
            yield f"row {position:,}: the table has only {proof.rows:,} rows"
        proof.settled += position > 0
        proof.gone += position < 0
        if (row[7] is not None and row[10] is None) or (row[8] is not None and row[15] is None):
            yield f"row {position:,}: its result or error is missing"
        elif not _seal_fits(row, crc):
            yield f"row {position:,}: its checksum does not fit what is stored"


def _seal_fits(row: tuple[Any, ...], crc: int) -> bool:
    failure = Failure(*row[16:]) if row[15] is not None else None
    try:
        return seal.of(Settled._make((*row[:7], *row[11:15], failure))) == crc
    except (TypeError, AttributeError, UnicodeError):  # a flipped bit can change a value's type
        return False


def _fingerprints(checkpoint: Checkpoint, bound: Bound) -> Iterator[str]:
    """Compare each settled row's name with that of the row which stands there."""
    settled = checkpoint.db.execute(
        "SELECT position, coalesce(key, fingerprint) FROM ledger WHERE position > 0 ORDER BY position"
    )
    expected = next(settled, None)
    fingerprint = identities(bound.table.columns, bound.options)
    twins, position = Twins(checkpoint), 0
    for chunk in bound.table.chunks():
        names, keys = fingerprint(chunk)
        for name in keys or names:
            position += 1
            if expected and expected[0] == position:
                if expected[1] != (name if keys else occurrence_of(name, twins.occurrence(position))):
                    yield f"row {position:,}: its record belongs to a row with other content"
                expected = next(settled, None)


def in_words(proof: Proof, name: str) -> str:
    """The proof for people."""
    if proof.damage:
        shown = "\n".join(f"  {text}" for text in proof.damage[:_SHOWN])
        more = f"\n  and {len(proof.damage) - _SHOWN:,} more" if len(proof.damage) > _SHOWN else ""
        return f"{name}: DAMAGED, {len(proof.damage):,} findings\n{shown}{more}"
    text = f"{name}: {proof.settled:,} of {proof.rows:,} rows have one settled record each; checksums agree"
    text += f"; {proof.gone:,} results of rows no longer in the input" if proof.gone else ""
    return text + (f"\n  {proof.left:,} rows are left" if proof.left else "\n  nothing is left")


def check_readable(checkpoint: Checkpoint) -> None:
    """Raise `CheckpointError` if the file is no readable database."""
    with explained(checkpoint.path):
        checkpoint.db.execute("SELECT count(*) FROM ledger").fetchone()
