"""The last lines of a run: counts, time, results file, most common errors, next command. Pure."""

from collections.abc import Sequence
from pathlib import Path

from batchrun.core.money import Tokens
from batchrun.core.states import SETTLED_NAMES, spoken
from batchrun.core.text import a_minute, counted, duration, from_here, money, one_line
from batchrun.run.summary import Summary

_WIDTH = 8
_SHOWN_ERRORS = 3
_ALL_NULL = (
    "every result is null: does the function return its result? Once it does, --on-change redo runs these rows again"
)


def closing(summary: Summary, advice: Sequence[str], here: Path) -> list[tuple[str, str]]:
    """Lines as label and text (the first line's label is how it ended). `here`: the working directory."""
    lines = [(_verdict(summary), _headline(summary))]
    lines.append(("rows", _counts(summary)))
    if summary.replies:
        lines.append(("replies", ", ".join(f"{count:,} {how}" for how, count in summary.replies.items())))
    if summary.kept_as_text:
        lines.append(("note", _mixed(summary)))
    if summary.all_null:
        lines.append(("note", _ALL_NULL))
    if summary.tokens:
        lines.append(("spent", _used(summary.tokens, summary.seconds)))
    if summary.cost is not None:
        lines.append(("cost", _cost(summary.cost, summary)))
    if summary.output:
        lines.append(("results", from_here(summary.output, here)))
    errors = [
        f"{count:,} x {one_line(f'{kind}: {message}' if message else kind)}"
        for kind, message, count in summary.errors[:_SHOWN_ERRORS]
    ]
    return [*lines, *_labelled("errors", errors), *_labelled("next", advice)]


def as_text(lines: Sequence[tuple[str, str]]) -> list[str]:
    """The same as plain lines. Commands are never wrapped, so that they can be pasted."""
    (verdict, headline), *rest = lines
    return [f"{verdict} {headline}", *(f"  {label:<{_WIDTH}} {text}" for label, text in rest)]


def _verdict(summary: Summary) -> str:
    if summary.exit_code >= 128:
        return "interrupted"
    return "finished" if summary.exit_code < 2 else "stopped early"


def _headline(summary: Summary) -> str:
    if not summary.ran:
        return f"after {duration(summary.seconds)}: no row was run"
    return f"after {duration(summary.seconds)}, {counted(summary.ran, 'attempt')}"


def _mixed(summary: Summary) -> str:
    return (
        f"{summary.held_json:,} with JSON, {summary.kept_as_text:,} kept as text; "
        "--reparse --reply json turns the texts into failures, to be tried again"
    )


def _used(tokens: Tokens, seconds: float) -> str:
    parts = [f"{tokens.prompt:,} of prompts", f"{tokens.completion:,} of completions"]
    parts += [f"{tokens.cached:,} cached"] if tokens.cached else []
    parts += [f"{tokens.reasoning:,} reasoning"] if tokens.reasoning else []
    total = counted(tokens.prompt + tokens.completion, "token")
    pace = f", {a_minute(60 * (tokens.prompt + tokens.completion) / seconds)}" if seconds else ""
    return f"{total}{pace} ({', '.join(parts)})"


def _cost(cost: float, summary: Summary) -> str:
    """What was spent, and what the rows left would cost at that rate."""
    if not (summary.left and summary.settled):
        return money(cost)
    rest = money(cost / summary.settled * summary.left)
    return f"{money(cost)}; about {rest} more for the remaining {counted(summary.left, 'row')}"


def _counts(summary: Summary) -> str:
    counts = ((name, getattr(summary, name)) for name in (*SETTLED_NAMES[1:], "left"))
    rest = (f", {count:,} {spoken(name)}" for name, count in counts if count)
    return f"{summary.done:,} of {summary.rows:,} done{''.join(rest)}"


def _labelled(label: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    return [(label if number == 0 else "", text) for number, text in enumerate(texts)]
