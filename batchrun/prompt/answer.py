"""From a server's answer to the reply's text, or to a failure with a name. Pure, but for counting tokens."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchrun.control import MOST_TOKENS, count_tokens
from batchrun.reply import ReplyError

from .errors import CallError, Complaint, complaint_in, failure, failure_in_answer, shown


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP. `headers`: those that say when to come back."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


def reply_of(answer: Answer, *, model: str, key_name: str, accept_truncated: bool) -> str:
    """The text of the model's reply. Tokens are counted first: a reply that cannot be used was paid for, too.

    Raises `ReplyError`, `CallError` or `Abort`.
    """
    body = _json(answer.text)
    complaint = complaint_in(body)
    if answer.status >= 300:
        said = complaint or Complaint(shown(answer.text) or "no text")
        raise failure(answer.status, said, answer.headers, model, key_name)
    _count(body)
    if complaint:
        raise failure_in_answer(complaint, answer.headers, model, key_name)
    if not isinstance(body, dict):
        raise CallError(
            "server", f"the answer is no JSON object but {shown(answer.text)!r}; does --base-url end in /v1?"
        )
    choice = _choice(body)
    if complaint := complaint_in(choice):
        raise failure_in_answer(complaint, answer.headers, model, key_name)
    return _text(choice, accept_truncated)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _choice(body: dict[str, Any]) -> dict[str, Any]:
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise ReplyError("empty", f"the answer holds no reply: {shown(json.dumps(body))}")
    return choice


def _text(choice: dict[str, Any], accept_truncated: bool) -> str:
    message, reason = choice["message"], choice.get("finish_reason")
    text = _joined(message.get("content"))
    if reason == "error":
        raise CallError("server", "the service broke the reply off (finish_reason error)")
    if reason == "content_filter":
        raise ReplyError("filtered", "the service filtered the reply (finish_reason content_filter)", text)
    if refusal := message.get("refusal"):
        raise ReplyError("refused", f"the model refused: {shown(refusal)}", str(refusal))
    if reason == "length" and not accept_truncated:
        raise ReplyError("truncated", "the reply ends at the limit of tokens (finish_reason length)", text)
    if not text.strip():
        raise ReplyError("empty", f"the reply is empty (finish_reason {reason})")
    return text


def _joined(content: Any) -> str:
    """Text as it is; of an array of parts, the text in them."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def _count(body: Any) -> None:
    usage = body.get("usage") if isinstance(body, dict) else None
    if isinstance(usage, dict):
        count_tokens(
            prompt=_number(usage, "prompt_tokens"),
            completion=_number(usage, "completion_tokens"),
            cached=_number(usage.get("prompt_tokens_details"), "cached_tokens"),
            reasoning=_number(usage.get("completion_tokens_details"), "reasoning_tokens"),
        )


def _number(holder: Any, name: str) -> int:
    value = holder.get(name) if isinstance(holder, dict) else None
    return int(value) if isinstance(value, (int, float)) and 0 < value < MOST_TOKENS else 0
