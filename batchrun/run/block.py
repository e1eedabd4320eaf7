"""Rows that came on one sheet, as the block that the ledger keeps. Pure."""

from batchrun.checkpoint.sheets import Block, sealed
from batchrun.core.states import DONE
from batchrun.engine.wire import SheetFrame, Ticket


def block_of(tickets: list[Ticket], sheet: SheetFrame, *, task: int, lane: int, at: float) -> Block | None:
    """The block of the rows of a sheet, all of them done; None if they are too different to be one.

    `task`: number of its version; `at`: now, in seconds since 1970.
    """
    first, positions = tickets[0], [ticket.position for ticket in tickets]
    attempts = {ticket.attempt for ticket in tickets}
    stretch = range(first.position, positions[-1] + 1)
    in_a_row = positions == list(stretch)
    if len(attempts) > 1 or not (in_a_row or positions == sorted(positions)):
        return None
    names = b"".join([ticket.fingerprint for ticket in tickets])
    keys = None if first.key is None else b"".join([ticket.key or b"" for ticket in tickets])
    return Block(
        stretch if in_a_row else positions,
        sealed(names, keys, sheet.micros, sheet.bodies, sheet.raws, sheet.hows),
        DONE,
        first.attempt,
        task,
        lane,
        at,
    )
