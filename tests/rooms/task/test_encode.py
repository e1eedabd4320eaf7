"""What a task returns reaches the disk as JSON, exactly, or fails with its place named."""

import json
import math
import subprocess
import sys
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from uuid import UUID

import numpy as np
import orjson
import pandas as pd
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.task.encode import MAX_DEPTH, Unencodable, encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Word(str, Enum):  # noqa: UP042 -- people write it like this
    YES = "yes"


@dataclass
class Match:
    same: bool
    _score: float


class Answer(pydantic.BaseModel):
    when: date
    score: float


class Broken:
    def model_dump(self, mode: str) -> object:
        raise RuntimeError("no dump today")


Point = namedtuple("Point", "x y")


@given(JSON)
def test_every_json_value_comes_back_as_it_was(value: object) -> None:
    body, lost = encode(value)
    assert json.loads(body) == value
    assert lost == 0


@given(st.text(st.characters(), max_size=20))
def test_every_text_is_valid_utf8_json(text: str) -> None:
    body, _ = encode({text: text})
    assert json.loads(body.decode("utf-8")) == {text: text}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", 1}), [1, "b"]),
        (deque([1]), [1]),
        (range(3), [0, 1, 2]),
        (Point(1, 2), [1, 2]),
        (OrderedDict(b=1), {"b": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ({1: "a", 2.5: "b", False: "c", None: "d"}, {"1": "a", "2.5": "b", "false": "c", "null": "d"}),
        (
            {Colour.RED: Colour.RED, "level": Level.LOW, "word": Word.YES},
            {"red": "red", "level": 1, "word": "yes"},
        ),
        (Decimal("1.10"), "1.10"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (PurePosixPath("a/b"), "a/b"),
        (datetime(2024, 2, 29, 12, 0, 0, 5, UTC), "2024-02-29T12:00:00.000005+00:00"),
        (date(2024, 2, 29), "2024-02-29"),
        (time(1, 2, 3), "01:02:03"),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        (Match(True, 0.5), {"same": True, "_score": 0.5}),
        (Answer(when=date(2024, 1, 1), score=1), {"when": "2024-01-01", "score": 1.0}),
    ],
)
def test_python_values_have_one_json_form(value: object, expected: object) -> None:
    assert encode(value) == (orjson.dumps(expected), 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(5), 5),
        (np.datetime64("2024-01-01T00:00:00.000000001"), "2024-01-01T00:00:00.000000001"),
        (np.array(["2024-01-01"], dtype="datetime64[ns]"), ["2024-01-01T00:00:00.000000000"]),
        (np.timedelta64(1500, "ms"), 1.5),
        ({np.int64(1): "a"}, {"1": "a"}),
        (pd.Timestamp("2024-01-01 10:00"), "2024-01-01T10:00:00"),
        (pd.Timedelta(seconds=2), 2.0),
        (pd.Series({"a": 1, "b": 2}), {"a": 1, "b": 2}),
        (pd.Index([1, 2]), [1, 2]),
        (pd.array([1, None], dtype="Int64"), [1, None]),
        (pd.Period("2024-01", "M"), "2024-01"),
    ],
)
def test_numpy_and_pandas_values_become_what_they_hold(value: object, expected: object) -> None:
    assert encode(value) == (orjson.dumps(expected), 0)


@pytest.mark.parametrize("missing", [pd.NaT, pd.NA, np.datetime64("NaT", "s"), None])
def test_missing_values_are_null_and_no_loss(missing: object) -> None:
    assert encode([missing]) == (b"[null]", 0)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        np.float64("nan"),
        np.float32("inf"),
        Decimal("NaN"),
        Decimal("-Infinity"),
    ],
)
def test_a_number_that_json_lacks_becomes_null_and_is_counted(value: object) -> None:
    assert encode({"a": [value, None, "null", value]}) == (b'{"a":[null,null,"null",null]}', 2)


def test_nan_is_counted_in_enums_arrays_and_models() -> None:
    class Odd(Enum):
        NAN = math.nan

    assert encode([Odd.NAN, None])[1] == 1
    assert encode(np.array([1.0, np.nan])) == (b"[1.0,null]", 1)
    assert encode(Match(True, math.nan))[1] == 1
    assert encode({"big": 2**70, "nan": math.nan}) == (b'{"big":1180591620717411303424,"nan":null}', 1)


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**3000], ids=int.bit_length)
def test_integers_of_any_size_stay_exact(number: int) -> None:
    assert json.loads(encode({"n": number})[0]) == {"n": number}


def test_a_lone_surrogate_is_escaped() -> None:
    body, _ = encode({"ü": "\ud800"})
    assert json.loads(body.decode("utf-8")) == {"ü": "\ud800"}


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (b"x", "result", "bytes is not JSON (decode it"),
        ({"a": bytearray(b"x")}, "result.a", "bytearray"),
        ({"items": [1, 2, 3, {"price": object()}]}, "result.items[3].price", "object"),
        ({"a b": {1, 1j}}, "result['a b'][0]", "complex"),
        ((n for n in "ab"), "result", "generator is not JSON (make it a list)"),
        ([print], "result[0]", "builtin_function_or_method"),
        ({"a": {(1, 2): 3}}, "result.a", "a key of type tuple"),
        ({"a": {1: "x", "1": "y"}}, "result.a", "two keys that are both '1'"),
        ({"m": Broken()}, "result.m", "RuntimeError: no dump today"),
        ({"f": pd.DataFrame({"a": [1]})}, "result.f", 'return .to_dict("records")'),
        (Match, "result", "type"),
        pytest.param(10**5000, "result", "digits", id="huge"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_place(value: object, path: str, reason: str) -> None:
    with pytest.raises(Unencodable) as caught:
        encode(value)
    assert caught.value.path == path
    assert reason in caught.value.reason
    assert str(caught.value) == f"{path}: {caught.value.reason}"


def test_a_value_inside_itself_is_named() -> None:
    ring: dict[str, object] = {}
    ring["self"] = [ring]
    with pytest.raises(Unencodable, match=r"result\.self\[0\]: dict that contains itself"):
        encode(ring)


def test_a_value_used_twice_is_no_cycle() -> None:
    shared = {1: 2}
    assert encode([shared, shared]) == (b'[{"1":2},{"1":2}]', 0)


def test_deep_values_are_taken_up_to_the_limit_and_named_beyond() -> None:
    deep: object = {1: 1}
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert encode(deep)[0].count(b"[") == MAX_DEPTH - 1
    with pytest.raises(Unencodable, match="levels deep"):
        encode([deep])
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Unencodable, match="levels deep"):
        encode(deep)


def test_workers_get_it_without_heavy_imports() -> None:
    code = (
        "import sys, batchrun.task.encode, batchrun.task.reply, batchrun.task.repair; "
        "print([m for m in ('numpy', 'pandas', 'pydantic', 'pyarrow', 'json_repair') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
