"""Where the coordinator's messages are understood: from pickled deals to rows that can be run."""

from collections.abc import Sequence
from itertools import repeat
from typing import Any, NamedTuple

from batchrun.checkpoint.sheets import NAME_BYTES
from batchrun.engine.deal import Deal
from batchrun.table.convert import Convert, column_converter

from .attempt import Row


class TypedDeal(NamedTuple):
    """The rows of a deal, ready to be run.

    `batch`: the number of the message they came with. `attempt`: its number, the same for all. `again`: this run has
    tried them before. `names`: their fingerprints. `cells`: of each row, typed, or why they cannot be.
    """

    batch: int
    attempt: int
    again: bool
    positions: Sequence[int]
    names: Sequence[bytes]
    cells: Sequence[dict[str, Any] | Exception]

    def rows(self) -> list[Row]:
        """One by one."""
        batch, attempt, again, positions, names, cells = self
        return list(map(Row, positions, repeat(attempt), names, cells, repeat(batch), repeat(again)))


class Desk:
    """Understands the coordinator's messages. `first`: the lane's first cell; `slots`: rows at once."""

    def __init__(self) -> None:
        self.first = 0
        self.slots = 1
        self._convert: Convert | None = None

    def deals(self, message: tuple[Any, ...]) -> list[TypedDeal]:
        """The rows that a message brings."""
        if message[0] == "table":
            _, names, types, missing, self.first, self.slots = message
            self._convert = column_converter(names, types, missing)
            return []
        _, batch, deals = message
        assert self._convert is not None
        return [_typed_deal(self._convert, batch, Deal.received(deal)) for deal in deals]

    def rows(self, message: tuple[Any, ...]) -> list[Row]:
        """The same, one by one."""
        return [row for deal in self.deals(message) for row in deal.rows()]


def _typed_deal(convert: Convert, batch: int, deal: Deal) -> TypedDeal:
    positions, attempt, joined, cells, before = deal[:5]
    names = [joined[at : at + NAME_BYTES] for at in range(0, len(joined), NAME_BYTES)]
    rows = _typed(convert, cells) if cells else [{} for _ in positions]  # a task that asks the same of every row
    return TypedDeal(batch, attempt, attempt > before + 1, positions, names, rows)


def _typed(convert: Convert, columns: Sequence[Sequence[Any]]) -> list[Any]:
    """The rows of a deal. Where a cell does not fit its column any more, that row is the exception it raises."""
    try:
        return convert(columns)
    except (ValueError, TypeError, KeyError) as error:
        if len(columns[0]) == 1:
            return [ValueError(f"a cell no longer fits its column's type, the input was changed: {error}")]
        alone = range(len(columns[0]))
        return [row for nth in alone for row in _typed(convert, [column[nth : nth + 1] for column in columns])]
