"""Tables made to fill the memory or to take for ever: endless lines, however they are packed, and very many columns."""

import bz2
import gzip
import lzma
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support import wait_for
from tables import ended, peak_of, plan

from batchrun.errors import InputError
from batchrun.table import compression
from batchrun.table.detect import open_table
from batchrun.table.header import column_places
from batchrun.table.options import ReadOptions

MEBIBYTE = 1 << 20


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
@pytest.mark.parametrize("begin", ["id,text\n1,", 'id,text\n1,"', '{"a":1}\n{"a":"'])
@pytest.mark.parametrize("packed", [open, gzip.open, bz2.open, lzma.open])
def test_a_line_without_an_end_is_refused_while_it_is_read(tmp_path, monkeypatch, encoding, begin, packed):
    monkeypatch.setattr(compression, "LARGEST_LINE", 3 * MEBIBYTE)
    path = tmp_path / ("data.jsonl" if begin.startswith("{") else "data.csv")
    with packed(path, "wb") as file:
        file.write((begin + "a" * 5 * MEBIBYTE).encode(encoding))
    said = None if encoding == "utf-16" else encoding
    with pytest.raises(InputError, match=r"the line from byte [\d,]+ on is longer than"):
        for _ in open_table(path, ReadOptions(encoding=said)).chunks():
            pass


def test_lines_as_long_as_may_be_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(compression, "LARGEST_LINE", 3 * MEBIBYTE)
    path = tmp_path / "data.csv"
    path.write_text("id,text\n" + "".join(f"{n},{'a' * 2 * MEBIBYTE}\n" for n in range(5)))
    rows = [row for chunk in open_table(path, ReadOptions()).chunks() for row in chunk]
    assert [(n, len(text)) for n, text in rows] == [(str(n), 2 * MEBIBYTE) for n in range(5)]


def write_packed(path, begin, part, times):
    path.write_bytes(gzip.compress(begin) + gzip.compress(part, 1) * times)


def test_a_small_file_that_unpacks_into_a_huge_line_takes_no_more_memory_than_the_limit(tmp_path):
    write_packed(tmp_path / "data.csv.gz", b"id,text\n1,", b"a" * 10 * MEBIBYTE, 100)
    process = plan(tmp_path / "data.csv.gz")
    peak = peak_of(process)
    code, said, _ = ended(process)
    assert (code, "longer than 128 MiB" in said) == (2, True), said
    assert 20 * MEBIBYTE < peak < 450 * MEBIBYTE


def reads(process, table, more_than):
    """Whether it has read so many bytes of the table."""
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(OSError):
            place = Path(f"/proc/{process.pid}/fdinfo/{link.name}").read_text()
            if link.readlink() == table and int(place.split()[1]) > more_than:
                return True
    return False


def test_ctrl_c_is_heeded_within_a_second_while_a_table_is_unpacked(tmp_path):
    write_packed(tmp_path / "data.csv.gz", b"id,text\n", (b"1," + b"a" * 1021 + b"\n") * 10_240, 200)
    process = plan(tmp_path / "data.csv.gz")
    wait_for(lambda: reads(process, tmp_path / "data.csv.gz", MEBIBYTE))
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130, said
    assert time.monotonic() - began < 5  # one on a quiet machine


def test_ctrl_c_is_heeded_within_a_second_while_a_row_of_very_many_columns_is_read(tmp_path):
    columns = 600_000
    path = tmp_path / "data.csv"
    path.write_text(",".join(f"c{n}" for n in range(columns)) + "\n" + ",".join(["1"] * columns) + "\n")
    process = plan(path)
    wait_for(lambda: reads(process, path, MEBIBYTE))
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    said = process.communicate(timeout=60)[1].decode()
    assert (process.returncode, "nothing was changed" in said) == (130, True), said
    assert time.monotonic() - began < 2, "it was five seconds and more"


def test_work_grows_with_the_number_of_columns_and_no_faster():
    names = [f"c{n}" for n in range(300_000)]
    began = time.process_time()
    assert column_places(names, reversed(names)) == list(range(299_999, -1, -1))
    assert time.process_time() - began < 5


def test_a_table_of_very_many_columns_is_planned(tmp_path):
    with open(tmp_path / "data.csv", "w") as file:
        for row in (map("c{}".format, range(100_000)), ["1"] * 100_000, ["2"] * 100_000):
            file.write(",".join(row) + "\n")
    code, said, usage = ended(plan(tmp_path / "data.csv"))
    assert code == 0, said
    assert usage.ru_utime < 20
