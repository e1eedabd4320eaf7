"""Rows that came on one sheet, as the block that the ledger keeps. Pure."""

from batchrun.checkpoint.sheets import Block, sealed
from batchrun.core.states import DONE
from batchrun.engine.deal import Deal
from batchrun.engine.wire import SheetFrame


def block_of(deals: list[Deal], sheet: SheetFrame, *, task: int, lane: int, at: float) -> Block | None:
    """The block of the rows of a sheet, all of them done; None if they are too different to be one.

    `task`: number of its version; `at`: now, in seconds since 1970.
    """
    first, positions = deals[0], [position for deal in deals for position in deal.positions]
    attempts = {deal.attempt for deal in deals}
    stretch = range(positions[0], positions[-1] + 1)
    in_a_row = positions == list(stretch)
    if len(attempts) > 1 or not (in_a_row or positions == sorted(positions)):
        return None
    names = b"".join([deal.names for deal in deals])
    keys = None if first.keys is None else b"".join([deal.keys or b"" for deal in deals])
    return Block(
        stretch if in_a_row else positions,
        sealed(names, keys, sheet.micros, sheet.bodies, sheet.raws, sheet.hows),
        DONE,
        first.attempt,
        task,
        lane,
        at,
    )
