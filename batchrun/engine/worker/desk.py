"""Where the coordinator's messages are understood: from pickled deals to rows that can be run."""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from batchrun.checkpoint.sheets import NAME_BYTES
from batchrun.table.convert import converter

from .attempt import Row

Convert = Callable[[Sequence[tuple[Any, ...]]], list[dict[str, Any]]]


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
            self._convert = converter(names, types, missing)
            return []
        _, batch, deals = message
        assert self._convert is not None
        return [
            TypedDeal(batch, number, number > before + 1, positions, _cut(names), _typed(self._convert, cells))
            for positions, number, names, cells, before in deals
        ]

    def rows(self, message: tuple[Any, ...]) -> list[Row]:
        """The same, one by one."""
        return [row for deal in self.deals(message) for row in deal.rows()]


def _cut(names: bytes) -> list[bytes]:
    return [names[at : at + NAME_BYTES] for at in range(0, len(names), NAME_BYTES)]


def _typed(convert: Convert, cells: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The rows of a deal. Where a cell does not fit its column any more, that row is the exception it raises."""
    try:
        return convert(cells)
    except (ValueError, TypeError, KeyError) as error:
        if len(cells) == 1:
            return [ValueError(f"a cell no longer fits its column's type, the input was changed: {error}")]
        return [row for one in cells for row in _typed(convert, [one])]
