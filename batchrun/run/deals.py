"""The rows that the plan runs, read from the table a second time, as they are handed out."""

from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from typing import Any

from batchrun.checkpoint.anchoring.spool import occurrence_of
from batchrun.checkpoint.bind import Bound, Twins
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.core.text import counted
from batchrun.engine.deal import Deal, Ticket
from batchrun.errors import InputError
from batchrun.run.plan import AGAIN, Plan
from batchrun.table.csv_table import InPieces
from batchrun.table.fingerprint import Identified, identities, identities_by_column
from batchrun.table.header import column_places
from batchrun.table.options import needed, task_columns

Chunk = Sequence[Sequence[Any]]


def deals(bound: Bound, plan: Plan, checkpoint: Checkpoint, retries: int, under_way: dict[int, int]) -> Iterator[Deal]:
    """The rows that the plan runs, in the table's order, read as they are asked for."""
    columns_of = column_places(bound.table.columns, task_columns(bound.table.columns, bound.options))
    twins = Twins(checkpoint)

    def with_a_past(deal: Deal) -> Iterator[Deal]:
        for position, _, name, cells, _, _, _, key in deal.tickets():
            # Numbers of attempts go on through all runs: the in-flight file, `show` and the ledger mean the same one by
            # a number. A row that failed in a run that died goes on there, a settled one gets all its retries anew.
            made, base, was = under_way.get(position, 0), 0, 0
            if plan.flags[position - 1] == AGAIN:
                base, was = checkpoint.attempts_and_status(position)
                made = max(made, base)
            told_apart = name if key else occurrence_of(name, twins.occurrence(position))
            last = max(base + 1 + retries, made + 1)
            yield Ticket(position, made + 1, told_apart, cells, base, last, was, key).alone()

    first, left = 1, plan.to_run
    chunks, fingerprint = _by_columns(bound)
    for chunk in chunks:
        if first == 1:
            bound.check()  # it is opened once more, perhaps minutes after it was bound: workers had to be up
        stop = first + len(chunk[0])
        flags = plan.flags[first - 1 : stop - 1]
        if any(flags):
            positions: Sequence[int] = range(first, stop)
            if not all(flags):
                positions, chunk = list(compress(positions, flags)), [list(compress(cells, flags)) for cells in chunk]
            names, keys = fingerprint(chunk)
            cells = [chunk[place] for place in columns_of]
            deal = Deal(positions, 1, b"".join(names), cells, 0, 1 + retries, keys=b"".join(keys) if keys else None)
            if AGAIN in flags or twins.begin_by(stop - 1) or any(first <= row < stop for row in under_way):
                yield from with_a_past(deal)
            else:  # nearly all rows of nearly all runs
                yield deal
            left -= len(positions)
        first = stop
        if not left:
            return


def _by_columns(bound: Bound) -> tuple[Iterator[Chunk], Callable[[Chunk], Identified]]:
    """The table's chunks as columns, and a function from them to the fingerprints of rows and their keys."""
    table, options = bound.table, bound.options
    if isinstance(table, InPieces):
        return table.column_chunks(), identities_by_column(table.columns, options)
    identify = identities(table.columns, options)
    chunks = (list(zip(*rows, strict=True)) for rows in table.chunks(needed(options)) if rows)
    return chunks, lambda columns: identify(list(zip(*columns, strict=True)))


def check_rows(asked: frozenset[int] | None, rows: int) -> None:
    """Raise `InputError` for a row that the table does not have."""
    if asked and max(asked) > rows:
        raise InputError(f"row {max(asked):,} does not exist: the table has {counted(rows, 'row')}", "correct --rows")
