"""From a server's answer to the reply's text, or to a failure with a name. Pure, but for counting tokens."""

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchrun.core.kinds import EMPTY, FILTERED, REFUSED, SERVER, TRUNCATED
from batchrun.task.api import MOST_TOKENS, count_tokens
from batchrun.task.reply import ReplyError

from .refusals import CallError, Complaint, complaint_in, failure, failure_in_answer, shown

_THINKING = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "thought")
_IF_IT_IS = "If that is the answer, switch the server's reasoning parser off"


class OnlyThought(ReplyError):
    """Instead of a reply there is what the model thought: kept, but never read as a result."""

    status_code = 200  # what the service itself says of a reply holds for --reparse, too


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP. `headers`: those that say when to come back. `flaw`: why the text may not be what was
    sent; `way`: the proxy that it came through.
    """

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    flaw: str = ""
    way: str = ""


def decoded(data: bytes, kind: str, compression: str = "") -> tuple[str, str]:
    """The text of an answer, and what is wrong with it, if anything.

    `kind`: its Content-Type. The charset is that of its byte order mark, else of the header, else the one that JSON is
    in. `compression`: its Content-Encoding, of which the HTTP library has undone what it knows.
    """
    charset = _charset(data, kind)
    try:
        return data.decode(charset).removeprefix("\ufeff"), ""
    except UnicodeDecodeError as error:
        left = {name.strip().lower() for name in compression.split(",")} - {"", "identity", "gzip", "deflate"}
        flaw = f"the answer is not {charset}, which it should be (byte {error.start + 1:,})"
        if left:
            flaw = f"the answer is compressed ({', '.join(sorted(left))}), which was not asked for"
        return data.decode(charset, "replace").removeprefix("\ufeff"), flaw


def _charset(data: bytes, kind: str) -> str:
    for mark, charset in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
                          (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF32_BE, "utf-32")):  # fmt: skip
        if data.startswith(mark):
            return charset
    named = re.search(r"charset\s*=\s*[\"']?([^\s;\"']+)", kind, re.IGNORECASE)
    try:
        if named:
            b"a".decode(named[1], "replace")
            return named[1].lower()
    except (LookupError, ValueError):  # no charset that anybody knows, or none of texts
        pass
    return json.detect_encoding(data)


def reply_of(answer: Answer, *, model: str, key_name: str, accept_truncated: bool) -> str:
    """The text of the model's reply. Tokens are counted first: a reply that cannot be used was paid for, too.

    Raises `ReplyError`, `CallError` or `Abort`.
    """
    body = _json(answer.text)
    complaint = complaint_in(body)
    if answer.status >= 300:
        way = f", which came through {answer.way}" if answer.way else ""
        said = complaint or Complaint((shown(answer.text) or "no text") + way)
        raise failure(answer.status, said, answer.headers, model, key_name)
    _count(body)
    if answer.flaw:
        raise CallError(SERVER, answer.flaw)
    if complaint:
        raise failure_in_answer(complaint, answer.headers, model, key_name)
    if not isinstance(body, dict):
        raise CallError(SERVER, f"the answer is not a JSON object but {shown(answer.text)!r}; {_doubt(answer.way)}")
    choice = _choice(body)
    if complaint := complaint_in(choice):
        raise failure_in_answer(complaint, answer.headers, model, key_name)
    return _text(choice, accept_truncated)


def _doubt(way: str) -> str:
    return f"did it come from {way}?" if way else "does --base-url end in /v1?"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _choice(body: dict[str, Any]) -> dict[str, Any]:
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise ReplyError(EMPTY, f"the answer holds no reply: {shown(json.dumps(body))}")
    return choice


def _text(choice: dict[str, Any], accept_truncated: bool) -> str:
    message, reason = choice["message"], choice.get("finish_reason")
    text = _joined(message.get("content"))
    if reason == "error":
        raise CallError(SERVER, "the service cut the reply off (finish_reason error)")
    if reason == "content_filter":
        raise ReplyError(FILTERED, "the service filtered the reply (finish_reason content_filter)", text)
    if refusal := message.get("refusal"):
        raise ReplyError(REFUSED, f"the model refused: {shown(refusal)}", str(refusal))
    if reason == "length" and not accept_truncated:
        if not text.strip() and (thought := _thought(message)):
            raise OnlyThought(TRUNCATED, "the token limit was reached while the model was still thinking", thought[1])
        raise ReplyError(TRUNCATED, "the reply ends at the token limit (finish_reason length)", text)
    if not text.strip():
        raise _empty(choice, f"the reply is empty (finish_reason {reason})")
    return text


def _empty(choice: dict[str, Any], why: str) -> ReplyError:
    """The error for a reply without text: what stands in another field was paid for, so it is kept, and said."""
    message = choice["message"]
    if called := _arguments(message):
        return ReplyError(EMPTY, f"{why}: the model called a tool instead, with {shown(called)}", called)
    if thought := _thought(message):
        return OnlyThought(EMPTY, f"{why}, but {thought[0]} has: {shown(thought[1])}. {_IF_IT_IS}", thought[1])
    if isinstance(text := choice.get("text"), str) and text.strip():
        return ReplyError(EMPTY, f"{why}; next to the message there is: {shown(text)}", text)
    return ReplyError(EMPTY, why)


def _thought(message: dict[str, Any]) -> tuple[str, str] | None:
    """The field that holds what a model thought before its reply, and the text of it."""
    for name in (*_THINKING, "content"):
        if thought := _joined(message.get(name), thinking=True).strip():
            return name, thought
    return None


def _arguments(message: dict[str, Any]) -> str:
    """What a model called its tools with, a line for each."""
    calls = message.get("tool_calls")
    found = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    said = [call.get("arguments") for call in (*found, message.get("function_call")) if isinstance(call, dict)]
    return "\n".join(part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in said if part)


def _joined(content: Any, *, thinking: bool = False) -> str:
    """Text as it is; of an array of parts, the text in them: of the reply, or of what was thought before it."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        content = [content]
    parts = [part for part in content if isinstance(part, (dict, str))] if isinstance(content, list) else []
    return "".join(_text_of(part, thinking=thinking) for part in parts)


def _text_of(part: dict[str, Any] | str, *, thinking: bool) -> str:
    if isinstance(part, str):
        return part
    thought = part.get("thinking") or part.get("reasoning") or part.get("summary")
    if thinking and thought:
        return _joined(thought, thinking=True)
    if not thinking and re.search("think|reason", str(part.get("type"))):
        return ""
    return str(part.get("text") or "")


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
