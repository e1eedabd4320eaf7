"""Random order (`--order random`): the same for the same seed, so that a run goes on in it where another has ended.

Each row has a rank, and they run by rank: any number of first rows is a fair sample of the table. Most files can only
be read from the start, and a table may be larger than memory. So the rows are laid aside first, and sorted on disk.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import nsmallest
from pathlib import Path

from xxhash import xxh3_64_intdigest

from batchrun.checkpoint.aside import Aside
from batchrun.engine.deal import Deal, Ticket
from batchrun.errors import Interrupted
from batchrun.table.interface import CHUNK_BYTES, CHUNK_ROWS

# In a deal, rows stand in the table's order. As long as it is a small part of what has run, that makes no difference.
_PART = 64


def rank(row: int, seed: int) -> int:
    """Where a row, by its number from 1, comes in this order: 63 bits."""
    return xxh3_64_intdigest(row.to_bytes(8, "little"), seed) >> 1


def first_of(rows: Iterable[int], limit: int, seed: int) -> Sequence[int]:
    """Those `limit` of the rows (numbers, ascending) that run first in this order; ascending."""
    return sorted(nsmallest(limit, rows, key=lambda row: rank(row, seed)))


def shuffled(deals: Iterable[Deal], seed: int, folder: Path, stop: Callable[[], int]) -> Iterator[Deal]:
    """The rows of all deals, in random order. `folder`: where they are laid aside; `stop()` is the signal that asks to
    end, or 0.

    Raises `Interrupted`, and `StoppedError` where there is no room for them on disk.
    """
    with Aside(folder) as aside:
        for deal in deals:
            if signum := stop():
                raise Interrupted(signum, "interrupted before any row ran")
            aside.lay((rank(ticket.position, seed), pickle.dumps(tuple(ticket), 5)) for ticket in deal.tickets())
        yield from _dealt(aside.by_rank())


def _dealt(tickets: Iterable[bytes]) -> Iterator[Deal]:
    """Tickets, pickled, as deals: at first of one row, later of more."""
    dealt, size, together = 0, 0, list[Ticket]()
    for pickled in tickets:
        ticket = Ticket._make(pickle.loads(pickled))
        full = len(together) >= min(CHUNK_ROWS, 1 + dealt // _PART) or size > CHUNK_BYTES
        if together and (full or _what_is_shared(ticket) != _what_is_shared(together[0])):
            yield _deal(together)
            dealt, size, together = dealt + len(together), 0, []
        together.append(ticket)
        size += len(pickled)
    if together:
        yield _deal(together)


def _what_is_shared(ticket: Ticket) -> tuple[int, int, int, int, bool]:
    return ticket.attempt, ticket.last, ticket.was, ticket.before, ticket.key is None


def _deal(tickets: list[Ticket]) -> Deal:
    """The deal of rows that have all in common but what is each row's own."""
    tickets.sort(key=lambda ticket: ticket.position)
    positions, attempts, names, cells, befores, lasts, states, keys = zip(*tickets, strict=True)
    joined, columns = None if keys[0] is None else b"".join(keys), list(zip(*cells, strict=True))
    return Deal(positions, attempts[0], b"".join(names), columns, befores[0], lasts[0], states[0], joined)
