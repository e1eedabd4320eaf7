"""What failed, which rows were slow, what was spent, and the runs. Pure."""

import shlex
from collections.abc import Iterator, Sequence

from batchrun.core.kinds import CRASH
from batchrun.core.states import spoken
from batchrun.core.text import counted
from batchrun.outcome.failures import Group

from .facts import Facts, Ran, Spent
from .markup import Markup, element
from .pieces import cost, ending, excerpt, note, section, share_of, table
from .words import NBSP, date_and_time, took

MOST_GROUPS = 25
MOST_RUNS = 50
_TOLD = {CRASH: "Last lines of the worker"}
_ENDS = {
    0: "all done",
    1: "not all done",
    2: "wrong usage or input",
    3: "stopped early",
    4: "disk or checkpoint failed",
    129: "interrupted (SIGHUP)",
    130: "interrupted (SIGINT)",
    143: "interrupted (SIGTERM)",
}


def failures(facts: Facts) -> Markup:
    """What failed, alike together, with an example of each."""
    if not facts.groups:
        return section("Failures", element("p", "No row has failed."))
    total = sum(group.count for group in facts.groups)
    shown = facts.groups[:MOST_GROUPS]
    rest = total - sum(group.count for group in shown)
    more = note(f"And {counted(rest, 'row')} in {len(facts.groups) - len(shown):,} further groups." if rest else "")
    return section("Failures", *(_group(group, total) for group in shown), more)


def _group(group: Group, total: int) -> Markup:
    rows = ", ".join(f"{row:,}" for row in group.rows) + (", …" if group.count > len(group.rows) else "")
    example = excerpt(group.sample) if not group.same else None
    trace = element("pre", ending(group.traceback)) if group.traceback else None
    share = element("small", share_of(group.count, total))
    return element(
        "article",
        element("h3", element("b", f"{group.count:,}"), f"{NBSP}× ", group.kind, share),
        element("p", excerpt(group.told), class_="message"),
        example and element("p", element("em", f"Row {group.rows[0]:,}: "), example, class_="message"),
        trace
        and element(
            "details", element("summary", f"{_TOLD.get(group.kind, 'Traceback')} of row {group.rows[0]:,}"), trace
        ),
        element("p", f"{'Row' if group.count == 1 else 'Rows'} {rows}", class_="rows"),
        element("p", "Next: ", group.remedy, ".", class_="rows"),
    )


def slowest_rows(facts: Facts) -> Markup | None:
    """The rows whose last attempt took longest."""
    if not facts.slowest:
        return None
    heads = ["row", "took", "state", "attempts", "ended", "lane"]
    lines = [
        [f"{slow.row:,}", took(slow.seconds), spoken(slow.status), f"{slow.attempts:,}",
         "" if slow.at is None else date_and_time(slow.at), "" if slow.lane is None else slow.lane + 1]
        for slow in facts.slowest
    ]  # fmt: skip
    return section("Slowest rows", table(heads, lines))


def tokens_by_run(facts: Facts) -> Markup | None:
    """Tokens and cost, run by run, if any are known."""
    spent = [(run.number, run.spent) for run in facts.runs if run.spent]
    if not spent or not facts.spent:
        return None
    heads = ["run", "prompt", "of them cached", "completion", "of them reasoning", "cost"]
    lines = [[f"{number}", *_spent_cells(one)] for number, one in spent[-MOST_RUNS:]]
    total = [["all", *_spent_cells(facts.spent)]] if len(spent) > 1 else []
    return section("Tokens and cost", table(heads, [*lines, *total]), note("Failed attempts are included."))


def _spent_cells(spent: Spent) -> list[str]:
    prompt, completion, cached, reasoning = (f"{count:,}" for count in spent.tokens)
    return [prompt, cached, completion, reasoning, "" if spent.cost is None else cost(spent.cost)]


def runs(facts: Facts) -> Markup:
    """Each run, the latest first, and the settings and versions of all of them."""
    if not facts.runs:
        return section("Runs", element("p", "No run has settled a row yet."))
    shown = facts.runs[: -MOST_RUNS - 1 : -1]
    earlier = len(facts.runs) - len(shown)
    more = f"And {counted(earlier, 'run')} before them." if earlier else ""
    return section(
        "Runs",
        table(["run", "started", "took", "attempts", "rows settled", "end"], [_run(run) for run in shown]),
        note(more, "Rows settled: rows that still stand as the run settled them."),
        *_alike(shown),
    )


def _run(run: Ran) -> list[object]:
    end = "in progress" if run.goes_on else "died" if run.exit is None else _ENDS.get(run.exit, "ended")
    code = "" if run.exit is None else f", exit code {run.exit}"
    attempts = "" if run.attempts is None else f"{run.attempts:,}"
    return [run.number, date_and_time(run.started), took(run.seconds), attempts, f"{run.settled:,}", end + code]


def _alike(shown: Sequence[Ran]) -> Iterator[Markup]:
    """Settings and versions, said once for runs that have the same."""
    found: dict[tuple[str, str], list[int]] = {}
    for run in shown:
        options = " ".join(map(_option, run.options.items())) or "no options"
        versions = ", ".join(f"{name}{NBSP}{text}" for name, text in run.versions.items())
        found.setdefault((options, versions), []).append(run.number)
    for (options, versions), numbers in found.items():
        names = ", ".join(map(str, sorted(numbers)))
        title = element("h3", "Run " if len(numbers) == 1 else "Runs ", names)
        yield element("article", title, element("p", element("code", options)), element("p", versions, class_="rows"))


def _option(pair: tuple[str, object]) -> str:
    name, value = pair
    dashed = f"--{name.replace('_', '-')}"
    return dashed if value == "True" else f"{dashed} {excerpt(shlex.quote(str(value)))}"
