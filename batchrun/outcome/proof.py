"""`verify` proves what a checkpoint promises: each row settled once, under its own content, undamaged."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from batchrun.checkpoint.anchoring.align import split
from batchrun.checkpoint.anchoring.spool import occurrence_of
from batchrun.checkpoint.bind import Bound, Twins
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.damage import checked_records
from batchrun.checkpoint.reading import joined_names
from batchrun.checkpoint.records import Reached
from batchrun.checkpoint.witness import missing
from batchrun.core.text import counted, numbers
from batchrun.errors import CheckpointError
from batchrun.table.fingerprint import identities
from batchrun.table.options import needed

_SHOWN = 10


@dataclass(slots=True)
class Proof:
    """What was checked. `damage`: what is wrong, in words; `left`: rows without a settled record.

    `whole`: settled rows whose record is as it was written, `damaged_rows` those whose is not. `compared`: whether the
    table was at hand.
    """

    rows: int = 0
    settled: int = 0
    whole: int = 0
    damaged_rows: int = 0
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
        found = f"the database cannot be read to the end: {error}"
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
    for first, last, wrong in checked_records(checkpoint.db, proof.rows):
        rows = last + 1 - first
        if first < 0:
            proof.gone += rows
        else:
            proof.settled += rows
            proof.whole += 0 if wrong else rows
            proof.damaged_rows += rows if wrong else 0
        if wrong:
            yield f"{'row' if rows == 1 else 'rows'} {numbers(range(first, last + 1))}: {wrong}"


def _fingerprints(checkpoint: Checkpoint, bound: Bound) -> Iterator[str]:
    """Compare each settled row's name with that of the row which stands there."""
    settled = _names(checkpoint)
    expected = next(settled, None)
    fingerprint = identities(bound.table.columns, bound.options)
    twins, position = Twins(checkpoint), 0
    for chunk in bound.table.chunks(needed(bound.options)):
        contents, keys = fingerprint(chunk)
        for name in keys or contents:
            position += 1
            if expected and expected[0] == position:
                if expected[1] != (name if keys else occurrence_of(name, twins.occurrence(position))):
                    yield f"row {position:,}: its record belongs to a row with different content"
                expected = next(settled, None)
    if position != bound.rows:
        yield f"the table has {position:,} rows, the checkpoint {bound.rows:,}"


def _names(checkpoint: Checkpoint) -> Iterator[tuple[int, bytes]]:
    """Each settled row's number, and what names it."""
    for first, joined in joined_names(checkpoint.db):
        yield from enumerate(split(joined), first)


def proof_in_words(proof: Proof, name: str) -> str:
    """The proof for people."""
    if proof.damage:
        shown = "\n".join(f"  {text}" for text in proof.damage[:_SHOWN])
        more = f"\n  and {len(proof.damage) - _SHOWN:,} more" if len(proof.damage) > _SHOWN else ""
        saved = f"  {proof.whole:,} settled rows can be read and are intact"
        again = "\n  'batchrun process' with --retry damaged runs the damaged rows again" if proof.damaged_rows else ""
        return f"{name}: DAMAGED, {counted(len(proof.damage), 'finding')}\n{shown}{more}\n{saved}{again}"
    text = f"{name}: {proof.settled:,} of {proof.rows:,} rows have one settled record each; checksums agree"
    text += f"; {counted(proof.gone, 'result')} of rows no longer in the input" if proof.gone else ""
    if not proof.compared:
        return text + "\n  whether they are the input's rows was not checked"
    return text + (f"\n  {counted(proof.left, 'row')} left" if proof.left else "\n  nothing is left")
