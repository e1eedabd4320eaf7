"""`verify` proves what a checkpoint promises: each row settled once, under its own content, undamaged."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .anchoring.spool import occurrence_of
from .checkpoint import seal
from .checkpoint.checkpoint import Checkpoint
from .checkpoint.records import STATUS_NAMES, Failure, Reached, Settled
from .checkpoint.witness import missing
from .display.words import counted
from .errors import CheckpointError
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
    """What was checked. `damage`: what is wrong, in words; `left`: rows without a settled record.

    `whole`: settled rows whose record is as it was written. `compared`: whether the table was at hand.
    """

    rows: int = 0
    settled: int = 0
    whole: int = 0
    left: int = 0
    gone: int = 0
    compared: bool = True
    damage: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0: every row is settled and whole; 1: whole, but rows are left, or nobody can know; 4: damaged."""
        return 4 if self.damage else int(self.left > 0 or not self.compared)


def verify(checkpoint: Checkpoint, bound: Bound | None, note: Reached | None = None) -> Proof:
    """Check database, seals and, where the table is at hand, each row's fingerprint against its record.

    `note`: what the last run's witness said before the checkpoint was opened.
    """
    proof = Proof(compared=bound is not None)
    checks = (
        lambda: _facts(checkpoint, proof),
        lambda: _lost(checkpoint, note),
        lambda: _database(checkpoint.db),
        lambda: _seals(checkpoint, proof),
    )
    for check in checks:
        _note(proof, check)
    if bound and not proof.damage:
        _note(proof, lambda: _fingerprints(checkpoint, bound))
    proof.left = max(0, proof.rows - proof.settled)
    return proof


def _note(proof: Proof, check: Any) -> None:
    """Run one check. One that cannot go on does not keep the others from what they may find.

    What keeps several of them from going on is one finding.
    """
    try:
        proof.damage.extend(check())
        return
    except sqlite3.Error as error:
        found = f"the database cannot be read to its end: {error}"
    except CheckpointError as error:
        found = str(error)
    if found not in proof.damage:
        proof.damage.append(found)


def _facts(checkpoint: Checkpoint, proof: Proof) -> list[str]:
    proof.rows = checkpoint.get("rows", 0)
    return []


def _lost(checkpoint: Checkpoint, note: Reached | None) -> list[str]:
    lost = missing(note, checkpoint.reached())
    return [str(lost)] if lost else []


def _database(db: sqlite3.Connection) -> list[str]:
    found = [row[0] for row in db.execute("PRAGMA integrity_check(10)")]
    return [] if found == ["ok"] else [f"database: {text}" for text in found]


def _seals(checkpoint: Checkpoint, proof: Proof) -> Iterator[str]:
    db = checkpoint.db
    before, db.text_factory = db.text_factory, _lenient
    try:
        yield from _unfitting(db, proof)
    finally:
        db.text_factory = before


def _lenient(text: bytes) -> str:
    """Text as it is stored. What is no UTF-8 any more must not hide the rows behind it."""
    return text.decode("utf-8", "surrogateescape")


def _unfitting(db: sqlite3.Connection, proof: Proof) -> Iterator[str]:
    for row in db.execute(_ROWS):
        position, crc = row[0], row[9]
        proof.settled += position > 0
        proof.gone += position < 0
        if proof.rows and position > proof.rows:
            yield f"row {position:,}: the table has only {counted(proof.rows, 'row')}"
        elif (row[7] is not None and row[10] is None) or (row[8] is not None and row[15] is None):
            yield f"row {position:,}: its result or error is missing"
        elif not _seal_fits(row, crc):
            yield f"row {position:,}: its checksum does not fit what is stored"
        elif not 0 < row[3] < len(STATUS_NAMES):
            yield f"row {position:,}: it is in state {row[3]}, which there is not"
        else:
            proof.whole += position > 0


def _seal_fits(row: tuple[Any, ...], crc: int) -> bool:
    failure = Failure(*row[16:]) if row[15] is not None else None
    try:
        return seal.of(Settled._make((*row[:7], *row[11:15], failure, None, None))) == crc
    except (TypeError, AttributeError, ValueError):  # a flipped bit can change a value's type
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
    if position != bound.rows:
        yield f"the table has {position:,} rows, the checkpoint knows of {bound.rows:,}"


def in_words(proof: Proof, name: str) -> str:
    """The proof for people."""
    if proof.damage:
        shown = "\n".join(f"  {text}" for text in proof.damage[:_SHOWN])
        more = f"\n  and {len(proof.damage) - _SHOWN:,} more" if len(proof.damage) > _SHOWN else ""
        saved = f"  {proof.whole:,} settled rows can be read and are whole"
        return f"{name}: DAMAGED, {counted(len(proof.damage), 'finding')}\n{shown}{more}\n{saved}"
    text = f"{name}: {proof.settled:,} of {proof.rows:,} rows have one settled record each; checksums agree"
    text += f"; {counted(proof.gone, 'result')} of rows no longer in the input" if proof.gone else ""
    if not proof.compared:
        return text + "\n  whether they are the input's rows was not checked"
    return text + (f"\n  {counted(proof.left, 'row')} left" if proof.left else "\n  nothing is left")
