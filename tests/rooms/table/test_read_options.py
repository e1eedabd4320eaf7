"""How a table was read is kept with its checkpoint, and is the same when it comes back."""

import json

from hypothesis import given
from hypothesis import strategies as st

from batchrun.table.options import ReadOptions

NAMES = st.none() | st.lists(st.text(min_size=1), min_size=1, unique=True).map(tuple)
OPTIONS = st.builds(
    ReadOptions,
    encoding=st.none() | st.sampled_from(["latin-1", "utf-16"]),
    sep=st.none() | st.sampled_from([";", "tab"]),
    skip_bad_rows=st.booleans(),
    dtypes=st.dictionaries(st.text(), st.sampled_from(["str", "int"])),
    missing=st.lists(st.text(), unique=True).map(sorted).map(tuple),
    columns=NAMES,
    key=NAMES,
    no_header=st.booleans(),
    skip_lines=st.integers(0, 9),
    escape=st.none() | st.just("\\"),
    content=st.none() | st.lists(st.text()).map(tuple),
)


@given(OPTIONS)
def test_options_come_back_from_a_checkpoint_as_they_were(options):
    assert ReadOptions.of(json.loads(json.dumps(options.as_fact()))) == options


def test_what_an_earlier_version_did_not_write_down_was_not_said():
    fact = {"columns": [], "key": ["id"], "dtype": {}, "encoding": None, "sep": ";", "bad_rows": "stop"}
    assert ReadOptions.of(fact) == ReadOptions(key=("id",), sep=";", skip_lines=0, form=1)
