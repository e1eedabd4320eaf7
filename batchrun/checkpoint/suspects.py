"""Rows that may take the whole run down with them (the machine's memory, the coordinator itself). Pure.

A row in flight when a run died is no culprit yet: somebody may have killed the run. A row that was in flight
at three such deaths runs alone from then on, after all others. One that dies alone as often as it has attempts
is settled as crashed. What is known is a dict from fingerprint to how often: deaths in company, deaths alone.
"""

from collections.abc import Iterable

from .inflight import Running

IN_COMPANY = 3

Known = dict[str, tuple[int, int]]


def after_death(known: Known, in_flight: Iterable[Running]) -> Known:
    """What is known after a run has died with these rows in flight."""
    rows = sorted(in_flight)
    if rows and rows[-1].fingerprint in to_run_alone(known):
        # It ran alone: the others had ended before it started, and were about to say so.
        rows = rows[-1:]
    found = dict(known)
    for running in rows:
        name = running.fingerprint.hex()
        together, alone = found.get(name, (0, 0))
        by_itself = together >= IN_COMPANY and len(rows) == 1
        found[name] = (together, alone + 1) if by_itself else (together + 1, alone)
    return found


def to_run_alone(known: Known) -> frozenset[bytes]:
    """Fingerprints of rows that must not share a run's time with others."""
    return frozenset(bytes.fromhex(name) for name, (together, _) in known.items() if together >= IN_COMPANY)


def guilty(known: Known, attempts: int) -> frozenset[bytes]:
    """Fingerprints of rows that have died alone `attempts` times."""
    return frozenset(bytes.fromhex(name) for name, (_, alone) in known.items() if alone >= attempts)
