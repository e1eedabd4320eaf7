"""Deals: whatever is cut and handed out, every row keeps what is its own, and none is there twice."""

import pickle
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from batchrun.engine.deal import Deal, parts, pop, rows_of, take

NUMBERS = st.lists(st.integers(1, 60), unique=True, max_size=30).map(sorted)


def deal_of(positions, attempt=1):
    names, keys = (b"".join(b"%s%015d" % (kind, n) for n in positions) for kind in (b"n", b"k"))
    return Deal(positions, attempt, names, [[str(n) for n in positions]], 1, 3, 2, keys)


def is_own(ticket):
    n = ticket.position
    return ticket[2:] == (b"n%015d" % n, (str(n),), 1, 3, 2, b"k%015d" % n)


@given(NUMBERS, st.data())
def test_a_part_has_its_own_rows_and_all_that_is_theirs(numbers, data):
    deal = deal_of(numbers)
    start = data.draw(st.integers(0, len(numbers)))
    stop = data.draw(st.integers(start, len(numbers)))
    part = deal.part(start, stop)
    assert [ticket.position for ticket in part.tickets()] == numbers[start:stop]
    assert all(map(is_own, part.tickets()))
    assert all(deal.of(n) == ticket for n, ticket in zip(numbers, deal.tickets(), strict=True))


@given(st.lists(NUMBERS.filter(bool), max_size=5), st.lists(st.integers(1, 40)))
def test_what_is_taken_and_what_is_left_are_all_rows_in_their_order(lists, sizes):
    deals = deque(map(deal_of, lists))
    taken = []
    for size in sizes:
        some = take(deals, size)
        assert rows_of(some) == min(size, sum(map(len, lists)) - len(taken))
        taken += [n for deal in some for n in deal.positions]
    assert [*taken, *(n for deal in deals for n in deal.positions)] == [n for numbers in lists for n in numbers]


@given(st.lists(NUMBERS, max_size=5), st.permutations(range(1, 61)), st.integers(0, 60))
def test_rows_are_found_again_with_the_deal_they_were_sent_with_last(lists, order, count):
    sent = {}
    for attempt, numbers in enumerate(lists, start=1):
        deal = deal_of(numbers, attempt)
        sent.update(dict.fromkeys(numbers, deal))
    asked, last = order[:count], {n: deal.attempt for n, deal in sent.items()}
    found = [ticket for part in parts(sent, asked) for ticket in part.tickets()]
    assert [ticket.position for ticket in found] == [n for n in asked if n in last]
    assert all(is_own(ticket) and ticket.attempt == last[ticket.position] for ticket in found)
    pop(sent, asked)
    assert sent.keys() == last.keys() - set(asked)


def test_rows_that_stand_together_stay_together():
    deal = deal_of(range(10, 20))
    sent = dict.fromkeys(deal.positions, deal)
    assert [part.positions for part in pop(sent, range(12, 15))] == [range(12, 15)]
    assert [part.positions for part in pop(sent, [10, 11, 15, 17, 18])] == [range(10, 12), range(15, 16), range(17, 19)]
    assert list(sent) == [16, 19]


@given(st.lists(st.tuples(st.text() | st.none() | st.integers() | st.just("a\0b"), st.text()), min_size=1))
def test_cells_are_the_same_after_their_way_to_the_worker(rows):
    deal = Deal(range(1, len(rows) + 1), 2, bytes(16 * len(rows)), list(zip(*rows, strict=True)), 1)
    received = Deal.received(pickle.loads(pickle.dumps(deal.for_worker())))
    assert [ticket.cells for ticket in received.tickets()] == rows
    assert received[:3] == deal[:3]
