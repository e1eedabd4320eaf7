"""Rows of a sheet become one block where they are alike."""

from batchrun.core.states import DONE
from batchrun.engine.deal import Deal
from batchrun.engine.slate import Slate, new_slate
from batchrun.engine.worker.slate_writer import SlateWriter
from batchrun.run.block import block_of


def sheet_of(positions):
    slate = Slate(new_slate())
    writer = SlateWriter(slate, 0, 1)
    for position in positions:
        writer.keep(position, 0.0, 1e-6, b"%d" % position)
    return slate.sheet()


def deal_of(positions, attempt=1, key=None):
    names = b"".join(b"%016d" % n for n in positions)
    return Deal(positions, attempt, names, [], keys=key and key * len(positions))


def block(deals, positions):
    return block_of(deals, sheet_of(positions), task=3, lane=1, at=5.0)


def test_rows_in_a_row_are_a_range():
    found = block([deal_of([4, 5], attempt=2), deal_of([6], attempt=2)], [4, 5, 6])
    assert found.positions == range(4, 7)
    assert (found.status, found.attempts, found.task, found.lane, found.at) == (DONE, 2, 3, 1, 5.0)
    assert found.sheet.names == b"%016d%016d%016d" % (4, 5, 6)
    assert found.sheet.bodies == b"[4,\n5,\n6]"


def test_scattered_rows_are_a_list():
    assert block([deal_of([4, 9])], [4, 9]).positions == [4, 9]


def test_rows_with_keys_bring_them_along():
    assert block([deal_of([1, 2], key=b"k" * 16)], [1, 2]).sheet.keys == b"k" * 32


def test_rows_out_of_order_are_no_block():
    assert block([deal_of([9]), deal_of([4])], [9, 4]) is None


def test_rows_at_different_attempts_are_no_block():
    assert block([deal_of([1]), deal_of([2], attempt=2)], [1, 2]) is None
