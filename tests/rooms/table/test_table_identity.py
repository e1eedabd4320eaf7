"""Fingerprints: the same content, the same 16 bytes; any other content, others."""

import datetime
import json
import math
import uuid
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import identified

from batchrun.table.detect import open_table
from batchrun.table.fingerprint import identities
from batchrun.table.options import ReadOptions

DAY = datetime.datetime(2024, 1, 2)


def fingerprint(names: str, row: tuple[Any, ...], **options: Any) -> bytes:
    return identities(names.split(), ReadOptions(**options))([row])[0][0]


def test_a_fingerprint_never_changes_from_one_release_to_the_next() -> None:
    assert fingerprint("b a", ("x", "1")).hex() == "faec727462dad567394ce9c62af4e512"
    assert fingerprint("b a", (Decimal("1.50"), [1, {"k": None}])).hex() == "0b1103eaa8f740d8c470c1bbff98a1e0"
    assert fingerprint("a b c", (1.0, 1, 2.5)).hex() == "50b21ef9fb8339859938c56dc5c8f97d"
    assert fingerprint("a b c", (1.0, 1, 2.5), form=1).hex() == "453fc9ce510336d56a8cbba9e818b392"


def test_the_order_of_columns_does_not_matter_but_their_names_do() -> None:
    assert fingerprint("a b", ("1", "2")) == fingerprint("b a", ("2", "1"))
    assert fingerprint("a b", ("1", "2")) != fingerprint("a c", ("1", "2"))
    assert fingerprint("a b", ("1", "2")) != fingerprint("a b", ("2", "1"))


def test_columns_that_the_task_is_not_given_do_not_matter() -> None:
    assert fingerprint("a b c", ("1", "x", "3"), columns=("c", "a")) == fingerprint("a c", ("1", "3"))


def test_null_and_missing_are_the_same() -> None:
    assert fingerprint("a b", ("1", None)) == fingerprint("a", ("1",))
    assert fingerprint("a b", (None, "1")) != fingerprint("a b", ("1", None))


def test_a_key_names_a_row_by_its_columns_only() -> None:
    of = identities(["id", "x", "y"], ReadOptions(key=("y", "id")))
    prints, keys = of([("1", "a", "2"), ("1", "b", "2"), ("2", "a", "1")])
    assert keys is not None
    assert keys[0] == keys[1] != keys[2]
    assert len(set(prints)) == 3


UNLIKE = [
    *("1", "1.0", "null", "", "[]", "2024-01-02T00:00:00", "Decimal('1')", "\ud800", "d800", "\ufffd"),
    *(1, True, 1.0, 0, False, 0.0, -0.0, math.nan, math.inf, -math.inf, 1 << 64, float(1 << 64), 1 << 63),
    *(Decimal("1"), Decimal("1.0"), b"1", b"", DAY, DAY.date(), datetime.time(), datetime.timedelta(1)),
    *(DAY.replace(tzinfo=datetime.UTC), uuid.UUID(int=0), str(uuid.UUID(int=0))),
    *([], {}, (), [None], [[]], [1], ["1"], [1.0], [True], [math.nan], ["list"], [1 << 64], ["\ud800"]),
    *({"a": 1}, {"a": "1"}, {"a": None}, {"a": [1]}, {"a": Decimal(1)}, ["a", 1], ["dict", "a", 1]),
    *(
        ["Decimal", "Decimal('1')"],
        ["int", hex(1 << 64)],
        ["float", "nan"],
        ["str", "eda080"],
    ),
]


ONE_NUMBER = [(1, 1.0), (0, 0.0), (1 << 64, float(1 << 64)), ([1], [1.0])]


@pytest.mark.parametrize("form", [1, 2])
def test_no_two_values_look_alike(form: int) -> None:
    prints = [fingerprint("a", (value,), form=form) for value in UNLIKE]
    alike = [pair for pair in combinations(range(len(UNLIKE)), 2) if prints[pair[0]] == prints[pair[1]]]
    assert [(UNLIKE[one], UNLIKE[other]) for one, other in alike] == ([] if form == 1 else ONE_NUMBER)


@given(st.integers(-(1 << 70), 1 << 70) | st.integers(-20, 20), st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_one_value_whatever_type_holds_it(whole: int, number: float) -> None:
    other = float(whole)
    assert (fingerprint("a", (whole,)) == fingerprint("a", (other,))) == (whole == int(other))
    assert (fingerprint("a", (whole,)) == fingerprint("a", (number,))) == (whole == number and str(number) != "-0.0")


def test_what_is_no_number_is_none_though_it_looks_like_one() -> None:
    for number, other in ((1, True), (1, "1"), (1.0, "1.0"), (0, False), (0, -0.0), (1, Decimal(1)), (0, None)):
        assert fingerprint("a", (number,)) != fingerprint("a", (other,))


def test_the_order_of_keys_within_an_object_does_not_matter() -> None:
    assert fingerprint("a", ({"x": 1, "y": 2},)) == fingerprint("a", ({"y": 2, "x": 1},))


PLAIN = st.text(max_size=3) | st.integers() | st.booleans() | st.none()
VALUE = st.recursive(
    PLAIN | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(one=st.tuples(VALUE, VALUE), other=st.tuples(VALUE, VALUE))
def test_rows_have_one_fingerprint_exactly_if_they_are_the_same_json(
    one: tuple[Any, ...], other: tuple[Any, ...]
) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint("a b", one, form=1) == fingerprint("a b", other, form=1)) == same


@given(rows=st.lists(st.tuples(PLAIN, st.text(max_size=2)), max_size=8))
def test_a_row_has_the_same_fingerprint_whatever_rows_are_beside_it(rows: list[tuple[Any, ...]]) -> None:
    of = identities(["a", "b"], ReadOptions())
    assert of(rows)[0] == [of([row])[0][0] for row in rows]


@given(
    rows=st.lists(st.tuples(st.sampled_from(["1", "02", "x", "", "1.5"]), st.text('ab\n,"', max_size=3))),
    chunk_rows=st.integers(1, 5),
)
def test_what_a_scan_finds_does_not_depend_on_the_size_of_chunks(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], chunk_rows: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "chunks.csv"
    quoted = ["{},{}".format(*('"' + cell.replace('"', '""') + '"' for cell in row)) for row in rows]
    path.write_bytes("\n".join(["a,b", *quoted]).encode())
    assert identified(path, chunk_rows, key=("a",)) == identified(path, key=("a",))


def test_the_second_pass_names_rows_as_the_scan_did(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,b\n" + "".join(f"{row},x\n" for row in range(2500)))
    found, prints, keys = identified(path, key=("a",))
    options = ReadOptions(key=("a",))
    of = identities(found.columns, options)
    again = [of(chunk) for chunk in open_table(path, options, found.columns).chunks()]
    assert [one for chunk, _ in again for one in chunk] == prints
    assert [key for _, chunk in again for key in chunk or []] == keys
    assert len(set(prints)) == len(prints) == found.rows == 2500
