"""What a server's refusal means: for this row, for now, or for the whole run. Pure.

of the run   401, 402, 403, 404, an unknown model, no credit left     `Abort`: rows stay left
for now      408, 409, 5xx, connection, deadline, no JSON              `CallError`: tried again
busy         429, 503, 529, a model that is being loaded               `CallError`: all rows wait
of the row   400, 422, a text too long; filtered                       `CallError`, `ReplyError`: not tried again
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchrun.core import kinds
from batchrun.task.api import Abort
from batchrun.task.reply import ReplyError

_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_NO_MODEL = frozenset({"model_not_found", "invalid_model", "DeploymentNotFound"})
_TOO_LONG = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
_FILTERED = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})
_SAYS_NO_MODEL = re.compile(r"\bmodel\b.{0,120}\b(?:not exist|not found|unknown|not supported by any)", re.I | re.S)
_SAYS_TOO_LONG = re.compile(r"context (?:length|size|window)|prompt is too long|too many (?:input )?tokens", re.I)
_SAYS_FILTERED = re.compile(r"\bflagged\b|\bmoderation\b|content (?:filter|management policy)", re.I)
_SAYS_LOADING = re.compile(
    r"\bloading (?:the )?model|\bmodel\b.{0,120}\b(?:is|being|still|currently) (?:being )?load(?:ing|ed)\b|"
    r"\bmodel\b.{0,120}\b(?:is warming up|is not ready|not (?:yet )?ready|is starting)",
    re.IGNORECASE | re.DOTALL,
)
_LOADING = 503
_SHOWN = 300


class CallError(Exception):
    """A call that brought no reply. `kind`: see the kinds of error. `status_code`, `headers`: of the answer, if
    there was one; what they say of retries is read off them as off any exception.
    """

    def __init__(
        self, kind: str, message: str, status_code: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status_code = status_code
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a server says went wrong, out of the shapes in which servers say it."""

    message: str
    words: frozenset[str] = frozenset()
    """Its code, type and parameter."""


def complaint_in(body: Any) -> Complaint | None:
    """The error in the body of an answer; None if there is none."""
    if isinstance(body, list) and body:  # some put it into an array
        body = body[0]
    if not isinstance(body, dict):
        return None
    error = body.get("error") or body.get("errors") or body.get("detail")
    if error is None and body.get("object") == "error":
        error = body
    if not error:
        return None
    if not isinstance(error, dict):
        return Complaint(shown(error))
    words = (error.get(name) for name in ("code", "type", "param", "status"))
    message = error.get("message") or error.get("msg") or error
    return Complaint(shown(message), frozenset(str(word) for word in words if word is not None))


def failure(status: int, complaint: Complaint, headers: Mapping[str, str], model: str, key_name: str) -> Exception:
    """The exception for an answer with an error in it."""
    said = f"HTTP {status}: {complaint.message}"
    if status not in (401, 403) and _SAYS_LOADING.search(complaint.message):  # servers say it with any status
        return CallError(kinds.SERVER, said, _LOADING, headers)
    if status in (401, 402, 403) or status == 404 or _is(complaint, _NO_CREDIT) or _no_model(status, complaint):
        if status == 403 and _is_filtered(complaint):
            return ReplyError(kinds.FILTERED, said)
        return Abort(f"{said}. {_remedy(status, complaint, model, key_name)}")
    if status in (400, 422) and _is_filtered(complaint):
        return ReplyError(kinds.FILTERED, said)
    return CallError(_kind(status, complaint), said, status, headers)


def failure_in_answer(complaint: Complaint, headers: Mapping[str, str], model: str, key_name: str) -> Exception:
    """The exception for an error in an answer with status 200; its code may be the status that was meant."""
    statuses = [int(word) for word in complaint.words if re.fullmatch(r"[45]\d\d", word)]
    if statuses:
        return failure(statuses[0], complaint, headers, model, key_name)
    if _is(complaint, _NO_CREDIT | _NO_MODEL | _TOO_LONG | _FILTERED):
        return failure(400, complaint, headers, model, key_name)
    kind, status = kinds.SERVER, None
    if any("rate_limit" in word for word in complaint.words):
        kind, status = kinds.RATE_LIMITED, 429
    elif any("overloaded" in word or "unavailable" in word.lower() for word in complaint.words):
        status = 503
    elif _SAYS_LOADING.search(complaint.message):
        status = _LOADING
    return CallError(kind, f"HTTP 200 with an error inside: {complaint.message}", status, headers)


def shown(text: object) -> str:
    """Text for a message: one line, not too long."""
    line = " ".join(str(text).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _kind(status: int, complaint: Complaint) -> str:
    kind = kinds.of_status(status)
    too_long = _is(complaint, _TOO_LONG) or _SAYS_TOO_LONG.search(complaint.message)
    return kinds.CONTEXT_LENGTH if too_long and kind == kinds.BAD_REQUEST else kind


def _is(complaint: Complaint, words: frozenset[str]) -> bool:
    return not words.isdisjoint(complaint.words)


def _no_model(status: int, complaint: Complaint) -> bool:
    return _is(complaint, _NO_MODEL) or (status in (400, 422) and bool(_SAYS_NO_MODEL.search(complaint.message)))


def _is_filtered(complaint: Complaint) -> bool:
    return _is(complaint, _FILTERED) or _SAYS_FILTERED.search(complaint.message) is not None


def _remedy(status: int, complaint: Complaint, model: str, key_name: str) -> str:
    if status == 402 or _is(complaint, _NO_CREDIT):
        return "There is no credit left: top it up, then run the same command again"
    if status == 401:
        return f"The server rejects the key: put a valid one into {key_name}"
    if status == 403:
        return f"The key in {key_name} is not allowed to do this: use another one, or another --model"
    if _no_model(status, complaint):
        return f"Name a --model that the server has instead of {model!r}"
    return f"Check --base-url (it often ends in /v1) and --model {model!r}"
