"""Columns come and go, --key and --columns are said later: nothing is paid again unasked, no result changes its row."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support import batchrun, database, lines_of, ran, with_rows, write_table

from batchrun.checkpoint.bind import Binder
from batchrun.checkpoint.gathering import blocks_of
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.places import places_of, prepare
from batchrun.checkpoint.placing import put
from batchrun.checkpoint.records import Settled
from batchrun.checkpoint.row_reader import each_row
from batchrun.core.states import DONE
from batchrun.errors import UsageError
from batchrun.options.settings import Settings
from batchrun.outcome.proof import verify
from batchrun.run.deals import deals
from batchrun.run.plan import Policy, make_plan
from batchrun.table.fingerprint import identities
from batchrun.table.options import ReadOptions

COLUMNS = ("a", "b", "c", "d", "Unnamed: 0")


@st.composite
def tables(draw):
    """A table, and what became of it: columns, and rows as dicts of all columns that there ever were."""
    names = st.lists(st.sampled_from(COLUMNS), unique=True, min_size=1)
    row = st.fixed_dictionaries({name: st.sampled_from("xyz") for name in COLUMNS})
    before = draw(st.lists(row, max_size=6))
    stages = [(draw(names), before, draw(st.sets(st.integers(1, 6))))]
    for _ in range(draw(st.integers(1, 2))):
        kept = [draw(st.one_of(st.just(each), row)) for each in before if draw(st.booleans())]
        before = draw(st.permutations([*kept, *draw(st.lists(row, max_size=3))]))
        stages.append((draw(names), before, draw(st.sets(st.integers(1, 6)))))
    return stages


def bind_and_settle(place, columns, rows, chosen, suffix):
    """Bind a table; settle the chosen ones of the rows that are new. Returns row -> the content its result is of."""
    path = place / "data.csv"
    if suffix == "csv":
        write_table(path, [[row[name] for name in columns] for row in rows], columns)
    else:
        path.write_text("".join(json.dumps({name: row[name] for name in columns}) + "\n" for row in rows))
    task = Settings(task="tasks.py:task")
    places = places_of(path, None, "task")
    prepare(places.folder)
    with opened(places.checkpoint, write=True) as checkpoint:
        binder = Binder(checkpoint, path, task, "tasks.py:task")
        with checkpoint.transaction():
            bound = binder.bind(places, lambda: 0)
        found = results(checkpoint)
        plan = make_plan(
            bound.rows, checkpoint.stretches(), Policy(only=frozenset(chosen & {*range(1, len(rows) + 1)}))
        )
        new = [
            Settled(
                t.position, t.fingerprint, t.key, DONE, 1, 1, 0.0,
                json.dumps({name: rows[t.position - 1][name] for name in columns}).encode(), None, "value",
            )
            for deal in deals(bound, plan, checkpoint, 0, {})
            for t in deal.tickets()
        ]  # fmt: skip
        checkpoint.write(1, new, [])
        assert not verify(checkpoint, bound).damage
        return found, results(checkpoint)


def results(checkpoint):
    sql = "SELECT position, body FROM ledger JOIN result ON id = result WHERE position > 0"
    return {position: json.loads(body) for position, body in with_rows(checkpoint.db).execute(sql)}


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stages=tables())
def test_no_result_is_joined_to_a_row_that_differs_in_the_columns_that_stayed_and_no_row_that_is_known_is_new(
    tmp_path_factory, suffix, stages
):
    assume(suffix == "csv" or all(rows for _, rows, _ in stages))  # JSON Lines without a line are no table
    place: Path = tmp_path_factory.mktemp("columns")
    (columns, rows, chosen), *later = stages
    common = set(columns)
    _, before = bind_and_settle(place, columns, rows, chosen, suffix)
    for now, new_rows, chosen in later:
        common &= set(now)
        shared = [name for name in columns if name in now]
        try:
            found, after = bind_and_settle(place, now, new_rows, chosen, suffix)
        except UsageError:
            assert before
            assert set(columns) - set(now)  # refused: nothing of it could be known, and nothing was changed
            return
        for position, body in found.items():
            assert all(body[name] == new_rows[position - 1][name] for name in common if name in body)
        if len(later) == 1:
            assert_known(columns, shared, rows, before, new_rows, found)
        columns, rows, before = now, new_rows, after


def assert_known(columns, shared, rows, before, new_rows, found):
    """Rows that are alike now, and were alike before, keep the results of those that there are still so many of."""

    def content(row, names):
        return tuple(row[name] for name in names)

    fully: dict[tuple, set] = {}
    for row in rows:
        fully.setdefault(content(row, shared), set()).add(content(row, columns))
    want = Counter(content(row, shared) for row in new_rows)
    had, least, seen = Counter(), Counter(), Counter()
    for position, row in enumerate(rows, start=1):
        alike = content(row, shared)
        if position in before:
            had[alike] += 1
            least[alike] += len(fully[alike]) == 1 and seen[alike] < want[alike]
        seen[alike] += 1
    have = Counter(content(new_rows[position - 1], shared) for position in found)
    assert all(least[alike] <= have[alike] <= min(had[alike], want[alike]) for alike in {*had, *have})


ROWS = [(1, "good"), (2, "bad"), (3, "so so"), (3, "so so")]
ECHO = ("--command", "sh -c 'echo x >> started; echo [1]' {text}")


@pytest.fixture
def folder(tmp_path):
    """A folder with a task that is content with any row."""
    task = 'def count(row):\n    open("started", "a").write("x\\n")\n    return {"count": len(row), "of": row}\n'
    (tmp_path / "tasks.py").write_text(task)
    return tmp_path


def run(table, *args):
    task = args if "--command" in args else ("--task", "tasks.py:count", *args)
    return batchrun("process", table, *task, "--json", "--no-output", cwd=table.parent)


def with_column(table, rows, name="note"):
    return write_table(table, [(f"{name} {n}", *row) for n, row in enumerate(rows)], (name, "id", "text"))


def test_a_column_that_comes_makes_other_content_and_nothing_is_paid_again_unasked(folder):
    table = write_table(folder / "data.csv", ROWS)
    assert ran(run(table)) == 4
    with_column(table, ROWS)
    stopped = run(table, "--on-change", "stop")
    assert stopped.returncode == 2
    assert "different content (column note has come)" in stopped.stderr
    kept = run(table)
    assert ran(kept) == 0
    assert (
        "column note has come: 4 rows, recognised by the columns that both tables have, keep their results"
        in kept.stderr
    )
    assert "4 rows were settled under another version of the task, or with different content" in kept.stderr
    assert ran(run(table)) == 0
    assert "checksums agree" in batchrun("verify", table).stdout
    assert ran(run(table, "--on-change", "redo")) == 4
    assert ran(run(table, "--on-change", "redo")) == 0


def test_an_index_column_comes_and_goes_and_every_row_is_what_it_was(folder):
    table = write_table(folder / "data.csv", ROWS)
    run(table)
    with_column(table, ROWS, "")
    run(table)
    write_table(table, reversed(ROWS))
    back = run(table)
    assert ran(back) == 0
    assert "different content" not in back.stderr
    assert "checksums agree" in batchrun("verify", table).stdout


def test_rows_are_known_without_a_column_that_has_gone_though_others_were_edited_inserted_and_deleted(folder):
    table = with_column(folder / "data.csv", [(n, f"text {n}") for n in range(50)])
    run(table)
    write_table(table, [(99, "new"), *((n, "edited" if n == 7 else f"text {n}") for n in range(49, 2, -1))])
    stopped = run(table, "--on-change", "stop")  # takes nothing away from the next run
    assert stopped.returncode == 2
    done = run(table)
    assert ran(done) == 2
    assert "column note has gone: 46 rows" in done.stderr
    assert "checksums agree" in batchrun("verify", table).stdout


def test_a_column_by_another_name_is_one_that_goes_and_one_that_comes(folder):
    table = write_table(folder / "data.csv", [(*row, "x") for row in ROWS], ("id", "text", "old"))
    run(table)
    write_table(table, [(*row, "x") for row in ROWS], ("id", "text", "new"))
    done = run(table)
    assert ran(done) == 0
    assert "column old has gone, column new has come: 4 rows" in done.stderr


def test_rows_that_cannot_be_told_from_each_other_any_more_are_new_unless_all_stand_where_they_stood(folder):
    table = write_table(folder / "data.csv", [(1, "a"), (2, "same"), (3, "same")])
    run(table)
    write_table(table, [("a",), ("same",), ("same",)], ("text",))
    assert ran(run(table, "--limit", "0", "--dry-run")) == 0
    write_table(table, [("same",), ("a",), ("same",)], ("text",))
    done = run(table)
    assert ran(done) == 2
    assert "1 row, recognised by the columns that both tables have, keeps its results" in done.stderr
    assert "2 rows could be any of several that were different, and are new" in done.stderr


def test_a_column_goes_and_all_rows_stay_where_they_stand(folder):
    table = write_table(folder / "data.csv", [(1, "same"), (2, "same"), (3, "b")])
    run(table)
    write_table(table, [("same",), ("same",), ("b",), ("appended",)], ("text",))
    assert ran(run(table)) == 1


def test_another_table_that_has_but_one_word_in_common_gets_no_results(folder):
    table = write_table(folder / "data.csv", [(1, "en", "a"), (2, "en", "b")], ("id", "lang", "text"))
    run(table)
    write_table(table, [("en", "Title 1"), ("en", "Title 2")], ("lang", "title"))
    refused = run(table)
    assert refused.returncode == 2
    assert (
        "columns 'id', 'text' have gone, and in the other columns rows that were different look alike" in refused.stderr
    )
    assert len(lines_of(folder / "started")) == 2


def test_where_nothing_is_left_to_know_rows_by_nothing_runs(folder):
    table = write_table(folder / "data.csv", ROWS)
    run(table)
    write_table(table, ROWS, ("ID", "Text"))
    refused = run(table)
    assert refused.returncode == 2
    assert "none of its rows can be recognised" in refused.stderr
    assert len(lines_of(folder / "started")) == 4
    write_table(table, ROWS)
    assert ran(run(table)) == 0


def test_only_the_columns_that_a_command_names_are_a_rows_content(folder):
    table = write_table(folder / "data.csv", ROWS)
    assert ran(run(table, *ECHO)) == 4
    with_column(table, ROWS)
    done = run(table, *ECHO)
    assert ran(done) == 0
    assert "note" not in done.stderr
    write_table(table, [(row[1],) for row in ROWS], ("text",))
    assert ran(run(table, *ECHO)) == 0
    assert ran(run(table, *ECHO, "--columns", "text")) == 0
    write_table(table, [("good",), ("worse",)], ("text",))
    assert ran(run(table, *ECHO)) == 1
    assert "checksums agree" in batchrun("verify", table).stdout


def as_yesterday(table, name):
    """What an earlier version would have left: names over all columns, and nothing else to know rows by."""
    with opened(database(table, name), write=True) as checkpoint, checkpoint.transaction():
        reading = {**checkpoint.get("reading")}
        reading.pop("content")
        for text in ("kept_cells", "kept_order"):
            checkpoint.db.execute(f"DROP TABLE {text}")
        checkpoint.db.execute("DELETE FROM meta WHERE key = 'named'")
        checkpoint.put(reading=reading)
        columns, *rows = [tuple(line.split(",")) for line in table.read_text().splitlines()]
        names, _ = identities(columns, ReadOptions())(rows)
        rows = [row._replace(fingerprint=names[row.position - 1]) for row in each_row(checkpoint.db)]
        put(checkpoint.db, 1, [(block, None) for block in blocks_of(rows)])


@pytest.mark.parametrize("key", [(), ("--key", "id")])
@pytest.mark.parametrize("change", ["none", "comes"])
def test_a_command_of_an_earlier_version_goes_on_where_it_was(folder, key, change):
    table = write_table(folder / "data.csv", ROWS[:3])
    run(table, *ECHO, *key)
    as_yesterday(table, "command")
    if change == "comes":
        with_column(table, ROWS[:3])
    assert ran(run(table, *ECHO, *key)) == 0
    assert "checksums agree" in batchrun("verify", table).stdout
    write_table(table, ROWS[:3])
    assert ran(run(table, *ECHO, *key)) == 0


def test_a_column_that_an_earlier_version_knew_rows_by_must_not_go_at_once(folder):
    table = with_column(folder / "data.csv", ROWS[:3])
    run(table)
    as_yesterday(table, "count")
    write_table(table, ROWS[:3])
    refused = run(table)
    assert refused.returncode == 2
    assert "an earlier version of batchrun" in refused.stderr
    with_column(table, ROWS[:3])
    assert ran(run(table, "--limit", "0")) == 0
    write_table(table, ROWS[:3])
    assert ran(run(table)) == 0


def test_key_and_columns_may_be_said_later(folder):
    table = write_table(folder / "data.csv", ROWS[:3])
    run(table)
    keyed = run(table, "--key", "id")
    assert ran(keyed) == 0
    assert "rows are named by --key id now: 3 rows, recognised by their place, keep their results" in keyed.stderr
    assert ran(run(table, "--columns", "id")) == 0
    assert ran(run(table, "--columns", "id", "--key", "id")) == 0
    write_table(table, [(3, "other"), (1, "text")])
    assert ran(run(table, "--columns", "id", "--key", "id")) == 0
    assert ran(run(table)) == 0
    assert "checksums agree" in batchrun("verify", table).stdout


def test_key_and_columns_said_while_the_table_changes_know_rows_by_what_both_have(folder):
    table = write_table(folder / "data.csv", ROWS[:3])
    run(table)
    write_table(table, [(2, "bad"), (4, "new"), (1, "good")])
    assert ran(run(table, "--key", "id")) == 1
    write_table(table, [(2, "x"), (4, "y"), (1, "z")])
    assert ran(run(table, "--key", "id")) == 0
    write_table(table, [("good", 9)], ("text", "ID"))
    refused = run(table, "--key", "ID")
    assert refused.returncode == 2
    assert "column 'id', which named the rows (--key), has gone" in refused.stderr


def test_columns_said_when_another_column_has_been_edited_keep_what_is_alike_in_them(folder):
    table = write_table(folder / "data.csv", ROWS[:3])
    run(table)
    write_table(table, [(2, "edited"), (1, "edited, too"), (5, "new")])
    assert ran(run(table, "--columns", "id", "--limit", "0")) == 0
    assert ran(run(table, "--columns", "id")) == 1


def test_a_damaged_record_stays_damaged_when_its_row_is_named_anew(folder):
    table = write_table(folder / "data.csv", ROWS[:3])
    run(table)
    with opened(database(table, "count"), write=True) as checkpoint, checkpoint.transaction():
        checkpoint.db.execute("UPDATE block SET bodies = replace(bodies, 'good', 'evil')")
    with_column(table, ROWS[:3])
    run(table, "--limit", "0")
    assert batchrun("verify", table).returncode == 4
