"""Which options can go together. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from batchrun.errors import UsageError

from .table import OPTIONS, PROGRAM, PROMPT

COMMAND_LINE, ENVIRONMENT, FILE = range(3)
"""Who can say something, the strongest first."""
RIVALS = (("task", "prompt", "command"), ("schema", "fields"), ("output", "no_output"))
"""Options that exclude each other."""
GUESTS = {"prompt": PROMPT, "command": PROGRAM}
"""Options without which all others of a panel mean nothing."""

_ONE_ROW = {
    "prompt": "a prompt is one row's",
    "command": "a command is started for one row",
}
"""What has no batches, and why."""


class OptionValue(NamedTuple):
    """An option's value, how strong its source is (`COMMAND_LINE` …), and what that source is called."""

    value: Any
    strength: int
    source: str


def combined(said: Mapping[str, OptionValue]) -> dict[str, Any]:
    """The values that count together: where two exclude each other, the stronger source's.

    `said`: what the strongest source says of each option that anybody has set. Raises `UsageError` for options of one
    source that exclude each other, and for what the caller asks for in vain.
    """
    said = {name: each for name, each in said.items() if name != "no_output" or each.value}  # said with "no": no rival
    for rivals in RIVALS:
        said = _without_weaker(rivals, said)
    said = _without_args(said)
    said = _without_reply(said)
    _check_reparse(said)
    _check_rows_asked_for(said)
    _check_cost(said)
    _check_engine(said)
    _check_batch(said)
    _check_guests(said)
    return {name: each.value for name, each in said.items()}


def _without_weaker(rivals: tuple[str, ...], said: dict[str, OptionValue]) -> dict[str, OptionValue]:
    """Of options that exclude each other, keep what the strongest source says. Raises `UsageError` if it says two."""
    strengths = {name: said[name].strength for name in rivals if name in said}
    first = [name for name, strength in strengths.items() if strength == min(strengths.values())]
    if len(first) > 1:
        both = " and ".join(OPTIONS[name].flag for name in first)
        raise UsageError(f"{both} cannot be combined (from {said[first[0]].source})", "leave all but one of them out")
    return {name: each for name, each in said.items() if name not in strengths or name in first}


def _without_args(said: dict[str, OptionValue]) -> dict[str, OptionValue]:
    """Leave out arguments of a function where there is none. Raises `UsageError` if their source is strong enough."""
    for made in GUESTS:
        if made in said and "args" in said and said["args"].value:
            if said["args"].strength <= said[made].strength:
                raise UsageError(
                    f"--arg is for a function's arguments, and --{made} has none (from {said['args'].source})",
                    "leave it out",
                )
            return {name: each for name, each in said.items() if name != "args"}
    return said


def _without_reply(said: dict[str, OptionValue]) -> dict[str, OptionValue]:
    """Leave out that replies are text where their fields are named. Raises `UsageError` if its source is strong
    enough.
    """
    form = next((name for name in ("fields", "schema") if name in said), None)
    if "prompt" not in said or form is None or "reply" not in said or said["reply"].value == "json":
        return said
    reply = said["reply"]
    if reply.strength <= said[form].strength:
        raise UsageError(
            f"--{form} asks for JSON, and --reply {reply.value} takes replies that are not JSON (from {reply.source})",
            f"leave one of them out: with --{form}, replies are read as --reply json does",
        )
    return {name: each for name, each in said.items() if name != "reply"}


def _check_reparse(said: Mapping[str, OptionValue]) -> None:
    """Raise `UsageError` for rows that are asked for where replies are gone over."""
    for name, meant in (("fresh", _value(said, "fresh")), ("limit", _by_caller(said, "limit"))):
        if _value(said, "reparse") and meant:
            raise UsageError(
                f"--reparse goes over kept replies, {OPTIONS[name].flag} over rows", "leave one of them out"
            )


def _check_rows_asked_for(said: Mapping[str, OptionValue]) -> None:
    """Raise `UsageError` where some rows are named and more would run, or be lost, or none would run."""
    for name in ("fresh", "reparse"):
        if _value(said, "redo") and _value(said, name):
            does = "runs all rows" if name == "fresh" else "runs no row"
            raise UsageError(f"--redo runs some rows again, {OPTIONS[name].flag} {does}", "leave one of them out")
    some = [name for name in ("limit", "rows") if name in said]
    if _value(said, "redo") and not some:
        raise UsageError(
            "--redo runs done rows again: which ones?",
            "add --limit N (the table's first N) or --rows 3,17-20; for all rows: --fresh",
        )
    if _value(said, "fresh") and some:
        flag = OPTIONS[some[0]].flag
        raise UsageError(
            f"--fresh starts over with all rows, {flag} asks for only some",
            f"to run these again and keep all other results: {flag} with --redo. To start over: --fresh without {flag}",
        )


def _check_cost(said: Mapping[str, OptionValue]) -> None:
    if "max_cost" in said and not {"price_in", "price_out"} & said.keys():
        raise UsageError("--max-cost needs prices", "give --price-in and --price-out, for a million tokens each")


def _check_engine(said: Mapping[str, OptionValue]) -> None:
    for name in ("cluster", "on_lost"):
        if _by_caller(said, name) and _value(said, "engine") in (None, "local"):
            raise UsageError(f"{OPTIONS[name].flag} belongs to --engine dask and ray", "give both, or leave it out")
    for name in ("gpus_per_job", "resources"):
        if _by_caller(said, name) and _value(said, "engine") != "ray":
            raise UsageError(f"{OPTIONS[name].flag} belongs to --engine ray", "give both, or leave it out")
    if _value(said, "gpus_per_job") and "GPU" in (_value(said, "resources") or {}):
        raise UsageError("--gpus-per-job and --resources GPU=N say the same", "leave one of them out")


def _check_batch(said: Mapping[str, OptionValue]) -> None:
    """Raise `UsageError` for batches where a call cannot take several rows, or there are none."""
    if not _value(said, "batch"):
        if _by_caller(said, "batch_frame") and _value(said, "batch_frame"):
            raise UsageError("--batch-frame is for batches of rows", "give --batch N as well, or leave it out")
        return
    for name, why in _ONE_ROW.items():
        if _value(said, name) is not None:
            raise UsageError(f"--batch cannot be combined with {OPTIONS[name].flag}: {why}", "leave one of them out")


def _check_guests(said: Mapping[str, OptionValue]) -> None:
    """Raise `UsageError` for what belongs to a prompt or a command where there is none."""
    for host, panel in GUESTS.items():
        for name in said:
            if OPTIONS[name].panel == panel and host not in said and _by_caller(said, name):
                raise UsageError(f"{OPTIONS[name].flag} belongs to --{host}, which is not given", "leave it out")


def _value(said: Mapping[str, OptionValue], name: str) -> Any:
    return said[name].value if name in said else None


def _by_caller(said: Mapping[str, OptionValue], name: str) -> bool:
    """Whether the caller says so, for this run; what the environment or a file says is for other runs too."""
    return name in said and said[name].strength == COMMAND_LINE
