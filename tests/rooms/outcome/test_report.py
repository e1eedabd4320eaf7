"""The report: one page that says what the checkpoint says, needs nothing else, and takes any text without harm."""

import json
import math
import shutil
import sqlite3
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT, batchrun, database, reading, start, wait_for, write_table

from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.records import Failure, Settled
from batchrun.core.states import DONE, FAILED
from batchrun.outcome.report.charts import nice, short
from batchrun.outcome.report.gather import OTHER_KINDS, read_facts
from batchrun.outcome.report.in_flight import Moments, in_flight
from batchrun.outcome.report.labels import PHONE, SCREEN, Label, extent, looks, with_room
from batchrun.outcome.report.latency import MOST_BARS, SHARES, latency_of
from batchrun.outcome.report.markup import Markup, element
from batchrun.outcome.report.page import page
from batchrun.outcome.report.timeline import MOST_BINS, Span, timeline
from batchrun.run.tally import quantile

VOID = {"meta", "br"}
TASK = """
import os, signal, time
import batchrun

def work(row):
    n = int(row["id"])
    time.sleep(0.002 * (n % 5))
    if n == 3:
        raise ValueError(f"<script>alert({n})</script> & \\x1b[31m red")
    if n in (4, 14):
        raise ValueError(f"no price for {n}")
    if n == 5:
        raise batchrun.Skip("nothing to do")
    if n == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 7 and batchrun.current().attempt == 1:
        raise ConnectionError("try again")
    return {"n": n}
"""


@dataclass
class Node:
    """An element of a parsed page."""

    tag: str
    attributes: dict[str, str | None]
    children: list = field(default_factory=list)

    @property
    def text(self):
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag="", class_=""):
        for child in self.children:
            if isinstance(child, Node):
                if tag in ("", child.tag) and class_ in ("", child.attributes.get("class")):
                    yield child
                yield from child.all(tag, class_)


class Strict(HTMLParser):
    """Builds a tree, and takes no tag that is not closed where it should be."""

    def __init__(self):
        super().__init__()
        self.open = [Node("", {})]

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs)
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].children.append(data)


def parsed(text):
    parser = Strict()
    parser.feed(text)
    parser.close()
    (root,) = parser.open
    return root


def section(root, title):
    (found,) = [part for part in root.all("section") if next(part.all("h2")).text == title]
    return found


def tiles(root):
    return {next(tile.all("h3")).text: next(tile.all("b")).text for tile in root.all("div", "tile")}


def table_of(part):
    """The first table, as a list of dicts."""
    heads = [cell.text for cell in next(part.all("thead")).all("th")]
    lines = [[cell.text for cell in line.all("td")] for line in next(part.all("tbody")).all("tr")]
    return [dict(zip(heads, line, strict=True)) for line in lines]


def charted(root, caption):
    """The sum over a chart's bars of each number that is shown when they are pointed at."""
    (figure,) = [figure for figure in root.all("figure") if next(figure.all("figcaption")).text.startswith(caption)]
    found = {}
    for title in figure.all("title"):
        for told in title.text.rpartition(": ")[2].split(", "):
            count, _, name = told.partition(" ")
            if name:
                found[name] = found.get(name, 0) + int(count.replace(",", ""))
    return found


def query(table, task, sql):
    with reading(table, task) as db:
        return db.execute(sql).fetchall()


def rows_settled(table):
    """How many rows of the task `work` are settled by now."""
    try:
        return query(table, "work", "SELECT count(*) FROM ledger")[0][0]
    except sqlite3.OperationalError:  # the checkpoint is just being made
        return 0


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A table after two runs, with rows in every state but timed out."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "tasks.py").write_text(TASK)
    table = write_table(folder / "data <b>&.csv", [(n, "x") for n in range(1, 41)])
    command = ("process", table, "--task", "tasks.py:work", "--jobs", 3, "--no-output")
    assert batchrun(*command, "--retries", 0, "--limit", 20, cwd=folder).returncode == 1
    assert batchrun(*command, "--retries", 1, "--limit", 12, "--retry", "none", cwd=folder).returncode == 0
    return table


@pytest.fixture(scope="module")
def text(job):
    made = batchrun("report", job)
    assert made.returncode == 0, made.stderr
    place = job.with_name("data <b>&.report.html")
    assert str(place) in made.stderr
    return place.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def root(text):
    return parsed(text)


def test_the_totals_are_those_of_the_checkpoint(job, root):
    (told,) = json.loads(batchrun("status", job, "--json").stdout)["tasks"]
    shown = tiles(root)
    for state in ("done", "skipped", "failed", "crashed", "left"):
        assert shown[state] == f"{told[state]:,}"
    assert shown["attempts"] == str(query(job, "work", "SELECT sum(attempts) FROM ledger")[0][0])
    (verdict,) = [part for part in root.all("p") if "verdict" in part.attributes.get("class", "")]
    assert f"{told['done']} of 40 rows done" in verdict.text


def test_no_row_and_no_failed_attempt_is_missing_from_the_charts(job, root):
    (told,) = json.loads(batchrun("status", job, "--json").stdout)["tasks"]
    settled = {name.replace(" ", "_"): count for name, count in charted(root, "Rows settled a").items()}
    assert settled == {name: told[name] for name in ("done", "skipped", "failed", "crashed")}
    kinds = dict(query(job, "work", "SELECT kind, count(*) FROM failure GROUP BY kind"))
    assert charted(root, "Attempts that failed") == kinds
    assert sum(charted(root, "Rows by how long").values()) == 40 - told["left"]


def test_the_runs_are_marked_and_listed_with_their_settings_and_versions(root):
    part = section(root, "Runs")
    assert [(run["run"], run["attempts"]) for run in table_of(part)] == [("2", "12"), ("1", "20")]
    assert [code.text for code in part.all("code")] == [
        "--task tasks.py:work --limit 12 --jobs 3 --retries 1 --retry none --no-output",
        "--task tasks.py:work --limit 20 --jobs 3 --retries 0 --no-output",
    ]
    assert "python\u00a03." in part.text
    over_time = section(root, "Over time")
    assert [mark.text for mark in over_time.all("text", "name")] == ["run 1", "run 2"] * 3


def test_failures_are_grouped_with_an_example_and_the_slowest_rows_told(job, root):
    articles = {next(part.all("b")).text: part.text for part in section(root, "Failures").all("article")}
    assert "Rows 4, 14" in articles["2"]
    assert "Row 4: no price for 4" in articles["2"]
    assert "ValueError" in articles["2"]
    slowest = query(job, "work", "SELECT position, attempts FROM ledger ORDER BY seconds DESC LIMIT 10")
    shown = [(int(line["row"]), int(line["attempts"])) for line in table_of(section(root, "Slowest rows"))]
    assert shown == slowest


def test_texts_of_tables_and_tasks_are_shown_and_do_nothing(text, root):
    assert "<script" not in text
    assert "\x1b" not in text
    assert "<script>alert(3)</script> & \ufffd[31m red" in section(root, "Failures").text
    assert next(root.all("h1")).text == "data <b>&.csv"


def test_the_page_needs_no_network_and_no_script(text, root):
    for node in root.all():
        assert node.tag not in {"script", "link", "img", "iframe", "object", "base", "form"}
        assert not [name for name in node.attributes if name.startswith("on") or name in {"src", "href", "style"}]
    (style,) = root.all("style")
    assert "url(" not in style.text
    assert "@import" not in style.text
    policy = [node.attributes["content"] for node in root.all("meta") if "http-equiv" in node.attributes]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_the_page_suits_phones_dark_rooms_and_paper(root):
    metas = {node.attributes.get("name"): node.attributes.get("content") for node in root.all("meta")}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    (style,) = root.all("style")
    assert "@media (prefers-color-scheme: dark)" in style.text
    assert "@media print" in style.text


def test_every_picture_is_well_formed_and_lies_within_its_bounds(text, root):
    pictures = ["<svg" + part.partition("</svg>")[0] + "</svg>" for part in text.split("<svg")[1:]]
    assert len(pictures) == 1 + 1 + 2 * 4, "the shares, the numbers of a key, and four charts with their axes"
    for picture in pictures:
        tree = ElementTree.fromstring(picture)
        for bar in tree.iter("rect"):
            x, width = (float(bar.attrib[name].rstrip("%")) for name in ("x", "width"))
            assert 0 <= x <= x + width <= 100.01
    assert all(node.attributes["aria-label"] for node in root.all("svg") if node.attributes.get("role") == "img")


def test_every_class_on_the_page_has_a_look(root):
    (style,) = root.all("style")
    for node in root.all():
        for name in (node.attributes.get("class") or "").split():
            assert f".{name}" in style.text, name


def test_a_table_without_rows_has_a_page_too(tmp_path):
    table = write_table(tmp_path / "data.csv", [])
    assert batchrun("process", table, "-t", "repair").returncode == 0
    made = batchrun("report", table, "-o", "-")
    assert made.returncode == 0, made.stderr
    root = parsed(made.stdout)
    assert "The table has no rows." in root.text
    assert "No row has failed." in root.text
    assert "Over time" not in root.text


def test_it_works_beside_a_run_and_says_that_one_goes_on(tmp_path):
    (tmp_path / "tasks.py").write_text(
        "import os, time\n"
        "def work(row):\n"
        "    while row['id'] == 9 and not os.path.exists('go'):\n"
        "        time.sleep(0.01)\n"
        "    return 1\n"
    )
    table = write_table(tmp_path / "data.csv", [(n, "x") for n in range(1, 10)])
    run = start("process", table, "--task", "tasks.py:work", "--jobs", 2, cwd=tmp_path)
    try:
        wait_for(lambda: rows_settled(table) == 8)
        made = batchrun("report", table, "-o", "-")
        assert made.returncode == 0, made.stderr
        root = parsed(made.stdout)
        assert "8 of 9 rows done, 1 left. Run 1 was in progress when this page was made." in root.text
        assert table_of(section(root, "Runs"))[0]["end"] == "in progress"
    finally:
        (tmp_path / "go").touch()
        assert run.wait(60) == 0, run.stderr.read()
        run.stdout.close()
        run.stderr.close()


def test_a_file_of_somebody_else_is_not_replaced_but_our_own_is(job, tmp_path):
    target = tmp_path / "page.html"
    target.write_text("mine")
    refused = batchrun("report", job, "-o", target)
    assert (refused.returncode, target.read_text()) == (2, "mine")
    assert "did not write it" in refused.stderr
    assert batchrun("report", job, "-o", target, "--overwrite").returncode == 0
    assert batchrun("report", job, "-o", target).returncode == 0
    parsed(target.read_text(encoding="utf-8"))


@pytest.mark.parametrize("target", ["input", "folder", "nowhere/page.html"])
def test_a_target_that_cannot_be_is_refused_in_words(job, tmp_path, target):
    (tmp_path / "folder").mkdir()
    before = job.read_bytes()
    made = batchrun("report", job, "-o", job if target == "input" else tmp_path / target)
    assert made.returncode == 2
    assert made.stderr.startswith("error: ")
    assert "Traceback" not in made.stderr
    assert job.read_bytes() == before


def test_a_checkpoint_of_format_1_has_a_page_without_times(tmp_path):
    table = tmp_path / "checkpoint.csv"
    shutil.copy(ROOT / "tests/data/checkpoint.csv", table)
    database(table, "answer").parent.mkdir()
    shutil.copy(ROOT / "tests/data/checkpoint-v1.db", database(table, "answer"))
    root = parsed(batchrun("report", table, "-o", "-").stdout)
    assert "Not shown: 8 rows settled by a version that recorded no times." in root.text
    assert tiles(root)["done"] == "4"
    assert charted(root, "Attempts that failed")["exception"] == 2


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE run SET options = '[1]'",
        "UPDATE run SET started = 1e300",
        "UPDATE ledger SET at = 9e999 WHERE position = 1",
        "UPDATE ledger SET lane = 'x'",
        "UPDATE failure SET at = 'yesterday'",
        "INSERT INTO spent VALUES (1, 'many', 0, 0, 0, 0)",
    ],
)
def test_a_damaged_checkpoint_is_reported_in_words(tmp_path, change):
    table = tmp_path / "checkpoint.csv"
    shutil.copy(ROOT / "tests/data/checkpoint.csv", table)
    database(table, "answer").parent.mkdir()
    shutil.copy(ROOT / "tests/data/checkpoint-v2.db", database(table, "answer"))
    with sqlite3.connect(database(table, "answer")) as db:
        db.execute(change)
    db.close()
    made = batchrun("report", table)
    assert (made.returncode, made.stdout) == (4, "")
    assert "is damaged: " in made.stderr
    assert "Traceback" not in made.stderr
    assert not table.with_name("checkpoint.report.html").exists()


def test_a_clock_that_was_far_off_costs_the_page_its_charts_over_time_and_nothing_else(tmp_path):
    (tmp_path / "data.csv").write_text("id,text\n1,a\n")
    assert batchrun("process", tmp_path / "data.csv", "-t", "repair").returncode == 0
    with sqlite3.connect(database(tmp_path / "data.csv", "repair")) as db:
        db.execute("UPDATE run SET started = -1e10")
    db.close()
    made = batchrun("report", tmp_path / "data.csv")
    assert made.returncode == 0, made.stderr
    root = parsed((tmp_path / "data.report.html").read_text())
    assert tiles(root)


NOW = 1_700_000_000.0


def facts_of(path, **more):
    with opened(path, write=False) as checkpoint:
        return read_facts(checkpoint, table="data.csv", task="work", now=NOW + 9e5, goes_on=False, **more)


def synthetic(path, rows, spent=()):
    """A checkpoint of so many rows, a hundred a second; every 50th failed, in eight kinds."""
    settled = []
    for n in range(1, rows + 1):
        at, seconds = NOW + n / 100, 0.05 + (n * 7919 % 1000) / 1000
        failure = None
        if n % 50 == 0:
            failure = Failure(n, 1, at, seconds, 0, f"kind_{n // 50 % 8}", f"no luck with {n}")
        status = FAILED if failure else DONE
        settled.append(Settled(n, b"%16d" % n, None, status, 1, 1, seconds, None, None, None, None, failure, at, n % 8))
    with opened(path, write=True) as checkpoint:
        checkpoint.put(rows=rows)
        run = checkpoint.begin_run({"batchrun": "1"}, {"jobs": "8"})
        checkpoint.write(run, settled, [])
        with checkpoint.transaction():
            checkpoint.db.execute("UPDATE run SET started = ?, ended = ?", (NOW, NOW + rows / 100))
            checkpoint.db.executemany("INSERT INTO spent VALUES (?, ?, ?, ?, ?, ?)", spent)


def test_the_page_does_not_grow_with_the_rows_and_its_sums_stay_exact(tmp_path):
    sizes = []
    for rows in (4_000, 40_000):
        synthetic(tmp_path / f"{rows}.sqlite", rows)
        facts = facts_of(tmp_path / f"{rows}.sqlite")
        assert sum(map(sum, facts.course.settled.values())) == rows
        assert sum(map(sum, facts.course.failed.values())) == rows // 50
        assert list(facts.course.failed)[-1] == OTHER_KINDS
        seconds = sorted(0.05 + (n * 7919 % 1000) / 1000 for n in range(1, rows + 1))
        assert facts.latency.quantiles == {share: pytest.approx(quantile(seconds, share)) for share in SHARES}
        busy = sum(map(math.prod, zip(facts.course.in_flight, facts.course.timeline.covered, strict=True)))
        assert busy == pytest.approx(sum(seconds), rel=1e-6)
        sizes.append(len(page(facts)))
    assert sizes[1] < 2 * sizes[0] < 300_000


def test_tokens_and_cost_are_shown_where_there_are_any(tmp_path):
    synthetic(tmp_path / "none.sqlite", 100)
    assert "Tokens" not in page(facts_of(tmp_path / "none.sqlite"))
    synthetic(tmp_path / "some.sqlite", 100, [(1, 12_000, 345, 67, None, 1.25)])
    root = parsed(page(facts_of(tmp_path / "some.sqlite")))
    assert (tiles(root)["tokens"], tiles(root)["cost"]) == ("12,345", "1.25")
    assert table_of(section(root, "Tokens and cost")) == [
        {"run": "1", "prompt": "12,000", "of them cached": "67", "completion": "345", "of them reasoning": "0",
         "cost": "1.25"}
    ]  # fmt: skip


MOMENT = st.floats(NOW, NOW + 4e6)
SPANS = st.lists(st.tuples(MOMENT, st.floats(0, 1e6)), min_size=1, max_size=30)


@given(SPANS)
def test_a_timeline_holds_every_span_in_order_and_has_no_more_bins_than_asked_for(spans):
    line = timeline(Span(begin, begin + seconds) for begin, seconds in spans)
    assert len(line.bins) <= MOST_BINS
    assert list(line.bins) == sorted(set(line.bins))
    for begin, seconds in spans:
        for at in (begin, begin + seconds):
            assert math.floor(at / line.width) in line.bins
            assert 0 <= line.place(at) <= 1
    assert all(0 < seconds <= line.width for seconds in line.covered)
    places = [line.place(at) for at in sorted(begin for begin, _ in spans)]
    assert places == sorted(places)
    ticks = line.ticks(4, 3600.0)
    assert 1 <= len(ticks) <= 5
    assert all(late.place - early.place >= 0.2 for early, late in pairwise(ticks))


@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 10)), min_size=1, max_size=20))
def test_rows_in_flight_are_counted_as_by_looking_at_every_moment(attempts):
    line = timeline([Span(NOW, NOW + 100)], most=20)

    def moments(times):
        found = {}
        for at in times:
            index = line.index(math.floor((NOW + at) / line.width) - line.bins[0])
            before = found.get(index, Moments(0, 0.0))
            found[index] = Moments(before.number + 1, before.total + NOW + at - line.origin)
        return found

    shown = in_flight(line, moments(at for at, _ in attempts), moments(at + took for at, took in attempts))
    for index, value in enumerate(shown):
        begin = line.begin(index) - NOW
        busy = [min(begin + line.width, at + took) - max(begin, at) for at, took in attempts]
        assert value == pytest.approx(sum(max(0.0, each) for each in busy) / line.covered[index], abs=1e-5)


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=200))
def test_quantiles_are_exact_and_every_attempt_is_in_a_bar(seconds):
    ordered = sorted(seconds)
    found = latency_of(iter(ordered), len(ordered), ordered[0], ordered[-1])
    assert found.quantiles == {share: quantile(ordered, share) for share in SHARES}
    assert sum(bar.attempts for bar in found.bars) == len(ordered)
    assert len(found.bars) <= MOST_BARS
    assert found.longest == ordered[-1]
    for bar in found.bars[1:-1]:
        inside = sum(bar.low <= each < bar.high for each in ordered)
        assert bar.attempts == inside


@given(st.floats(1e-9, 1e12), st.booleans())
def test_a_grid_is_round_and_reaches_the_top_in_a_few_lines(top, whole):
    scale = nice(top, whole=whole)
    assert scale[0] == 0
    assert scale[-1] >= top * (1 - 1e-9)
    assert 2 <= len(scale) <= 6
    assert not whole or all(value == int(value) for value in scale)
    assert all(len(short(value)) <= 6 for value in scale if value >= 0.01)


@given(st.text())
def test_whatever_text_is_given_comes_back_as_text(text):
    made = element("p", text, title=text)
    (node,) = parsed(made).children
    assert "<" not in made.removeprefix("<p").removesuffix("</p>").replace("</p>", "")
    assert isinstance(made, Markup)
    expected = node.attributes["title"]
    assert node.text.replace("\r", "") == expected.replace("\r", "")
    assert [new for old, new in zip(text, expected, strict=True) if old != new and new != "\ufffd"] == []


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["run 1", "07:30:13", "07:30:13.25\n21 Nov"])), max_size=12))
def test_no_label_of_a_chart_touches_another_on_a_screen_or_a_phone(found):
    labels = [Label(*one) for one in found]
    shown = dict(looks(labels))
    on_a_phone = [label for label, look in shown.items() if look is None]
    for fitting, width in ((shown, SCREEN), (on_a_phone, PHONE)):
        for left, right in pairwise(sorted(extent(label, width) for label in fitting)):
            assert left[1] < right[0]
    assert not labels or min(labels) in on_a_phone


def test_a_label_that_has_room_is_shown():
    ticks = [Label(0.02, "07:30:13"), Label(0.24, "07:30:30"), Label(0.6, "07:31:00")]
    assert with_room(ticks, 1000) == ticks
    assert [(label.text, look) for label, look in looks(ticks)] == [
        ("07:30:13", None),
        ("07:30:30", "roomy"),
        ("07:31:00", None),
    ]


def test_a_kind_of_error_has_the_colour_of_the_state_that_it_leads_to(root):
    (figure,) = [one for one in root.all("figure") if next(one.all("figcaption")).text.startswith("Attempts that")]
    looks_of = {key.text: next(key.all("i")).attributes["class"] for key in figure.all("span", "key")}
    assert looks_of["crash"] == "crashed"
    assert len(set(looks_of.values())) == len(looks_of)


def test_a_phone_shows_each_cell_behind_the_name_of_its_column(root):
    for table in root.all("table"):
        heads = [head.text for head in table.all("th")]
        for line in next(table.all("tbody")).all("tr"):
            assert [cell.attributes["data-name"] for cell in line.all("td")] == heads


def test_time_without_runs_is_left_out():
    night, later = Span(NOW, NOW + 3600), Span(NOW + 30 * 86400, NOW + 30 * 86400 + 1800)
    line = timeline([later, night])
    assert len(line.bins) * line.width == pytest.approx(5400, abs=3 * line.width)
    assert line.place(later.begin) == pytest.approx(2 / 3, abs=0.02)
    assert time.localtime(line.begin(0)) <= time.localtime(night.begin)
