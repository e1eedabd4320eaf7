"""The plan: whatever a checkpoint says, its numbers add up and the table's order is kept."""

from hypothesis import given
from hypothesis import strategies as st

from batchrun.checkpoint.records import Stretch
from batchrun.core.states import CRASHED, DONE, FAILED, SKIPPED, TIMED_OUT
from batchrun.run.plan import AGAIN, NEW, NOT_TO_RUN, Policy, make_plan

STATES = st.sampled_from([DONE, FAILED, TIMED_OUT, CRASHED, SKIPPED])
SETTLED = st.dictionaries(st.integers(1, 40), st.tuples(STATES, st.integers(1, 2)))
POLICIES = st.builds(
    Policy,
    retry=st.sampled_from(["failed", "crashed", "all", "none"]),
    redo_stale=st.booleans(),
    limit=st.none() | st.integers(0, 50),
    only=st.none() | st.frozensets(st.integers(1, 40), min_size=1),
)


def stretches(settled, longest=10):
    """Neighbours that are alike, taken together up to a length."""
    found = []
    for position in sorted(settled):
        before = found[-1] if found else Stretch(0, -1, 0, 0)
        alike = (before.last + 1, before.status, before.task) == (position, *settled[position])
        if alike and before.last - before.first + 1 < longest:
            found[-1] = before._replace(last=position)
        else:
            found.append(Stretch(position, position, *settled[position]))
    return found


@given(SETTLED, POLICIES, st.integers(1, 7))
def test_new_done_retried_and_kept_rows_add_up_to_the_table(settled, policy, size):
    plan = make_plan(40, stretches(settled, size), policy, task=1)
    assert plan.new + plan.redone + sum(plan.retry.values()) + sum(plan.kept.values()) == 40
    assert plan.to_run == 40 - plan.flags.count(NOT_TO_RUN)
    if not policy.redo_stale and policy.retry == "none":
        assert plan.stale == sum(task == 2 for _, task in settled.values())


@given(SETTLED, POLICIES)
def test_only_rows_that_were_asked_for_run_the_first_ones_first(settled, policy):
    free = make_plan(40, stretches(settled), Policy(policy.retry, policy.redo_stale), task=1)
    plan = make_plan(40, stretches(settled), policy, task=1)
    would = [row for row in range(1, 41) if free.flags[row - 1] and (policy.only is None or row in policy.only)]
    runs = [row for row in range(1, 41) if plan.flags[row - 1]]
    assert runs == (would if policy.limit is None else would[: policy.limit])


@given(SETTLED, st.none() | st.integers(0, 50), st.none() | st.frozensets(st.integers(1, 40), min_size=1))
def test_with_redo_exactly_the_rows_asked_for_run_whatever_has_become_of_them(settled, limit, only):
    plan = make_plan(40, stretches(settled), Policy("none", limit=limit, only=only, redo=True), task=1)
    asked = (sorted(only) if only else list(range(1, 41)))[:limit]
    assert [row for row in range(1, 41) if plan.flags[row - 1]] == asked
    assert all((plan.flags[row - 1] == AGAIN) == (row in settled) for row in asked)
    assert plan.redone == len(settled.keys() & set(asked))
    assert plan.new + plan.redone + sum(plan.kept.values()) == 40


@given(SETTLED)
def test_a_row_without_a_record_is_new_and_one_with_a_record_is_not(settled):
    plan = make_plan(40, stretches(settled), Policy(retry="all", redo_stale=True), task=1)
    for row in range(1, 41):
        assert (plan.flags[row - 1] == NEW) == (row not in settled)


@given(SETTLED, st.integers(1, 50))
def test_how_neighbours_are_taken_together_changes_nothing(settled, size):
    one = make_plan(40, stretches(settled, 1), Policy(), task=1)
    other = make_plan(40, stretches(settled, size), Policy(), task=1)
    assert one == other


def test_the_plan_reads_as_a_sentence():
    settled = [Stretch(1, 5, DONE, 1), *(Stretch(n, n, s, 1) for n, s in ((6, FAILED), (7, TIMED_OUT), (8, CRASHED)))]
    plan = make_plan(10, settled, Policy(), task=1, gone=3)
    assert str(plan) == (
        "10 rows: 5 done, 2 new, 2 to retry (1 failed, 1 timed out), 1 crashed; 3 no longer in the input"
    )
    assert list(plan.flags[5:]) == [AGAIN, AGAIN, NOT_TO_RUN, NEW, NEW]


@given(SETTLED, st.frozensets(st.integers(1, 40)))
def test_rows_with_other_content_are_stale_each_for_itself(settled, changed):
    settled = dict.fromkeys(settled, (DONE, 1))
    plan = make_plan(40, stretches(settled), Policy(redo_stale=True), task=1, changed=changed)
    assert plan.redone == len(changed & set(settled))
    assert all((plan.flags[row - 1] == AGAIN) == (row in changed) for row in settled)
