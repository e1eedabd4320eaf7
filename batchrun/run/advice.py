"""What to do next, in the words of the command that was typed. Pure."""

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from batchrun.checkpoint.kept import as_said
from batchrun.core.text import counted, from_here
from batchrun.run.summary import Summary

_NAMING = {"--dir", "--name", "--task", "-t"}
_SELECTING = {"--limit", "--rows", "--redo"}
_ONCE = {"--fresh", "--dry-run"}
_WITH_VALUE = {"--limit", "--rows", "--retry", "--reply"}


def as_typed(argv: Sequence[str]) -> list[str]:
    """The command line as the user typed it, from `sys.argv`."""
    program = ["python", "-m", "batchrun"] if argv[0].endswith("__main__.py") else ["batchrun"]
    return [*program, *argv[1:]]


def advice(summary: Summary, typed: Sequence[str], *, again: bool = True, damaged: bool = False) -> list[str]:
    """The next steps, each as `what for: command to paste`. `typed`: the command of this run, word by word
    (empty: there was none, as in a notebook). `again`: rows that failed may come out otherwise at another attempt.
    `damaged`: rows of the table still have records that are not what was written.
    """
    if not typed:
        how = "make the same call again, with retry='damaged', to resume"
        return [how if damaged else "make the same call again to resume"] if summary.exit_code > 1 else []
    steps = []
    if summary.failed or summary.timed_out or summary.crashed:
        steps.append(f"see why: {_errors(summary, typed)}")
    if damaged:  # wherever they stand: the rows that were asked for have run
        command = _again(typed, "--retry", "damaged", without=_SELECTING | {"--reparse", "--retry"})
        return [*steps, f"run the damaged rows: {command}"]
    anew = _SELECTING | {"--reparse"}
    some = any(_option(group) in anew for group in _groups(typed))  # rows that are done may have to run anew
    if summary.exit_code > 1 and not (summary.left or steps or some):  # all are done: what may lack is their file
        is_whole = summary.output is not None or "--no-output" in typed
        return [] if is_whole else [f"write the results: {_again(typed)}"]
    if summary.exit_code > 1:
        return [*steps, f"resume: {_again(typed)}"]
    if summary.left:
        # Takes up failed rows as well, which the same command with --limit would mix with new ones.
        return [*steps, f"run the remaining {summary.left:,}: {_again(typed, without=_SELECTING | {'--reparse'})}"]
    if summary.kept_as_text:
        command = _again(typed, "--reparse", "--reply", "json", without=_SELECTING | {"--reparse", "--reply"})
        steps.append(f"turn the {counted(summary.kept_as_text, 'text')} into failures: {command}")
    return [*steps, *_retry(summary, typed)] if again else steps


def _retry(summary: Summary, typed: Sequence[str]) -> list[str]:
    failed = summary.failed + summary.timed_out
    if not failed and not summary.crashed:
        return []
    which = "all" if failed and summary.crashed else "failed" if failed else "crashed"
    # None is left, so that without --rows or --limit nothing runs but what failed, wherever it stands.
    return [f"try again: {_again(typed, '--retry', which, without=_SELECTING | {'--reparse', '--retry'})}"]


def _errors(summary: Summary, typed: Sequence[str]) -> str:
    program = list(typed[: typed.index("process")]) if "process" in typed else ["batchrun"]
    naming = [word for group in _groups(typed) if _option(group) in _NAMING for word in group]
    return shlex.join([*program, "errors", _input(summary, typed), *naming])


def _again(typed: Sequence[str], *extra: str, without: set[str] | None = None) -> str:
    """The same command, less what must not be said twice: `--fresh` would start over."""
    left_out = _ONCE | (without or set())
    words = [word for group in _groups(typed) if _option(group) not in left_out for word in group]
    return shlex.join([*words, *extra])


def _groups(typed: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The words of a command line, each option that matters here together with its value."""
    words = iter(typed)
    for word in words:
        if word in _NAMING | _WITH_VALUE:
            yield (word, *(value for value in [next(words, None)] if value is not None))
        else:
            yield (word,)


def _option(group: tuple[str, ...]) -> str:
    """The option that a group of words is about: `--task` of `--task=x`, `-t` of `-tx`."""
    word = group[0]
    return word.partition("=")[0] if word.startswith("--") else word[:2] if word.startswith("-") else ""


def _input(summary: Summary, typed: Sequence[str]) -> str:
    """The table as the user typed it; its full path if it was named elsewhere."""
    table = as_said(summary.input)
    same = (word for word in typed if os.path.abspath(word) == str(table))
    return next(same, None) or from_here(table, Path.cwd())
