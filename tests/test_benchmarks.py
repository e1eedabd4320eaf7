"""The benchmarks measure what they say, and write it where it belongs."""

import re
import sys

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT))

from benchmarks import growth, machine, page, pairs, programs
from benchmarks.peers import NEEDS, PEERS
from benchmarks.speed import CASES, IDEAL, PLAIN


def test_the_page_has_every_block_once():
    text = page.PAGE.read_text(encoding="utf-8")
    assert sorted(re.findall(r"<!-- bench:begin (\w+) -->", text)) == sorted(page.BLOCKS)
    assert text.count("<!-- bench:end -->") == len(page.BLOCKS)


def test_a_block_is_replaced_and_nothing_else():
    text = (
        "a\n<!-- bench:begin one -->\nold\n<!-- bench:end -->\nb\n<!-- bench:begin two -->\nkept\n<!-- bench:end -->\n"
    )
    assert page.with_block(text, "one", r"new \1") == text.replace("old", r"new \1")
    with pytest.raises(ValueError, match="three"):
        page.with_block(text, "three", "")


def test_every_peer_of_a_case_can_be_asked_for():
    asked = {name for case in CASES for name in case.aims} - {IDEAL, PLAIN}
    assert asked <= set(PEERS) == set(NEEDS)


def test_turns_alternate_and_each_ratio_is_of_its_own_turn():
    calls, speeds = [], iter([2.0, 4.0, 8.0])

    def ours():
        calls.append("ours")
        return next(speeds)

    def theirs():
        calls.append("theirs")
        return 8.0

    (line,) = pairs.compare("work", ours, {"peer": theirs}, {"peer": 3.0}, 3)
    assert calls == ["ours", "theirs"] * 3
    assert line.ratios == [4.0, 2.0, 1.0]
    assert str(line) == "| work | peer | 4.00 s | 2.00 | 1.00 – 4.00 | 3.00 (missed) |"


def test_a_peer_that_fails_or_is_missing_says_so_and_the_others_go_on():
    def failing():
        raise programs.Failed("exit code 3: no luck")

    lines = list(pairs.compare("work", lambda: 1.0, {"bad": failing, "good": lambda: 2.0}, {}, 2))
    assert [(line.trouble, line.ratios) for line in lines] == [("exit code 3: no luck", []), ("", [2.0, 2.0])]


def test_peers_and_batchrun_do_the_same_rows(tmp_path):
    table = programs.make_table(tmp_path / "small.csv", 40)
    ended = programs.run(programs.process(table, 2, *programs.by_name("tasks:messy")))
    programs.expect_done(ended, 40)
    assert programs.run(programs.peer("pool", "tasks:messy_read", table, 2)).stdout == "40\n"
    with pytest.raises(programs.Failed, match="40 of 41"):
        programs.expect_done(ended, 41)


def test_a_table_can_get_a_row_on_top_and_be_turned_round(tmp_path):
    table = programs.make_table(tmp_path / "small.csv", 3)
    programs.insert_on_top(table, 77)
    programs.reverse(table)
    assert [line.split(",")[0] for line in table.read_text().splitlines()] == ["id", "2", "1", "0", "77"]


def test_a_program_that_does_not_end_is_ended_with_its_children():
    loop = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    with pytest.raises(programs.Failed, match="not at its end after 1 s"):
        programs.run([sys.executable, "-c", loop], limit=1)


def test_memory_is_that_of_the_program_at_its_most():
    ended = programs.run_and_weigh(
        [sys.executable, "-c", "import time; x = bytes(range(256)) * 400_000; time.sleep(0.5)"]
    )
    assert 100e6 < ended.peak < 200e6


def test_growth_is_measured_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "QUICK_SIZES", (200,))
    (size,) = growth.growth(tmp_path, quick=True, largest=False)
    assert size.rows == 200
    assert size.checkpoint > 200 * 30
    assert min(size.csv, size.parquet, size.inserted) > 10e6
    assert re.fullmatch(r"\| 200 \|( [\d.,]+ \|)( \d+ MB \|){3} \d+\.\d s \| \d+ \|", str(size))


def test_the_machine_is_described_without_its_name(tmp_path):
    assert re.fullmatch(r"Measured on \d+ cores \(\w+\) .*an fsync takes [\d.]+ ms there\.", machine.machine(tmp_path))
