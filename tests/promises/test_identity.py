"""A result always belongs to its row, whatever happens to the table."""

import json
import random
import signal
import sqlite3
import subprocess
import tracemalloc
from collections import Counter

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import (
    COMMAND,
    batchrun,
    database,
    environment,
    lines_of,
    numbered,
    reading,
    records,
    settled,
    with_rows,
    write_table,
)


def run(table, *args, task="double"):
    return batchrun("process", table, "--task", "tasks.py:" + task, "--json", "--no-output", *args, cwd=table.parent)


def ids_and_results(table, task="double"):
    """id in the table -> what its settled result says the id was."""
    ids = [line.split(",")[0] for line in table.read_text().splitlines()[1:]]
    found = settled(table, task)
    return {ids[position - 1]: body["double"] // 2 for position, (_, body) in found.items() if position > 0}


def test_a_row_inserted_on_top_is_the_only_one_that_runs(folder):
    table = numbered(folder / "data.csv", 2000)
    run(table)
    header, *lines = table.read_text().splitlines()
    table.write_text("\n".join([header, "5000,new", *lines]) + "\n")
    done = records(run(table).stdout)[1]
    assert (done["ran"], done["done"]) == (1, 2001)
    assert all(int(name) == found for name, found in ids_and_results(table).items())
    assert batchrun("verify", table).returncode == 0


def test_results_follow_their_rows_through_any_edit(folder):
    table = numbered(folder / "data.csv", 60)
    run(table)
    dice = random.Random(7)
    lines = table.read_text().splitlines()[1:]
    for step in range(4):
        dice.shuffle(lines)
        del lines[:5]
        lines.insert(dice.randrange(len(lines)), f"{1000 + step},added")
        table.write_text("\n".join(["id,text", *lines]) + "\n")
        done = records(run(table).stdout)[1]
        assert done["ran"] == 1, step
        found = ids_and_results(table)
        assert len(found) == len(lines)
        assert all(int(name) == result for name, result in found.items())
        assert batchrun("verify", table).returncode == 0


@pytest.mark.parametrize("edit", ["top", "shuffled"])
def test_failed_attempts_follow_their_rows(folder, edit):
    table = numbered(folder / "data.csv", 200)
    run(table, "--retries", "0", task="failing")
    header, *lines = table.read_text().splitlines()
    if edit == "top":
        lines.insert(0, "1000,new")
        del lines[150]
    else:
        random.Random(5).shuffle(lines)
    table.write_text("\n".join([header, *lines]) + "\n")
    run(table, "--limit", "0", task="failing")
    with sqlite3.connect(database(table, "failing")) as db:
        found = db.execute("SELECT position, message FROM failure WHERE position > 0").fetchall()
    db.close()
    assert len(found) >= 19
    assert all(message == f"no luck with {lines[position - 1].split(',')[0]}" for position, message in found)
    assert "checksums agree" in batchrun("verify", table).stdout


def test_results_of_rows_that_are_gone_serve_again_when_the_row_comes_back(folder):
    table = numbered(folder / "data.csv", 10)
    whole = table.read_text()
    run(table)
    table.write_text("".join(whole.splitlines(keepends=True)[:4]))
    shrunk = run(table)
    assert "7 no longer in the input" in shrunk.stderr
    table.write_text(whole)
    back = run(table)
    assert records(back.stdout)[1]["ran"] == 0
    assert len(lines_of(folder / "started")) == 10


def test_appended_rows_are_the_only_ones_that_run(folder):
    table = numbered(folder / "data.csv", 10)
    run(table)
    numbered(table, 14)
    assert records(run(table).stdout)[1]["ran"] == 4


def test_rows_that_are_the_same_are_rows_of_their_own(folder):
    table = write_table(folder / "data.csv", [(1, "a"), (1, "a"), (2, "b"), (1, "a")])
    run(table)
    assert len(lines_of(folder / "started")) == 4
    with reading(table, "double") as db:
        names = [row[0] for row in db.execute("SELECT fingerprint FROM ledger")]
    assert len(set(names)) == 4
    write_table(table, [(1, "a"), (2, "b"), (1, "a"), (1, "a"), (1, "a")])
    assert records(run(table).stdout)[1]["ran"] == 1


def test_the_order_of_columns_and_quotes_are_no_change(folder):
    table = write_table(folder / "data.csv", [(1, "a"), (2, "b")])
    run(table)
    table.write_text('text,id\n"a",1\n"b",2\n')
    assert records(run(table).stdout)[1]["ran"] == 0


def test_with_a_key_a_row_stays_the_same_row_when_its_content_changes(folder):
    table = write_table(folder / "data.csv", [(1, "a"), (2, "b"), (3, "c")])
    run(table, "--key", "id")
    write_table(table, [(3, "c"), (2, "edited"), (1, "a")])
    kept = run(table, "--key", "id")
    assert records(kept.stdout)[1]["ran"] == 0
    assert "1 row was settled under another version of the task, or with different content" in kept.stderr
    assert run(table, "--key", "id", "--on-change", "stop").returncode == 2
    redone = run(table, "--key", "id", "--on-change", "redo")
    assert records(redone.stdout)[1]["ran"] == 1
    assert settled(table, "double")[2][1]["text"] == "edited"
    assert records(run(table, "--key", "id", "--on-change", "redo").stdout)[1]["ran"] == 0


def test_two_rows_with_one_key_are_refused_with_both_their_numbers(folder):
    table = write_table(folder / "data.csv", [(1, "a"), (2, "b"), (1, "c")])
    ran = run(table, "--key", "id")
    assert ran.returncode == 2
    assert "rows 1 and 3" in ran.stderr


def test_naming_rows_in_another_way_pays_for_nothing_twice(folder):
    table = numbered(folder / "data.csv", 5)
    run(table)
    ran = run(table, "--key", "id")
    assert ran.returncode == 0
    assert "rows are named by --key id now: 5 rows" in ran.stderr
    assert len(lines_of(folder / "started")) == 5


def test_only_the_columns_that_the_task_is_given_name_a_row(folder):
    table = write_table(folder / "data.csv", [(1, "a"), (2, "b")])
    run(table, "--columns", "id", task="short")
    write_table(table, [(1, "other"), (2, "text")])
    assert records(run(table, "--columns", "id", task="short").stdout)[1]["ran"] == 0


@pytest.mark.parametrize("seed", [11])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 5), max_size=12), st.lists(st.integers(0, 5), max_size=12))
def test_anchoring_keeps_each_identity_with_its_record(tmp_path_factory, seed, before, after):
    """Property: after any change of the table the ledger holds, for each row, the record of an equal row."""
    from batchrun.checkpoint.anchoring.anchor import anchor
    from batchrun.checkpoint.anchoring.spool import Spool
    from batchrun.checkpoint.opening import opened
    from batchrun.checkpoint.records import Settled
    from batchrun.core.states import DONE

    del seed
    place = tmp_path_factory.mktemp("anchor")

    def bind(checkpoint, values):
        with Spool(place) as spool, checkpoint.transaction():
            spool.add([bytes([value] * 16) for value in values], None)
            anchor(checkpoint, spool, place)
            return list(spool.identities())

    with opened(place / "c.sqlite", write=True) as checkpoint:
        names = bind(checkpoint, before)
        rows = [
            Settled(position, name, None, DONE, 1, 1, 0.0, b"%d" % before[position - 1], None, "value")
            for position, name in enumerate(names, start=1)
        ]
        checkpoint.write(1, rows, [])
        bind(checkpoint, after)
        sql = "SELECT position, body FROM ledger JOIN result ON id = result WHERE position > 0"
        found = {position: int(body) for position, body in with_rows(checkpoint.db).execute(sql)}
        assert all(after[position - 1] == value for position, value in found.items())
        both = sum(min(before.count(value), after.count(value)) for value in set(before))
        assert len(found) == both
        assert checkpoint.db.execute("SELECT count(*) FROM ledger").fetchone()[0] == len(before)


@pytest.mark.parametrize(
    ("ledger", "tables"),
    [
        *(("AA", ["AB"]), ("AAA", ["BA"]), ("ABA", ["CBA"]), ("AAAA", ["CC"]), ("ABBA", ["BACC"])),
        ("AAAA", ["AAABBB", "DAAABBB", "AAABBB"]),
    ],
)
def test_a_row_that_stands_in_the_ledger_twice_can_be_found_again(tmp_path, ledger, tables):
    """A table that was changed under a run may leave such a ledger."""
    from batchrun.checkpoint.anchoring.anchor import anchor
    from batchrun.checkpoint.anchoring.spool import Spool
    from batchrun.checkpoint.opening import opened
    from batchrun.checkpoint.records import Failure, Settled
    from batchrun.core.states import DONE, FAILED

    def row(position, name):
        failed = Failure(position, 1, 0.0, 0.1, 0, "exception", name, "ValueError", None, None, None)
        plain = (position, name.encode() * 16, None)
        if position % 2:
            return Settled(*plain, DONE, 1, 1, 0.0, name.encode(), None, "value")
        return Settled(*plain, FAILED, 1, 1, 0.0, failure=failed)

    with opened(tmp_path / "c.sqlite", write=True) as checkpoint:
        checkpoint.write(1, [row(position, name) for position, name in enumerate(ledger, start=1)], [])
        for table in tables:
            with Spool(tmp_path) as spool, checkpoint.transaction():
                spool.add([name.encode() * 16 for name in table], None)
                anchor(checkpoint, spool, tmp_path)
        found = dict(with_rows(checkpoint.db).execute("SELECT position, fingerprint FROM ledger").fetchall())
        names = {position: name[:1].decode() for position, name in found.items() if position > 0}
        assert all(table[position - 1] == name for position, name in names.items())
        assert set(names.values()) == set(ledger) & set(table)
        assert len(found) == len(ledger), "the second one is kept as a row that is gone"


def test_a_row_that_stands_in_the_ledger_twice_can_be_found_again_in_a_table_that_was_shuffled(tmp_path):
    from batchrun.checkpoint.anchoring.anchor import anchor
    from batchrun.checkpoint.anchoring.spool import Spool
    from batchrun.checkpoint.opening import opened
    from batchrun.checkpoint.records import Settled
    from batchrun.core.states import DONE

    names = [number.to_bytes(16, "little") for number in range(12_000)]
    ledger, table = [*names, names[5], names[7]], random.Random(3).sample(names, len(names))
    with opened(tmp_path / "c.sqlite", write=True) as checkpoint:
        rows = [
            Settled(position, name, None, DONE, 1, 1, 0.0, b"1", None, "value")
            for position, name in enumerate(ledger, start=1)
        ]
        checkpoint.write(1, rows, [])
        with Spool(tmp_path) as spool, checkpoint.transaction():
            spool.add(table, None)
            anchor(checkpoint, spool, tmp_path)
        found = (
            with_rows(checkpoint.db).execute("SELECT position, fingerprint FROM ledger ORDER BY position").fetchall()
        )
    assert [name for position, name in found if position > 0] == table
    assert len(found) == len(ledger)


def test_an_interruption_while_places_are_written_anew_is_told_as_such_and_the_next_run_goes_on(tmp_path, monkeypatch):
    from batchrun.checkpoint.anchoring import anchor
    from batchrun.checkpoint.anchoring.spool import Spool
    from batchrun.checkpoint.opening import opened
    from batchrun.checkpoint.records import Settled
    from batchrun.core.states import DONE
    from batchrun.errors import Interrupted

    names = [number.to_bytes(16, "little") for number in range(1, 101)]

    def reverse():
        with Spool(tmp_path) as spool, checkpoint.transaction():
            spool.add(names[::-1], None)
            return anchor.anchor(checkpoint, spool, tmp_path).moved

    def interrupted(places):
        yield next(places)
        raise Interrupted(signal.SIGINT, "interrupted")

    with opened(tmp_path / "c.sqlite", write=True) as checkpoint:
        rows = [Settled(position, name, None, DONE, 1, 1, 0.0, b"1") for position, name in enumerate(names, 1)]
        checkpoint.write(1, rows, [])
        with monkeypatch.context() as patch:
            patch.setattr(anchor, "_together", interrupted)
            with pytest.raises(Interrupted):
                reverse()
        assert reverse() == 100


NAMES = st.sampled_from([bytes([first, *[0] * 14, last]) for first in (0, 7) for last in range(3)])
STRETCHES = st.lists(st.tuples(NAMES, st.sampled_from([1, 2, 3, 4095, 4096, 4097])), max_size=5)


@given(STRETCHES, st.integers(1, 9000), st.integers(1, 9000))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_spool_names_equal_rows_by_how_many_stand_before_them(tmp_path, stretches, first, many):
    from batchrun.checkpoint.anchoring.spool import Spool, occurrence_of

    rows = [name for name, length in stretches for _ in range(length)]
    seen: Counter[bytes] = Counter()
    expected, twins = [], []
    for position, name in enumerate(rows, start=1):
        expected.append(occurrence_of(name, seen[name]))
        if seen[name]:
            twins.append((position, seen[name]))
        seen[name] += 1
    with Spool(tmp_path) as spool:
        spool.add(rows, None)
        assert list(spool.identities()) == rows
        spool.tell_apart()
        assert spool.has_twins == bool(twins)
        assert list(spool.twins()) == twins
        assert list(spool.identities()) == expected
        assert spool.names(first, many) == b"".join(expected[first - 1 : first - 1 + many])


@given(STRETCHES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_twins_are_found_in_buckets_that_went_to_disk(tmp_path, stretches):
    from batchrun.checkpoint.anchoring.partition import Partition

    rows = list(enumerate((name for name, length in stretches for _ in range(length)), start=1))
    first: dict[bytes, int] = {}
    seen: Counter[bytes] = Counter()
    expected = set()
    for position, name in rows:
        if name in first:
            expected.add((position, seen[name], first[name]))
        first.setdefault(name, position)
        seen[name] += 1
    with Partition(tmp_path) as partition:
        partition.add((name, position) for position, name in rows)
        for _ in range(2):  # to look at them changes nothing
            assert sorted(partition.twins()) == sorted(expected)
            assert sorted(pair for bucket in partition.buckets() for pair in bucket) == sorted(
                (name, position) for position, name in rows
            )


def test_rows_that_are_all_the_same_are_told_apart_in_flat_memory(tmp_path):
    from batchrun.checkpoint.anchoring.spool import Spool

    with Spool(tmp_path) as spool:
        for _ in range(30):
            spool.add_joined(b"x" * 16 * 4000, b"")
        tracemalloc.start()
        try:
            spool.tell_apart()
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert spool.names(120_000, 1) != b"x" * 16
    assert most < 4 << 20


def test_under_a_key_two_tables_of_one_name_do_not_share_a_checkpoint(folder):
    for place in ("a", "b"):
        (folder / place).mkdir()
        write_table(folder / place / "data.csv", [(1, place), (2, "same")])

    def task(place):
        command = ("process", f"{place}/data.csv", "--task", "tasks.py:double", "--dir", "ck", "--no-output", "--json")
        return batchrun(*command, "--key", "id", cwd=folder)

    assert task("a").returncode == 0
    other = task("b")
    assert other.returncode == 2
    assert str(folder / "a" / "data.csv") in other.stderr
    assert len(lines_of(folder / "started")) == 2
    (folder / "b" / "data.csv").unlink()
    (folder / "a" / "data.csv").rename(folder / "b" / "data.csv")
    with (folder / "b" / "data.csv").open("a") as file:
        file.write("3,more\n")
    moved = task("b")
    assert moved.returncode == 0, moved.stderr
    assert records(moved.stdout)[1]["ran"] == 1


def frame(numbers, extra=()):
    """Rows with a number each; `extra`: further ones, that may have none. As pandas has them."""
    ids = [*range(1, len(numbers) + 1), *range(1000, 1000 + len(extra))]
    return pd.DataFrame({"id": ids, "number": [*numbers, *extra], "text": [f"text {n}" for n in ids], "more": "m"})


def as_parquet(folder, table):
    table.to_parquet(folder / "data.parquet", index=False)
    return folder / "data.parquet"


def as_json_lines(folder, table):
    table.to_json(folder / "data.jsonl", orient="records", lines=True)
    return folder / "data.jsonl"


def as_folder(folder, table):
    """A file of integers, beside which one of floats appears."""
    (folder / "days").mkdir(exist_ok=True)
    whole = table.dropna().astype({"number": "int64"})
    whole.to_parquet(folder / "days/1.parquet", index=False)
    if len(whole) < len(table):
        table[table["number"].isna()].to_parquet(folder / "days/2.parquet", index=False)
    return folder / "days"


@pytest.mark.parametrize(
    "options", [(), ("--key", "number"), ("--columns", "id,number,text")], ids=["", "key", "columns"]
)
@pytest.mark.parametrize("written", [as_parquet, as_json_lines, as_folder])
def test_rows_stay_the_same_rows_when_a_missing_value_makes_floats_of_a_columns_integers(folder, written, options):
    whole, holed = frame([7, 0, -3, 1 << 53]), frame([7, 0, -3, 1 << 53], [None])
    assert (str(whole["number"].dtype), str(holed["number"].dtype)) == ("int64", "float64")
    assert records(run(written(folder, whole), *options).stdout)[1]["ran"] == 4
    table = written(folder, holed)
    assert records(run(table, *options).stdout)[1]["ran"] == 1
    assert batchrun("verify", table).returncode == 0
    if written is not as_folder:
        assert records(run(written(folder, whole), *options).stdout)[1]["ran"] == 0


def test_a_number_that_a_float_does_not_hold_is_another_one(folder):
    assert records(run(as_parquet(folder, frame([(1 << 53) + 1, 5]))).stdout)[1]["ran"] == 2
    assert records(run(as_parquet(folder, frame([(1 << 53) + 1, 5], [None]))).stdout)[1]["ran"] == 2


def test_a_column_goes_from_a_table_whose_integers_have_become_floats(folder):
    table = as_parquet(folder, frame([7, 8, 9]))
    run(table)
    less = frame([7, 8, 9], [None]).drop(columns=["more"])
    assert records(run(as_parquet(folder, less), "--on-change", "keep").stdout)[1]["ran"] == 1


EARLIER = (
    "from batchrun.checkpoint import bind; bind.FORM = 1\nfrom batchrun.__main__ import main; main()",
    "process", "data.parquet", "--task", "tasks.py:double", "--no-output",
)  # fmt: skip


@pytest.mark.parametrize(
    "columns", [("id", "number", "text", "more"), ("id", "number", "text")], ids=["all", "one gone"]
)
def test_a_checkpoint_goes_on_with_the_names_that_it_began_with(folder, columns):
    table = as_parquet(folder, frame([7, 8, 9]))
    subprocess.run([COMMAND[0], "-c", *EARLIER], cwd=folder, env=environment(), check=True)
    assert records(run(as_parquet(folder, frame([7, 8, 9, 10])[list(columns)])).stdout)[1]["ran"] == 1
    assert batchrun("verify", table).returncode == 0
    grown = frame([1.5, 7, 8, 9])[list(columns)]
    assert records(run(as_parquet(folder, grown)).stdout)[1]["ran"] == 4, "to such names 7 is not 7.0"
    with reading(table, "double") as db:
        assert "form" not in json.loads(db.execute("SELECT value FROM meta WHERE key = 'reading'").fetchone()[0])
