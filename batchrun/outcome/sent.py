"""What a row was given, beside its cells: the prompt or the command, the model, and what that used."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from batchrun.checkpoint import reading
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.errors import BatchrunError
from batchrun.task.command.program import Program

_TOKENS = ("prompt", "completion", "cached", "reasoning")


def what_was_sent(checkpoint: Checkpoint, row: int, cells: dict[str, Any]) -> dict[str, Any]:
    """Of a settled row: the number of its `run`, the `model`, the messages or the command line that were `sent`, and
    the `tokens` and `cost` of an attempt, which are kept for the whole run: on average. None where it is not known.
    """
    nothing = dict.fromkeys(("run", "model", "sent", "tokens", "cost"))
    found = reading.run_of(checkpoint.db, row)
    if found is None:
        return nothing
    number, options, counts, cost, *tokens = found
    said = json.loads(options)
    attempts = (json.loads(counts) if counts else {}).get("ran")
    return nothing | {
        "run": number,
        "model": said.get("model"),
        "sent": _sent(said, cells),
        "tokens": _shares(tokens, attempts),
        "cost": None if cost is None or not attempts else cost / attempts,
    }


def _sent(said: Mapping[str, str], cells: dict[str, Any]) -> str | None:
    """What the run's options make of the row's cells."""
    with suppress(BatchrunError, KeyError):  # the columns may be other ones today
        if command := said.get("command"):
            return Program(command, said.get("shell") == "True", said.get("stdin")).preview(cells)
        prompt = said.get("prompt", "")
        if prompt and not prompt.startswith("@"):  # a file, of which earlier versions have kept the name alone
            from batchrun.task.prompt.prompt import Prompt  # only prompts pay for what they need

            return Prompt(prompt, said.get("model", ""), said.get("system")).preview(cells)
    return None


def _shares(tokens: list[int | None], attempts: int | None) -> dict[str, int] | None:
    if not attempts or not any(tokens):
        return None
    return {kind: round((count or 0) / attempts) for kind, count in zip(_TOKENS, tokens, strict=True)}
