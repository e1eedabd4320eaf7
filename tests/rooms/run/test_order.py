"""Random order: every row once, any number of first ones a fair sample, and the same again for the same seed."""

import signal
from pathlib import Path
from statistics import mean
from tempfile import gettempdir

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batchrun, numbered, settled

from batchrun.engine.deal import Deal, Ticket
from batchrun.errors import Interrupted
from batchrun.run.order import first_of, shuffled

FOLDER = Path(gettempdir())
SEEDS = st.integers(0, 10**18 - 1)


def deals(rows, *, attempts=(1,), keyed=False):
    """Rows by number as deals of one each; every so many of them have another number of attempts."""
    for row in rows:
        attempt = attempts[row % len(attempts)]
        key = row.to_bytes(16, "big") if keyed else None
        yield Ticket(row, attempt, row.to_bytes(16, "little"), (f"cell {row}",), attempt - 1, 3, 0, key).alone()


def order_of(rows, seed):
    return [row for deal in shuffled(deals(rows), seed, FOLDER, lambda: 0) for row in deal.positions]


@given(st.sets(st.integers(1, 10_000), max_size=300), SEEDS, st.booleans())
def test_every_row_comes_once_with_all_that_belongs_to_it(rows, seed, keyed):
    def tickets(found):
        return {ticket for deal in found for ticket in deal.tickets()}

    before = [*deals(rows, attempts=(1, 2, 1), keyed=keyed)]
    after = [*shuffled(before, seed, FOLDER, lambda: 0)]
    assert sum(deal.rows for deal in after) == len(rows)
    assert tickets(after) == tickets(before)
    assert all([*deal.positions] == sorted(deal.positions) for deal in after)


@given(st.integers(1, 500), SEEDS)
def test_the_order_is_that_of_the_seed_and_rows_that_are_gone_do_not_change_it(rows, seed):
    order = order_of(range(1, rows + 1), seed)
    assert order_of(range(1, rows + 1), seed) == order
    begun = min(rows, 64)  # so far, rows come one by one
    assert [*first_of(range(1, rows + 1), begun, seed)] == sorted(order[:begun])
    rest = sorted(order[begun // 2 :])
    assert order_of(rest, seed)[: begun - begun // 2] == order[begun // 2 : begun]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_number_of_first_rows_is_a_fair_sample(seed):
    order = order_of(range(1, 10_001), seed)
    assert order != order_of(range(1, 10_001), seed + 1)
    for first in (50, 500, 5_000):
        deviation = 10_000 / 12**0.5 / first**0.5
        assert abs(mean(order[:first]) - 5_000) < 3.5 * deviation + 10_000 / 64


def test_rows_come_one_by_one_at_first_and_in_larger_deals_later():
    sizes = [deal.rows for deal in shuffled(deals(range(1, 10_001)), 1, FOLDER, lambda: 0)]
    assert set(sizes[:64]) == {1}
    assert 100 < max(sizes) <= 10_000 / 64


def test_long_rows_are_not_dealt_together():
    cells = ("x" * (1 << 20),)
    long = [Deal((row,), 1, bytes(16), [(cell,) for cell in cells]) for row in range(1, 131)]
    assert max(deal.rows for deal in shuffled(long, 1, FOLDER, lambda: 0)) == 1


def test_who_asks_to_end_while_rows_are_laid_aside_is_heard():
    with pytest.raises(Interrupted) as interrupted:
        next(shuffled(deals(range(1, 10)), 1, FOLDER, lambda: signal.SIGINT))
    assert interrupted.value.exit_code == 130


def test_a_sample_of_a_table_grows_with_each_run_and_the_whole_table_runs_in_the_end(tmp_path):
    (tmp_path / "tasks.py").write_text("def double(row):\n    return 2 * row['id']\n")
    table = numbered(tmp_path / "data.csv", 1_000)
    command = ("process", table, "--task", "tasks.py:double", "--order", "random:7")
    for rows in (50, 100):
        ran = batchrun(*command, "--limit", "50", cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        assert "rows run in random order, with seed 7 (--order random:7)" in ran.stderr
        assert [*settled(table, "double")] == first_of(range(1, 1_001), rows, 7)
    assert batchrun(*command, cwd=tmp_path).returncode == 0
    assert settled(table, "double") == {row: (1, 2 * row) for row in range(1, 1_001)}
