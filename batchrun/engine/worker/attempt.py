"""One attempt: call the task on one row and turn whatever happens into a `Reply`. Never raises."""

import math
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from batchrun.core import kinds
from batchrun.engine.wire import Reply
from batchrun.task.api import Abort, RetryLater, Skip, counted_tokens, set_current
from batchrun.task.encode import MAX_RESULT_BYTES, Unencodable, encode
from batchrun.task.failure import http_status_of, kind_of, retry_after_of
from batchrun.task.load import Function, users_trace
from batchrun.task.prompt.refusals import CallError
from batchrun.task.reply import Parsed, ReplyError, fitting, read_reply
from batchrun.task.shadowing import shadowed
from batchrun.task.spec import Reading

Finish = Callable[[int, float, Any], Reply]


class Row(NamedTuple):
    """An attempt at a row. `cells`: typed, or why they cannot be; `batch`: the number of the message it came with;
    `again`: this run has tried it before.
    """

    position: int
    attempt: int
    fingerprint: bytes
    cells: Any
    batch: int
    again: bool = False


def attempt(function: Function, row: Row, finish: Finish, started: float) -> Reply:
    """Run a plain function on `row`. `started` is the monotonic time at which the attempt began."""
    position, number, fingerprint, cells, _, _ = row
    set_current(position, fingerprint, number)
    try:
        if isinstance(cells, Exception):
            raise cells
        value = function(cells)
    except BaseException as error:  # noqa: BLE001 - sys.exit and MemoryError fail the row, not the worker
        return failed(position, time.monotonic() - started, error)
    return finish(position, time.monotonic() - started, value)


async def attempt_async(function: Function, row: Row, finish: Finish, started: float) -> Reply:
    """Run an `async def` on `row`, as `attempt` does."""
    position, number, fingerprint, cells, _, _ = row
    set_current(position, fingerprint, number)
    try:
        if isinstance(cells, Exception):
            raise cells
        value = await function(cells)
    except BaseException as error:  # noqa: BLE001 - a cancelled row has an end of its own, too
        return failed(position, time.monotonic() - started, error)
    return finish(position, time.monotonic() - started, value)


def finisher(reply: Reading, *, strict: bool, accept_truncated: bool, schema: str | None = None) -> Finish:
    """What becomes of a value that a task returned: text is read as `reply` says, all else is encoded.

    `schema`: a JSON Schema, as text, that what is found in a text must fit.
    """
    fits = fitting(schema)

    def finish(position: int, seconds: float, value: Any) -> Reply:
        # Exactly text, and valid: neither a subclass nor half a character can be kept by the coordinator.
        raw = _valid(str.__str__(value)) if isinstance(value, str) else None
        how, nulled, note = "value", 0, None
        try:
            if raw is not None:
                value = read_reply(
                    str.__str__(value), reply, strict=strict, accept_truncated=accept_truncated, fits=fits
                )
            if type(value) is Parsed:  # the built-in has read texts by itself
                value, how, nulled, note = value.value, value.how, value.nulled, value.note
            body, more = encode(value)
            if len(body) > MAX_RESULT_BYTES:
                raise Unencodable("result", f"{len(body):,} bytes of JSON are more than a row can hold")
        except BaseException as error:  # noqa: BLE001 - a result may run the user's code while it is encoded
            return failed(position, seconds, error, raw)
        if nulled or more:
            lost = f"{nulled + more} NaN or infinite number(s) became null"
            note = f"{note}; {lost}" if note else lost
        return Reply(position, "done", seconds, body, raw, how, note, None, None, counted_tokens())

    return finish


def failed(position: int, seconds: float, error: BaseException, raw: str | None = None) -> Reply:
    """The reply for an attempt that ended in an exception, told apart by what the exception says."""
    if isinstance(error, Skip):
        return Reply(position, "skipped", seconds, note=safe_text(error), tokens=counted_tokens())
    if raw is None and isinstance(error, ReplyError) and error.text is not None:
        raw = _valid(error.text)
    status, wait, kind = _meaning(error)
    outcome = "failed"
    if isinstance(error, Abort):
        outcome = "aborted"
    elif isinstance(error, RetryLater) or status in kinds.BUSY:
        outcome = "refused"
    told = (kind, _message(error), _valid(type(error).__qualname__), status, _trace(error))
    return Reply(position, outcome, seconds, None, raw, None, None, told, wait, counted_tokens())


def _meaning(error: BaseException) -> tuple[int | None, float | None, str]:
    """HTTP status, seconds to wait, kind."""
    try:
        status = http_status_of(error)
        wait = error.seconds if isinstance(error, RetryLater) else retry_after_of(error, time.time())
        wait = None if wait is None or not math.isfinite(wait) else float(wait)
        return None if status is None else int(status), wait, _kind(error, status)
    except Exception:  # noqa: BLE001 - an exception's attributes may be code that fails
        return None, None, kinds.EXCEPTION


def _kind(error: BaseException, status: int | None) -> str:
    if isinstance(error, (ReplyError, CallError)):
        return error.kind
    if isinstance(error, Unencodable):
        return kinds.UNENCODABLE
    return kinds.RATE_LIMITED if isinstance(error, RetryLater) else kind_of(error, status)


def _message(error: BaseException) -> str:
    """What the exception says; with its type where that is nothing, or a mere value such as a missing key."""
    name, text = _valid(type(error).__qualname__), safe_text(error)
    if not text:
        return name
    if isinstance(error, ImportError | AttributeError):
        return text + _about_modules(error)
    return f"{name}: {text}" if isinstance(error, KeyError | SystemExit) else text


def _about_modules(error: ImportError | AttributeError) -> str:
    """Which file stands in a module's way, or which Python lacks one: machines of a cluster differ in it."""
    if said := shadowed(error):
        return f" ({said})"
    return f" (in {sys.executable})" if isinstance(error, ModuleNotFoundError) else ""


def safe_text(error: BaseException) -> str:
    """The message of an exception whose `__str__` may itself be broken, as valid Unicode."""
    try:
        text = str(error)
    except BaseException as second:  # noqa: BLE001 - whatever a user's __str__ does, the row has failed
        text = f"({type(error).__name__}, whose message raised {type(second).__name__})"
    return _valid(text)


def _valid(text: str) -> str:
    """Valid Unicode, and exactly text."""
    if text.isascii() and type(text) is str:
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def _trace(error: BaseException) -> str:
    try:
        return _valid(users_trace(error))
    except BaseException:  # noqa: BLE001 - see safe_text
        return ""
