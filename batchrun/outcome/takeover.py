"""Results that other programs have left become a checkpoint's own: their rows are done, and nothing is paid again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from batchrun.checkpoint.bind import Bound
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.ledger import Ledger
from batchrun.checkpoint.records import Settled
from batchrun.core.states import DONE
from batchrun.core.text import counted
from batchrun.run.deals import deals
from batchrun.run.plan import NOT_TO_RUN, Plan
from batchrun.run.tally import Tally

from .export.json_value import json_of
from .leftovers.find import leftovers
from .leftovers.left import NOTHING, Leftovers

_NAMED = 10


@dataclass(slots=True)
class Takeover:
    """Results at `source`, and what has become of them. `first`: the number of the first row's file, if it was said."""

    source: Path
    first: int | None = None
    _left: Leftovers | None = None
    _names: dict[int, str] = field(default_factory=dict)
    _strangers: list[str] = field(default_factory=list)
    _unread: list[str] = field(default_factory=list)
    _known: int = 0

    def narrowed(self, plan: Plan, bound: Bound) -> Plan:
        """The plan, of the rows alone that are not done and of which a result was left. The table is read once."""
        key = bound.options.key or ()
        self._left = left = leftovers(self.source, key, bound.table, bound.rows, self.first)
        places = [bound.table.columns.index(name) for name in key]
        flags = bytearray([NOT_TO_RUN]) * len(plan.flags)
        met = set()
        row = 0
        for chunk in bound.table.chunks(key):
            for cells in chunk:
                row += 1
                names = left.called(row, [cells[place] for place in places])
                name = next((name for name in names if name in left.places), None)
                if name is None:
                    continue
                met.add(name)
                self._known += not plan.flags[row - 1]
                if plan.flags[row - 1]:
                    flags[row - 1] = plan.flags[row - 1]
                    self._names[row] = name
        self._strangers = [left.told(name, place) for name, place in left.places.items() if name not in met]
        return replace(plan, flags=flags, to_run=len(self._names))

    def settle(
        self, bound: Bound, plan: Plan, checkpoint: Checkpoint, ledger: Ledger, tally: Tally, task: int,
        stop: Callable[[], bool],
    ) -> None:  # fmt: skip
        """Take the results over, row by row; `stop` is asked between a few."""
        left, at, note = self._left, time.time(), f"imported from {self.source.name}"
        places = [bound.table.columns.index(name) for name in bound.options.key or ()]
        keys = _keys(bound, places)
        for deal in deals(bound, plan, checkpoint, 0, {}):
            if stop() or left is None:
                break
            for position, attempt, name, _, _, _, was, key in deal.tickets():
                place = left.places[self._names[position]]
                value = left.load(place, position, keys(position))
                if value is NOTHING:
                    self._unread.append(left.told(self._names[position], place))
                    continue
                ledger.settle([Settled(
                    position, name, key, DONE, attempt - 1, task, 0.0, json_of(value), None, "value", note, None, at,
                )])  # fmt: skip
                if was:
                    ledger.unsettle(was)
                tally.settled(failed=False, first=not was)
                tally.saw([position])
            ledger.commit_if_due(idle=False)
        ledger.commit()

    def report(self, settled: int, *, dry: bool = False) -> list[str]:
        """What was taken over (or, in a `dry` run, would be), and what was not, and why."""
        left = self._left
        what = "would import" if dry else "imported"
        lines = [f"{what} {counted(len(self._names) if dry else settled, 'result')} from {self.source}"]
        if self._known:
            lines.append(f"note: {counted(self._known, 'row')} had a result already, and kept it")
        lines += _listed(self._strangers, "no row for {}")
        lines += _listed(self._unread, "no result in {} (not JSON, null, or another row's)")
        if left and left.empty:
            lines.append(f"note: {counted(left.empty, 'line')} without a result")
        if left and left.twice:
            lines.append(f"note: {counted(left.twice, 'line')} about a row that had a later one, which counts")
        return lines


def _listed(names: Sequence[str], what: str) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return [f"note: {what.format(f'{len(names):,}')}: {', '.join(names[:_NAMED])}{more}"]


def _keys(bound: Bound, places: Sequence[int]) -> Callable[[int], list[object]]:
    """The cells of a row's key. Rows are asked for in order: the table is read beside its deals."""
    if not places:
        return lambda _: []
    rows = (cells for chunk in bound.table.chunks(bound.options.key) for cells in chunk)
    at = 0

    def cells_of(row: int) -> list[object]:
        nonlocal at
        cells = next(islice(rows, row - at - 1, None))
        at = row
        return [cells[place] for place in places]

    return cells_of
