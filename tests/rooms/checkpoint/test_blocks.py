"""Rows in blocks: what was settled is read as it was, wherever its row stands and whatever was settled before."""

import contextlib
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT

from batchrun.checkpoint import seal, stored_blocks
from batchrun.checkpoint.anchoring.kept_cells import KeptCells
from batchrun.checkpoint.damage import checked_records
from batchrun.checkpoint.format import FORMAT
from batchrun.checkpoint.gathering import blocks_of
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.placing import cut
from batchrun.checkpoint.records import Failure, Settled
from batchrun.checkpoint.row_reader import RowReader, each_row, row_at
from batchrun.checkpoint.sheets import MOST_BYTES, Block, is_whole, sealed
from batchrun.checkpoint.stored_blocks import Corrupt, places
from batchrun.core.states import DONE, FAILED, LEFT, SKIPPED

ROWS = 12
POSITIONS = st.sets(st.integers(1, ROWS), max_size=ROWS)
STEPS = st.lists(st.tuples(st.sampled_from(["settle", "cut"]), POSITIONS), max_size=6)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "task.sqlite"


def row(position, dice):
    """A row that ends in some way."""
    plain = Settled(position, position.to_bytes(16, "big"), None, DONE, dice.choice([1, 2]), 1, 0.001 * position)
    match dice.randrange(4):
        case 0:
            said = f"no luck {dice.random()}"
            failure = Failure(position, plain.attempts, 1e9, 0.5, 1, "exception", said, raw="a reply")
            return plain._replace(status=FAILED, failure=failure, at=1e9, lane=1)
        case 1:
            return plain._replace(status=SKIPPED, note=dice.choice(["why", "because"]))
        case 2:
            return plain._replace(body=b'{"a":%d}' % dice.randrange(99), raw=f"a reply\n{dice.random()}", how="fence")
    return plain._replace(body=b'"a,\\nb"', how="value", key=dice.choice([None, bytes(16)]))


def told(settled):
    """What a reader is told of a row: a failure's reply is the row's."""
    how = settled.how or ("value" if settled.body else None)
    raw = settled.raw or (settled.failure.raw if settled.failure else None)
    return settled._replace(how=how, raw=raw, seconds=pytest.approx(settled.seconds))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.integers(0, 1 << 30))
def test_after_any_settling_and_cutting_each_row_is_what_it_was_settled_as_last(path, steps, seed):
    path.unlink(missing_ok=True)
    dice, expected = random.Random(seed), {}
    with opened(path, write=True) as checkpoint:
        for what, positions in steps:
            if what == "settle":
                new = {position: row(position, dice) for position in positions}
                checkpoint.write(1, new.values(), [])
                expected |= new
            else:
                for position in positions:
                    cut(checkpoint.db, position, position)
                    expected.pop(position, None)
        db = checkpoint.db
        assert [each.position for each in each_row(db)] == sorted(expected)
        assert all(each == told(expected[each.position]) for each in each_row(db))
        for position in range(1, ROWS + 1):
            found = row_at(db, position)
            assert found == told(expected[position]) if position in expected else found is None
        reader, half = RowReader(db, raws=True), seed % (ROWS + 1)
        taken = [reader.take(1, half), reader.take(half + 1, ROWS)]
        states = [state for part in taken for state in part.states]
        assert states == [expected[n].status if n in expected else LEFT for n in range(1, ROWS + 1)]
        assert not any(wrong for _, _, wrong in checked_records(db, ROWS))


ORDERS = {
    "shuffled": lambda rows: random.Random(1).sample(rows, len(rows)),
    "the other way round": lambda rows: rows[::-1],
    "pairs exchanged": lambda rows: [rows[place ^ 1] for place in range(len(rows))],
    "halves exchanged, one of them the other way round": lambda rows: rows[1000:] + rows[999::-1],
}


@pytest.mark.parametrize("order", ORDERS)
def test_rows_that_stand_in_another_order_do_not_each_open_a_block(path, monkeypatch, order):
    monkeypatch.setattr(stored_blocks, "_OPEN_BYTES", 1)  # as if no block could stay open
    rows = 2000
    with opened(path, write=True) as checkpoint:
        for first in range(1, rows, 200):
            alike = (Settled(n, bytes(16), None, DONE, 1, 1, 0.1, b"%d" % n) for n in range(first, first + 200))
            checkpoint.write(1, alike, [])
        db = checkpoint.db
        of_rows = [(block, nth + n) for _, many, block, nth in places(db) for n in range(many)]
        order = ORDERS[order](list(range(1, rows + 1)))
        moved = ((position, 1, *of_rows[row - 1]) for position, row in enumerate(order, 1))
        db.execute("BEGIN")
        db.execute("DELETE FROM place")
        db.executemany("INSERT INTO place VALUES (?, ?, ?, ?, ?)", ((*each, seal.of_place(*each)) for each in moved))
        db.execute("COMMIT")
        asked = []
        db.set_trace_callback(asked.append)
        reader = RowReader(db)
        bodies = [body for first in range(1, rows, 80) for body in reader.take(first, first + 79).bodies]
        db.set_trace_callback(None)
    assert bodies == [b"%d" % row for row in order]
    assert sum(len(json.loads(sql.partition("'")[2].partition("'")[0])) for sql in asked if "FROM block" in sql) < 200


def test_rows_that_are_alike_share_a_block_and_others_have_their_own():
    plain = [Settled(n, bytes(16), None, DONE, 1, 1, 0.1, b"{}", None, "value", at=1e9, lane=0) for n in range(1, 10)]
    assert [len(block.positions) for block in blocks_of(plain)] == [9]
    others = [
        plain[0],
        plain[1]._replace(attempts=2),
        plain[2]._replace(lane=1),
        plain[3]._replace(note="1 NaN became null"),
        plain[4]._replace(at=1e9 + 1),
        plain[5]._replace(status=SKIPPED, body=None, how=None),
        plain[6]._replace(body=b'{\n"by another hand": 1}'),
        plain[7]._replace(key=bytes(16)),
    ]
    assert [len(block.positions) for block in blocks_of(others)] == [1] * 8


def test_a_block_of_several_rows_is_never_larger_than_a_quarter_of_a_megabyte():
    large = [Settled(n, bytes(16), None, DONE, 1, 1, 0.1, b'"%b"' % (b"x" * 100_000)) for n in range(1, 6)]
    assert [len(block.positions) for block in blocks_of(large)] == [2, 2, 1]
    assert MOST_BYTES == 256 << 10


def test_a_sheet_that_comes_ready_made_is_kept_as_it_is_and_one_that_was_changed_is_known(path):
    names = b"".join(n.to_bytes(16, "big") for n in range(3))
    sheet = sealed(names, None, b"[5,6,7]", b'[{"a":1},\n2,\n"x"]', b'["r",null,null]', b'["json","value","value"]')
    assert is_whole(sheet)
    assert not any(is_whole(sheet._replace(**{field: b"[]"})) for field in sheet._fields[:6])
    with opened(path, write=True) as checkpoint:
        checkpoint.write(1, [], [], blocks=[Block([2, 3, 9], sheet, DONE, 1, 1, 0, 1e9)])
        found = list(each_row(checkpoint.db))
    assert [(one.position, one.body, one.raw, one.how) for one in found] == [
        (2, b'{"a":1}', "r", "json"), (3, b"2", None, "value"), (9, b'"x"', None, "value"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [("seconds", b'["x",1]'), ("seconds", b"[1]"), ("raws", b'[{"a":1},null]'), ("hows", b"[1,null]")],
)
def test_what_is_of_another_type_is_damage_though_its_seal_fits(path, field, value):
    parts = {"names": bytes(32), "keys": None, "seconds": b"[5,6]", "bodies": b"[1,\n2]", "raws": None, "hows": None}
    with opened(path, write=True) as checkpoint:
        checkpoint.write(1, [], [], blocks=[Block([1, 2], sealed(**{**parts, field: value}), DONE, 1, 1, 0, 1e9)])
        with pytest.raises(Corrupt):
            row_at(checkpoint.db, 2)


def test_results_are_read_in_the_view_as_they_are(path):
    values = [b"true", b"null", b'"text"', b"1.5", b"[1,2]", b'{"a":{"b":null}}']
    rows = [Settled(n, bytes(16), None, DONE, 1, 1, 0.25, body) for n, body in enumerate(values, 1)]
    with opened(path, write=True) as checkpoint:
        checkpoint.write(1, rows, [])
    with contextlib.closing(sqlite3.connect(path)) as db:  # as people do: batchrun itself trusts no view
        found = db.execute("SELECT number, result, seconds, status FROM row").fetchall()
    assert found == [(n, body.decode(), 0.25, "done") for n, body in enumerate(values, 1)]


KILLED = """
import os, pathlib, signal, sqlite3, sys
connect, left = sqlite3.connect, int(sys.argv[2])

def count(statement):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

def watched(*told, **options):
    db = connect(*told, **options)
    db.set_trace_callback(count)
    return db

sqlite3.connect = watched
from batchrun.checkpoint.opening import opened
opened(pathlib.Path(sys.argv[1]), write=True).close()
"""


def contents(path):
    with opened(path, write=False) as checkpoint:
        return list(each_row(checkpoint.db))


@pytest.mark.parametrize("version", range(1, FORMAT))
def test_a_conversion_that_is_killed_at_any_statement_leaves_the_old_file_and_goes_through_next_time(path, version):
    shutil.copy(ROOT / f"tests/data/checkpoint-v{version}.db", path)
    before, statement = contents(path), 0
    while True:
        statement += 1
        ended = subprocess.run([sys.executable, "-c", KILLED, path, str(statement)]).returncode
        assert contents(path) == before
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        with opened(path, write=False) as checkpoint:
            if checkpoint.db.execute("PRAGMA user_version").fetchone()[0] == FORMAT:
                break  # killed behind the commit
    assert statement > 15
    assert len(before) == 8


@pytest.mark.parametrize("version", range(1, FORMAT))
def test_damage_of_an_old_file_is_found_in_it_and_after_it_was_converted(path, version):
    shutil.copy(ROOT / f"tests/data/checkpoint-v{version}.db", path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'{"word":"plain"', b'{"word":"plaim"'))
    assert path.read_bytes() != data
    for write in (False, True, False):
        with opened(path, write=write) as checkpoint:
            wrong = [first for first, _, why in checked_records(checkpoint.db, 9) if why]
        assert wrong == [1]


def test_the_cells_that_late_files_of_format_2_keep_are_found_after_the_conversion(path):
    shutil.copy(ROOT / "tests/data/checkpoint-v2.db", path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE sheet_order(nth INTEGER PRIMARY KEY, sheet BLOB NOT NULL)")
        db.execute(
            "CREATE TABLE sheet(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, columns TEXT NOT NULL, "
            "fingerprints BLOB NOT NULL, cells BLOB NOT NULL)"
        )
        db.execute("INSERT INTO sheet VALUES (1, x'01', '[\"word\"]', ?, ?)", (b"f" * 32, b"c" * 16))
        db.execute("INSERT INTO sheet_order VALUES (0, x'01')")
    with opened(path, write=True) as checkpoint:
        kept = list(KeptCells(checkpoint.db).rows_before(["word"]))
    assert [fingerprint for _, fingerprint in kept] == [b"f" * 16] * 2


def test_the_oldest_seal_is_that_of_the_files_that_have_it():
    from batchrun.checkpoint.old_formats import seal_of_line

    line = Settled(3, bytes(16), None, DONE, 1, 1, 0.1, b"{}", None, "json")
    assert seal_of_line(line) == crc32(b"json", crc32(b"{}", crc32(b"1 1 " + bytes(16)))) ^ 3 * 2654435761 & 0xFFFFFFFF
    assert json.loads(line.body) == {}
