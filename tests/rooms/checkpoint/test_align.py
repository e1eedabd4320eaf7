"""Aligning an edited table with its old self: every match is true, and nothing that is there is missed."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.checkpoint.anchoring.align import WIDTH, align, common


def name(value):
    return value.to_bytes(WIDTH, "big")


def joined(values):
    return b"".join(map(name, values))


def aligned(old, new, block=3, gone=None):
    """Old position -> new position, as `align` finds it."""
    stretches = [(start + 1, joined(old[start : start + block])) for start in range(0, len(old), block)]
    found = align(stretches, lambda first, count: joined(new[first - 1 : first - 1 + count]), len(new), gone or {})
    assert found is not None
    places = {s.old + n: s.new + n for s in found.segments for n in range(s.length)}
    return places, found.aside


DISTINCT = st.lists(st.integers(0, 30), unique=True, max_size=20)


@given(DISTINCT, DISTINCT, st.integers(1, 5))
@settings(max_examples=300)
def test_every_old_row_is_found_where_it_stands_or_set_aside(old, new, block):
    places, aside = aligned(old, new, block)
    assert all(old[was - 1] == new[now - 1] for was, now in places.items())
    assert {old[was - 1] for was in places} == set(old) & set(new)
    assert aside == {name(value): old.index(value) + 1 for value in old if value not in new}


def test_rows_that_come_back_are_found_among_those_that_nothing_matches():
    places, aside = aligned([1, 2, 3], [1, 9, 2, 3], gone={name(9): -1, name(8): -2})
    assert places == {1: 1, -1: 2, 2: 3, 3: 4}
    assert aside == {name(8): -2}


def test_a_table_that_was_shuffled_gives_up():
    old = list(range(60_000))
    new = old.copy()
    random.Random(1).shuffle(new)
    assert (
        align([(1, joined(old))], lambda first, count: joined(new[first - 1 : first - 1 + count]), 60_000, {}) is None
    )


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_the_common_beginning_is_measured_in_whole_names(one, other):
    length = common(one, other)
    assert length % WIDTH == 0
    assert one[:length] == other[:length]
    rest, further = one[length : length + WIDTH], other[length : length + WIDTH]
    assert len(rest) < WIDTH or len(further) < WIDTH or rest != further
