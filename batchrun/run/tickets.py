"""The rows that the plan runs, read from the table a second time, as they are handed out."""

from collections.abc import Iterator
from itertools import compress, repeat
from typing import Any

from batchrun.checkpoint.anchoring.spool import occurrence_of
from batchrun.checkpoint.bind import Bound, Twins
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.core.text import counted
from batchrun.engine.wire import Ticket
from batchrun.errors import InputError
from batchrun.run.plan import AGAIN, Plan
from batchrun.table.fingerprint import identities
from batchrun.table.options import needed, pick


def tickets(
    bound: Bound, plan: Plan, checkpoint: Checkpoint, retries: int, under_way: dict[int, int]
) -> Iterator[Ticket]:
    """The rows that the plan runs, in the table's order, read as they are asked for."""
    fingerprint = identities(bound.table.columns, bound.options)
    cells_of = pick(bound.table.columns, bound.options)
    twins = Twins(checkpoint)

    def with_a_past(
        positions: list[int], rows: list[tuple[Any, ...]], names: list[bytes], keys: list[bytes] | None
    ) -> Iterator[Ticket]:
        for position, row, name, key in zip(positions, rows, names, keys or repeat(None)):  # noqa: B905
            # Numbers of attempts go on through all runs: the in-flight file, `show` and the ledger mean the same one by
            # a number. A row that failed in a run that died goes on there, a settled one gets all its retries anew.
            made, base, was = under_way.get(position, 0), 0, 0
            if plan.flags[position - 1] == AGAIN:
                base, was = checkpoint.attempts_and_status(position)
                made = max(made, base)
            told_apart = name if keys else occurrence_of(name, twins.occurrence(position))
            last = max(base + 1 + retries, made + 1)
            yield Ticket(position, made + 1, told_apart, cells_of(row), last, was, key, base)

    first, left = 1, plan.to_run
    for chunk in bound.table.chunks(needed(bound.options)):
        if first == 1:
            bound.check()  # it is opened once more, perhaps minutes after it was bound: workers had to be up
        flags = plan.flags[first - 1 : first - 1 + len(chunk)]
        if any(flags):
            positions = list(compress(range(first, first + len(chunk)), flags))
            rows = list(compress(chunk, flags))
            names, keys = fingerprint(rows)
            if under_way or AGAIN in flags or twins.begin_by(positions[-1]):
                yield from with_a_past(positions, rows, names, keys)
            else:  # nearly all rows of nearly all runs
                rest = repeat(1 + retries), repeat(0), keys or repeat(None), repeat(0)
                yield from map(Ticket, positions, repeat(1), names, map(cells_of, rows), *rest)
            left -= len(rows)
        first += len(chunk)
        if not left:
            return


def check_rows(asked: frozenset[int] | None, rows: int) -> None:
    """Raise `InputError` for a row that the table does not have."""
    if asked and max(asked) > rows:
        raise InputError(f"row {max(asked):,} does not exist: the table has {counted(rows, 'row')}", "correct --rows")
