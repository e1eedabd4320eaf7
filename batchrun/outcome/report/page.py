"""The page: one HTML file that needs nothing else, no network, no script."""

from importlib.resources import files

from batchrun.core.version import VERSION

from .curves import latencies, over_time
from .facts import Facts
from .found import found_results
from .lists import failures, runs, slowest_rows, tokens_by_run
from .markup import Markup, element, joined, void
from .overview import totals, verdict
from .words import date_and_time, zone

# A browser that obeys it loads and runs nothing, whatever a row's text holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_PARTS = (verdict, totals, found_results, over_time, latencies, failures, slowest_rows, tokens_by_run, runs)


def page(facts: Facts) -> str:
    """The whole page."""
    title = f"{facts.table} – {facts.task}"
    head = element(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} – batchrun report"),
        element("style", Markup(files(__package__).joinpath("style.css").read_text(encoding="utf-8"))),
    )
    main = element("main", *(part(facts) for part in _PARTS))
    body = element("body", _header(facts), main, _footer(facts))
    return joined(Markup("<!doctype html>\n"), element("html", head, body, lang="en"), Markup("\n"))


def _header(facts: Facts) -> Markup:
    task = joined("task ", element("b", facts.task), f" ({facts.spec})" if facts.spec not in ("", facts.task) else "")
    version = joined(", version ", element("code", _short(facts.version))) if facts.version else ""
    return element("header", element("h1", facts.table), element("p", task, version))


def _short(version: str) -> str:
    """A digest is told by its beginning; a version that was given by hand is short already."""
    return version if len(version) < 32 else f"{version[:12]}…"


def _footer(facts: Facts) -> Markup:
    return element(
        "footer",
        f"Made {date_and_time(facts.made)} by batchrun {VERSION}. Times are in {zone(facts.made)}. ",
        "Only rows that are in the table now are counted, each as it was settled last.",
    )
