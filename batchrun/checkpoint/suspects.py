"""Rows that may take down what they run in: the whole run, with its machine's memory, or a machine of a cluster. Pure.

A row that was there at a death is not a culprit yet: somebody may have killed what died. A row that was there at three
deaths runs alone from then on, after all others. One that has died alone as often as it may is to blame. What is known
is how often each row was there: deaths in company, deaths alone.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from .inflight import Running

IN_COMPANY = 3

Name = TypeVar("Name", str, int)
_NONE = (0, 0)


def after_death(known: Mapping[Name, tuple[int, int]], rows: Collection[Name]) -> dict[Name, tuple[int, int]]:
    """What is known once something has died that had these rows, by whatever name they go."""
    found = dict(known)
    for row in rows:
        together, alone = known.get(row, _NONE)
        # To have been there alone by chance proves nothing: only rows that are meant to be alone are judged by it.
        by_itself = len(rows) == 1 and must_be_alone(known, row)
        found[row] = (together, alone + 1) if by_itself else (together + 1, alone)
    return found


def must_be_alone(known: Mapping[Name, tuple[int, int]], row: Name) -> bool:
    """Whether a row must not share its time with others."""
    return known.get(row, _NONE)[0] >= IN_COMPANY


def is_guilty(known: Mapping[Name, tuple[int, int]], row: Name, deaths: int) -> bool:
    """Whether a row has died alone so many times."""
    return known.get(row, _NONE)[1] >= deaths


Runs = dict[str, tuple[int, int]]
"""What is known of deaths of runs, by fingerprint in hex: it outlives them in the checkpoint."""


def after_run(known: Runs, in_flight: Iterable[Running]) -> Runs:
    """What is known after a run has died with these rows in flight."""
    rows = [row.fingerprint.hex() for row in sorted(in_flight)]
    if rows and must_be_alone(known, rows[-1]):
        # It ran alone: the others had ended before it started, and were about to say so.
        rows = rows[-1:]
    return after_death(known, rows)


def to_run_alone(known: Runs) -> frozenset[bytes]:
    """Fingerprints of rows that must not share a run's time with others."""
    return frozenset(bytes.fromhex(row) for row in known if must_be_alone(known, row))


def guilty(known: Runs, attempts: int) -> frozenset[bytes]:
    """Fingerprints of rows that have died alone `attempts` times."""
    return frozenset(bytes.fromhex(row) for row in known if is_guilty(known, row, attempts))
