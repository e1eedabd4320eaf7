"""The kinds of failure: each is in the table once, and what an HTTP status means is said in one place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.core import kinds
from batchrun.core.states import SETTLED_NAMES, STATE_NAMES, spoken

NAMES = {value for name, value in vars(kinds).items() if name.isupper() and isinstance(value, str)}


def test_every_kind_that_has_a_name_is_in_the_table_and_no_other():
    assert set(kinds.KINDS) == NAMES - {kinds._FIX_CELLS}


@given(st.sampled_from(sorted(kinds.KINDS)), st.sampled_from(["prompt ask", "tool --id {id}", "tasks.py:f", "repair"]))
def test_every_kind_has_a_remedy_for_every_sort_of_task(kind, task):
    assert kinds.remedy(kind, task)


def test_a_kind_of_a_later_version_has_the_remedy_of_an_exception():
    assert kinds.remedy("melted", "tasks.py:f") == kinds.KINDS[kinds.EXCEPTION].remedy


def test_text_of_a_program_or_a_cell_is_not_asked_for_more_firmly():
    told = [kinds.remedy(kinds.NO_JSON, task) for task in ("prompt ask", "tasks.py:f", "repair")]
    assert len(set(told)) == 3
    assert "more firmly" in told[0]


@given(st.integers(400, 599))
def test_every_http_status_means_a_kind_of_a_service(status):
    assert kinds.of_status(status) in {kinds.BAD_REQUEST, kinds.AUTH, kinds.RATE_LIMITED, kinds.SERVER}


@pytest.mark.parametrize(
    ("status", "kind", "hopeless"),
    [
        (400, "bad_request", True), (401, "auth", True), (402, "bad_request", False), (403, "auth", True),
        (404, "bad_request", True), (408, "server", False), (409, "server", False), (413, "bad_request", False),
        (422, "bad_request", True), (425, "server", False), (429, "rate_limited", False), (500, "server", False),
        (503, "server", False), (529, "server", False), (599, "server", False),
    ],
)  # fmt: skip
def test_what_an_http_status_means(status, kind, hopeless):
    assert kinds.of_status(status) == kind
    assert kinds.is_hopeless(kind, status) is hopeless


def test_a_busy_service_is_never_hopeless():
    assert not any(kinds.is_hopeless(kinds.of_status(status), status) for status in kinds.BUSY)
    assert kinds.UNAVAILABLE < kinds.BUSY


def test_the_states_keep_their_numbers():
    assert dict(enumerate(STATE_NAMES)) == {
        0: "left", 1: "done", 2: "failed", 3: "timed_out", 4: "crashed", 5: "skipped",
    }  # fmt: skip
    assert [spoken(name) for name in SETTLED_NAMES] == ["done", "failed", "timed out", "crashed", "skipped"]
