"""README, tutorial and how-to pages do what they say: every command and script runs and prints what stands there."""

import json
import re
import subprocess

import pytest
from llm_server import served
from pages import check, fits, folded, run, scratch_copy, steps
from support import ROOT, batchrun, numbered, write_table

README = ROOT / "README.md"
HOW_TO = [
    ROOT / "docs" / f"{name}.md"
    for name in (
        "waiting",
        "cpu",
        "batches",
        "commands",
        "repair",
        "inputs",
        "parquet",
        "notebooks",
        "ten-million-rows",
        "moving",
        "cluster",
    )
]
NEEDS = {"cluster": "distributed"}


@pytest.mark.timeout(300)
def test_the_readme_works_from_top_to_bottom(tmp_path):
    folder = scratch_copy(tmp_path)
    with served() as server:
        server.answer = lambda row: json.dumps({"same": True, "reason": "Much the same."})
        assert check(README, folder, {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-any"}) == 4
    assert len(server.books.requests) == 20
    header = (folder / "northern.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.endswith(",name,batchrun_status,batchrun_how,batchrun_error")


def test_the_readme_is_one_screen():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.timeout(300)
def test_the_tutorial_works_from_top_to_bottom(tmp_path):
    assert check(ROOT / "docs/tutorial.md", scratch_copy(tmp_path)) > 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_a_how_to_page_works_from_top_to_bottom(page, tmp_path):
    pytest.importorskip(NEEDS.get(page.stem, "batchrun"))
    assert check(page, scratch_copy(tmp_path)) > 1


@pytest.mark.timeout(300)
def test_the_page_about_language_models_works_and_so_does_its_function(tmp_path):
    write_table(tmp_path / "reviews.csv", [(n, f"It was number {n}.") for n in range(1, 6)], ("id", "review"))
    with served() as server:
        server.answer = lambda row: json.dumps({"positive": True, "reason": "It says so."})
        env = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-any"}
        assert check(ROOT / "docs/llm.md", tmp_path, env) > 2
        assert len(server.books.requests) == 5
        ran = batchrun("process", "reviews.csv", "--task", "tasks.py:judge", "--no-output", cwd=tmp_path, env=env)
    assert (ran.returncode, len(server.books.requests)) == (0, 10), ran.stderr


def test_the_page_about_the_report_works(tmp_path):
    (tmp_path / "tasks.py").write_text("def match(row):\n    return row\n")
    table = numbered(tmp_path / "data.csv", 3)
    assert batchrun("process", table, "--task", "tasks.py:match", cwd=tmp_path).returncode == 0
    assert check(ROOT / "docs/report.md", tmp_path) == 3
    assert (tmp_path / "today.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_page_that_says_what_is_not_so_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo one\none\n$ echo two\nthree\n```\n")
    with pytest.raises(AssertionError, match="the page has\nthree"):
        check(page, tmp_path)
    page.write_text("```console\n$ exit_code() { return 3; }; exit_code    # exit code 2\n```\n")
    with pytest.raises(AssertionError, match="exit code 3"):
        check(page, tmp_path)


def test_a_page_is_one_session(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```console\n$ mkdir -p below; cd below\n$ here=$(basename $PWD)\n```\n"
        "```python\n# words.py\nWORDS = 3\n```\n"
        "```python\nimport words\n\nprint(words.WORDS)\n```\n"
        "<!-- not run -->\n```console\n$ exit 9\n```\n```ini\n[Unit]\n```\n"
        "```console\n$ echo $here \\\n  and more\nbelow and more\n$ seq 9\n1\n…\n9\n```\n"
    )
    assert [code for *_, code in run(page, tmp_path)] == [0, 0, 0, 0, 0, 0]
    assert check(page, tmp_path) == len(steps(page)) == 6
    assert (tmp_path / "below/words.py").exists()


def test_only_what_differs_from_run_to_run_is_folded():
    printed = "finished after 1.2 s, 3 attempts\nended 2026-03-01 14:05:09, lane 2"
    assert folded(printed) == ["finished after DURATION, 3 attempts", "ended TIME, lane N"]
    assert fits(["a", "…", "c"], ["a", "b", "b", "c"])
    assert not fits(["a", "…", "c"], ["a", "b"])


def test_the_units_of_the_tutorial_are_valid(tmp_path):
    verify = "systemd-analyze"
    if subprocess.run(["which", verify], capture_output=True).returncode:
        pytest.skip("there is no systemd-analyze")
    text = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    found = re.findall(r"^```ini\n# \S+/(\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    for name, unit in found:
        (tmp_path / name).write_text(re.sub(r"(ExecStart=)\S+", r"\1/bin/true", unit))
        checked = subprocess.run([verify, "verify", tmp_path / name], capture_output=True, text=True, timeout=60)
        assert (checked.returncode, checked.stderr) == (0, ""), name
