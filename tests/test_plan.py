"""The plan: whatever a checkpoint says, its numbers add up and the table's order is kept."""

from hypothesis import given
from hypothesis import strategies as st

from batchrun.checkpoint import CRASHED, DONE, FAILED, SKIPPED, TIMED_OUT
from batchrun.plan import AGAIN, NEW, NOT_TO_RUN, Policy, make_plan

STATES = st.sampled_from([DONE, FAILED, TIMED_OUT, CRASHED, SKIPPED])
SETTLED = st.dictionaries(st.integers(1, 40), st.tuples(STATES, st.integers(1, 2)))
POLICIES = st.builds(
    Policy,
    retry=st.sampled_from(["failed", "crashed", "all", "none"]),
    redo_stale=st.booleans(),
    limit=st.none() | st.integers(0, 50),
    only=st.none() | st.frozensets(st.integers(1, 40), min_size=1),
)


def blocks(settled, size):
    rows = [(position, *settled[position]) for position in sorted(settled)]
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@given(SETTLED, POLICIES, st.integers(1, 7))
def test_new_done_retried_and_kept_rows_add_up_to_the_table(settled, policy, size):
    plan = make_plan(40, blocks(settled, size), policy, task=1)
    assert plan.new + plan.redone + sum(plan.retry.values()) + sum(plan.kept.values()) == 40
    assert plan.to_run == 40 - plan.flags.count(NOT_TO_RUN)
    assert plan.stale == sum(task == 2 for _, task in settled.values())


@given(SETTLED, POLICIES)
def test_only_rows_that_were_asked_for_run_the_first_ones_first(settled, policy):
    free = make_plan(40, blocks(settled, 5), Policy(policy.retry, policy.redo_stale), task=1)
    plan = make_plan(40, blocks(settled, 5), policy, task=1)
    would = [row for row in range(1, 41) if free.flags[row - 1] and (policy.only is None or row in policy.only)]
    runs = [row for row in range(1, 41) if plan.flags[row - 1]]
    assert runs == (would if policy.limit is None else would[: policy.limit])


@given(SETTLED)
def test_a_row_without_a_record_is_new_and_one_with_a_record_is_not(settled):
    plan = make_plan(40, blocks(settled, 8), Policy(retry="all", redo_stale=True), task=1)
    for row in range(1, 41):
        assert (plan.flags[row - 1] == NEW) == (row not in settled)


@given(SETTLED, st.integers(1, 50))
def test_the_size_of_blocks_changes_nothing(settled, size):
    one = make_plan(40, blocks(settled, 1), Policy(), task=1)
    other = make_plan(40, blocks(settled, size), Policy(), task=1)
    assert one == other


def test_the_plan_reads_as_a_sentence():
    settled = [(row, DONE, 1) for row in range(1, 6)] + [(6, FAILED, 1), (7, TIMED_OUT, 1), (8, CRASHED, 1)]
    plan = make_plan(10, [settled], Policy(), task=1, gone=3)
    assert str(plan) == (
        "10 rows: 5 done, 2 new, 2 to retry (1 failed, 1 timed out), 1 crashed; 3 no longer in the input"
    )
    assert list(plan.flags[5:]) == [AGAIN, AGAIN, NOT_TO_RUN, NEW, NEW]
