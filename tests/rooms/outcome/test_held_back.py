"""Refusals, limits and pauses of a run are kept in bounded memory, and are charts of the report."""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from support import batchrun, numbered

from batchrun.outcome.report.held_back import held_back
from batchrun.outcome.report.timeline import Span, timeline
from batchrun.run.restraint import MOST_BINS, Restraint

LINE = timeline([Span(1000.0, 1060.0)], most=60)


@given(some.lists(some.tuples(some.floats(0, 5000), some.integers(0, 9)), max_size=50))
def test_no_refusal_is_lost_however_long_it_takes(looks):
    restraint, now, so_far = Restraint(100.0), 100.0, 0
    for seconds, more in looks:
        now, so_far = now + seconds, so_far + more
        restraint.look(now, refusals=so_far, limit=None, paused=False)
    kept = restraint.as_fact() or {"refusals": []}
    assert sum(kept["refusals"]) == so_far
    assert len(kept["refusals"]) <= MOST_BINS


def test_a_run_that_nothing_held_back_keeps_nothing():
    restraint = Restraint(0.0)
    restraint.look(1.0, refusals=0, limit=None, paused=False)
    assert restraint.as_fact() is None


def test_what_was_kept_stands_where_it_happened():
    restraint = Restraint(0.0)
    restraint.look(10.2, refusals=3, limit=8, paused=False)
    restraint.look(20.2, refusals=3, limit=None, paused=True)
    found = held_back(LINE, [(1000.0, restraint.as_fact())])
    ten, twenty = (LINE.index(int(seconds // LINE.width)) for seconds in (10.2, 20.2))
    assert (sum(found.refusals), found.refusals[ten], found.limit[ten]) == (3, 3, 8)
    assert (found.paused[ten], found.paused[twenty], found.limit[twenty]) == (0, 1, 0)


@pytest.mark.parametrize(
    "fact",
    [7, {}, {"width": 0, "refusals": [1], "limit": [1], "paused": [1]}, {"width": 1, "refusals": 3},
     {"width": float("nan"), "refusals": [1], "limit": [1], "paused": [1]},
     {"width": 1, "refusals": ["x"], "limit": [None], "paused": [0]}],
)  # fmt: skip
def test_what_cannot_be_true_is_left_out(fact):
    assert sum(held_back(LINE, [(1000.0, fact)]).refusals) == 0


def test_the_report_shows_refusals_and_pauses(tmp_path):
    (tmp_path / "tasks.py").write_text(
        "import batchrun, pathlib\n\n"
        "def task(row):\n"
        "    seen = pathlib.Path(__file__).with_name(f\"seen{row['id']}\")\n"
        "    if row['id'] == 2 and not seen.exists():\n"
        "        seen.touch()\n"
        "        raise batchrun.RetryLater(0.6)\n"
        "    return 1\n"
    )
    table = numbered(tmp_path / "data.csv", 3)
    ran = batchrun("process", table, "-t", "tasks.py:task", "--no-output", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    page = batchrun("report", table, "-o", "-").stdout
    assert "Refusals (429, busy) in each" in page
    assert "1 refusal" in page
    assert "Time in which the run was paused" in page
