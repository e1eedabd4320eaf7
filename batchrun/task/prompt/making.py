"""From the options, as they were read, to a `Prompt`: files are read here, and contradictions found."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchrun.core.limits import Timeout
from batchrun.errors import UsageError
from batchrun.task.reply.schema import checked

from .address import checked_url
from .fields import as_schema
from .prompt import DEADLINE_SECONDS, Prompt

_OURS = {
    "model": "give it with --model",
    "messages": "the messages come from --prompt and --system",
    "stream": "an answer is taken as a whole",
    "n": "a row has one answer",
    "api_key": "the key is read from the environment: --api-key-env names the variable",
}


def made(
    *,
    prompt: str,
    model: str | None,
    system: str | None,
    schema: str | Mapping[str, Any] | None,
    fields: str | None,
    param: Mapping[str, Any],
    skip_empty: tuple[str, ...] | None,
    base_url: str | None,
    api_key_env: str,
    timeout: Timeout | None,
    accept_truncated: bool,
    environment: Mapping[str, str],
) -> Prompt:
    """The prompt that the options describe. Raises `UsageError` for one that cannot be asked."""
    if not model:
        raise UsageError("--prompt needs a --model", "name one that the server has: --model NAME")
    _check_params(param, structured=bool(schema or fields))
    return Prompt(
        text=_text(prompt, "--prompt"),
        model=model,
        system=None if system is None else _text(system, "--system"),
        schema=_schema(schema, fields),
        params=dict(param),
        skip_empty=skip_empty or (),
        base_url=checked_url(url) if (url := base_url or environment.get("OPENAI_BASE_URL")) else None,
        key_name=_variable(api_key_env),
        deadline=timeout.number if timeout and not timeout.multiple else DEADLINE_SECONDS,
        accept_truncated=accept_truncated,
    )


def _text(said: str, option: str) -> str:
    """The text itself, or that of the file after `@`."""
    text = _file(said[1:], option) if said.startswith("@") else said
    if not text.strip():
        raise UsageError(f"{option} is empty", "give the text itself, or @FILE")
    return text


def _file(name: str, option: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{option}: {name} cannot be read: {error.strerror}", "check the file's name") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{option}: {name} is not UTF-8 (byte {error.start:,})", "save it as UTF-8") from None


def _schema(schema: str | Mapping[str, Any] | None, fields: str | None) -> str | None:
    if fields is not None:
        return checked(json.dumps(as_schema(fields)), "--fields")
    if schema is None:
        return None
    if not isinstance(schema, str):
        return checked(json.dumps(schema), "schema")
    return checked(_file(schema, "--schema"), f"--schema {schema}")


def _check_params(params: Mapping[str, Any], *, structured: bool) -> None:
    for name in params:
        if why := _OURS.get(name.replace("-", "_").lower()):
            raise UsageError(f"--param {name}: {why}", "leave it out")
        if structured and name == "response_format":
            raise UsageError("--param response_format contradicts --schema or --fields", "leave one of them out")


def _variable(name: str) -> str:
    """A variable's name; what is none may be the key itself, and is not repeated."""
    if not re.fullmatch(r"[A-Za-z_]\w{0,63}", name, re.ASCII):
        raise UsageError(
            "--api-key-env takes the name of an environment variable, not the key",
            "put the key into a variable of the environment, and name that",
        )
    return name
