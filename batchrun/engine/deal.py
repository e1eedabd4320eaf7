"""Rows as they are handed out: many that are attempted alike travel as one deal. Pure."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple, Self, TypeVar

from batchrun.checkpoint.sheets import NAME_BYTES

AnyRow = TypeVar("AnyRow")
_BETWEEN = "\0"


class Ticket(NamedTuple):
    """One attempt at one row: a deal's fields for it. See `Deal`."""

    position: int
    attempt: int
    fingerprint: bytes
    cells: tuple[Any, ...]
    before: int = 0
    last: int = 1
    was: int = 0
    key: bytes | None = None

    def alone(self) -> "Deal":
        """The deal of this row only."""
        position, attempt, name, cells, before, last, was, key = self
        return Deal((position,), attempt, name, [(cell,) for cell in cells], before, last, was, key)


class Deal(NamedTuple):
    """An attempt at each of some rows, which have all else in common. What a worker needs comes first.

    `positions`: the rows' numbers from 1, ascending. `attempt`: its number, from 1. `names`: the rows' fingerprints,
    joined. `cells`: the task's columns, raw; none for a task that asks the same of every row. `last`: the number of the
    last allowed attempt. `was`: the state that an earlier run left. `keys`: the fingerprints of the `--key` columns,
    joined. `before`: attempts with which the rows were settled earlier; those after them count against this run's
    retries.
    """

    positions: Sequence[int]
    attempt: int
    names: bytes
    cells: Sequence[Sequence[Any]]
    before: int = 0
    last: int = 1
    was: int = 0
    keys: bytes | None = None

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.positions)

    def for_worker(self) -> tuple[Any, ...]:
        """Plain fields, of which the other side makes a deal again (see `received`)."""
        positions, attempt, names, cells, before = self[:5]
        return positions, attempt, names, list(map(_joined, cells)), before

    @classmethod
    def received(cls, fields: tuple[Any, ...]) -> Self:
        """Of what came `for_worker`."""
        positions, attempt, names, cells, before = fields
        return cls(positions, attempt, names, list(map(_parted, cells)), before)

    def part(self, start: int, stop: int) -> "Deal":
        """The rows from `start` to before `stop`, counted from 0."""
        if start == 0 and stop >= self.rows:
            return self
        name = slice(NAME_BYTES * start, NAME_BYTES * stop)
        positions, attempt, names, cells, before, last, was, keys = self
        some = [column[start:stop] for column in cells]
        return Deal(positions[start:stop], attempt, names[name], some, before, last, was, keys and keys[name])

    def ticket(self, nth: int) -> Ticket:
        """The attempt at one of the rows, counted from 0."""
        name = slice(NAME_BYTES * nth, NAME_BYTES * (nth + 1))
        positions, attempt, names, cells, before, last, was, keys = self
        own = tuple([column[nth] for column in cells])
        return Ticket(positions[nth], attempt, names[name], own, before, last, was, keys and keys[name])

    def of(self, position: int) -> Ticket:
        """The attempt at the row with this number."""
        return self.ticket(bisect_left(self.positions, position))

    def tickets(self) -> Iterator[Ticket]:
        """The attempt at each row."""
        return map(self.ticket, range(self.rows))


def _joined(column: Sequence[Any]) -> Sequence[Any]:
    """A column of texts as one text, which is pickled in a fifth of the time; any other as it is."""
    try:
        text = _BETWEEN.join(column)
    except TypeError:
        return column
    return text if text.count(_BETWEEN) == len(column) - 1 else column


def _parted(column: Sequence[Any]) -> Sequence[Any]:
    """The column of which `_joined` has made this."""
    return column.split(_BETWEEN) if isinstance(column, str) else column


def rows_of(deals: Iterable[Deal]) -> int:
    """How many rows there are in all of them."""
    return sum(deal.rows for deal in deals)


def take(deals: deque[Deal], most: int) -> list[Deal]:
    """Take at most so many rows from the left."""
    taken = []
    while deals and most > 0:
        deal = deals.popleft()
        if deal.rows > most:
            deals.appendleft(deal.part(most, deal.rows))
            deal = deal.part(0, most)
        most -= deal.rows
        taken.append(deal)
    return taken


def parts(sent: Mapping[int, Deal], positions: Sequence[int]) -> list[Deal]:
    """These rows, in this order, as parts of the deals with which they were `sent`. Others are passed over."""
    found = list(map(sent.get, positions))
    if None in found:
        positions = [position for position in positions if position in sent]
        found = list(map(sent.get, positions))
    cut: list[Deal] = []
    while positions:
        deal = found[0]
        assert deal is not None
        first = bisect_left(deal.positions, positions[0])
        alike = min(deal.rows - first, len(positions))
        if found[:alike].count(deal) < alike or list(deal.positions[first : first + alike]) != list(positions[:alike]):
            rows = zip(found, deal.positions[first:], positions, strict=False)
            alike = next((nth for nth, (own, at, row) in enumerate(rows) if own is not deal or at != row), alike)
        cut.append(deal.part(first, first + alike))
        positions, found = positions[alike:], found[alike:]
    return cut


def pop(sent: dict[int, Deal], positions: Sequence[int]) -> list[Deal]:
    """The same, and these rows are taken out of those that were sent."""
    cut = parts(sent, positions)
    deque(map(sent.pop, positions, repeat(None)), maxlen=0)  # in C: quick rows are many
    return cut


def halves(rows: Sequence[AnyRow]) -> tuple[Sequence[AnyRow], Sequence[AnyRow]]:
    """The rows of a call that went wrong, for two calls."""
    half = -(-len(rows) // 2)
    return rows[:half], rows[half:]


def whole_calls(rows: int, a_call: int) -> int:
    """Of so many rows, those that fill their calls, which have room for `a_call` each."""
    return rows // a_call * a_call
