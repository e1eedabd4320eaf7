"""A language model's server on loopback, real HTTP over real sockets, that behaves as it is told and keeps books.

How it behaves is said by `Server.manner`, or by the question itself: "manner: trickle" (see `MANNERS`). Each question
is known by the first number in its last message.
"""

import gzip
import json
import re
import socket
import struct
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


@dataclass
class Books:
    """What was asked. `answered`: rows whose answer has left in good order."""

    calls: Counter[int] = field(default_factory=Counter)
    answered: set[int] = field(default_factory=set)
    again: list[int] = field(default_factory=list)
    """Rows that were asked about once more although they had been answered."""
    times: list[float] = field(default_factory=list)
    """When each call came (monotonic seconds), in order."""
    at_once: list[int] = field(default_factory=list)
    """How many calls, refused ones included, were under way when each of them came, it among them."""
    refusals: int = 0
    """Calls that were told to come back later."""
    too_early: int = 0
    """Calls that came before a `Retry-After` had passed, whoever it was said to."""
    most_in_flight: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    connections: int = 0
    in_flight: int = 0
    closed_from: float = 0.0
    closed_until: float = 0.0

    def most_within(self, seconds: float) -> int:
        """The most calls that came within so many seconds."""
        return max(bisect_left(self.times, start + seconds) - nth for nth, start in enumerate(self.times))


class Server(ThreadingHTTPServer):
    """The server; `answer` makes the text of a reply from the number of a row."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.books = Books()
        self.lock = threading.Lock()
        self.answer: Callable[[int], str] = lambda row: json.dumps({"double": row * 2})
        self.seconds = 0.0
        self.manner = "well"
        self.key = ""
        self.most = 10**9

    @property
    def url(self) -> str:
        """The `--base-url`."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is none of our business."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        with self.server.lock:
            self.server.books.connections += 1
        super().setup()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def do_POST(self) -> None:
        """Take a question, write it down, and behave as asked."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        question = request["messages"][-1]["content"]
        said = re.search(r"manner: (\S+)", question)
        manner = said[1] if said else self.server.manner
        row = int(next(iter(re.findall(r"\d+", question)), "0"))
        books, lock = self.server.books, self.server.lock
        with lock:
            books.requests.append(request)
            books.paths.append(self.path)
            books.headers.append({name.lower(): value for name, value in self.headers.items()})
            books.calls[row] += 1
            books.times.append(time.monotonic())
            books.too_early += books.closed_from <= books.times[-1] < books.closed_until
            if row in books.answered:
                books.again.append(row)
            books.in_flight += 1
            books.at_once.append(books.in_flight)
            books.most_in_flight = max(books.most_in_flight, books.in_flight)
            self.in_flight = True
        try:
            MANNERS[manner](self, row, request)
        finally:
            self.over()

    def over(self) -> None:
        """The call is in flight no more: whoever reads its answer may ask again before this thread goes on."""
        with self.server.lock:
            self.server.books.in_flight -= self.in_flight
            self.in_flight = False

    def reply(self, row: int, content: Any = None, **choice: Any) -> None:
        """A completion in good order."""
        time.sleep(self.server.seconds)
        self.send(200, json.dumps(self.completion(row, content, **choice)))
        with self.server.lock:
            self.server.books.answered.add(row)

    def completion(self, row: int, content: Any = None, **choice: Any) -> dict[str, Any]:
        """The body of a completion."""
        message = {"role": "assistant", "content": self.server.answer(row) if content is None else content}
        return {
            "id": f"chatcmpl-{row}",
            "object": "chat.completion",
            "model": "loopback",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
            "usage": USAGE,
        }

    def fail(self, status: int, message: str, headers: dict[str, str] | None = None, **error: Any) -> None:
        """An error as OpenAI's API words it."""
        self.send(status, json.dumps({"error": {"message": message, **error}}), headers=headers)

    def refuse(self, seconds: float, grace: float = 0.0) -> None:
        """Everyone is told to come back later. `grace`: seconds in which that may not have been heard everywhere."""
        self.over()
        books = self.server.books
        with self.server.lock:
            now = time.monotonic()
            if now >= books.closed_until:
                books.closed_from = now + grace
            books.closed_until = now + seconds
            books.refusals += 1
        later = {"retry-after-ms": str(round(seconds * 1000))}
        self.fail(429, "slow down", later, type="rate_limit_error", code="rate_limit_exceeded")

    def send(
        self, status: int, body: str | bytes, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        """An HTTP answer."""
        data = body.encode() if isinstance(body, str) else body
        self.over()
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def first(self, row: int) -> bool:
        """Whether this is the first call for a row."""
        return self.server.books.calls[row] == 1


def _reset(handler: Handler, row: int, request: dict[str, Any]) -> None:
    """The connection is reset once; later calls go well."""
    if not handler.first(row):
        handler.reply(row)
        return
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def _trickle(handler: Handler, row: int, request: dict[str, Any]) -> None:
    """Some bytes now and then, for ever."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "1000000")
    handler.end_headers()
    for _ in range(1200):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def _busy(handler: Handler, row: int, request: dict[str, Any]) -> None:
    """The first call for each row is refused."""
    if handler.first(row):
        handler.refuse(0.5)
    else:
        handler.reply(row)


def _loading(handler: Handler, row: int, request: dict[str, Any]) -> None:
    """The first `Server.most` calls come while the model is being loaded; until when is not said."""
    with handler.server.lock:
        loaded = len(handler.server.books.times) > handler.server.most
        handler.server.books.refusals += not loaded
    if loaded:
        handler.reply(row)
    else:
        handler.fail(503, "Loading model", type="unavailable_error", code=503)


def _at_most(handler: Handler, row: int, request: dict[str, Any]) -> None:
    """More than `Server.most` at once are refused."""
    with handler.server.lock:
        full = handler.server.books.in_flight > handler.server.most
    if full:
        handler.refuse(1.0, grace=0.5)
    else:
        handler.reply(row)


def _encoded(kind: str, encode: Callable[[str], bytes], **headers: str) -> Callable[..., None]:
    """A good answer, in another charset or compressed."""

    def manner(handler: Handler, row: int, request: dict[str, Any]) -> None:
        body = json.dumps(
            handler.completion(row, json.dumps({"city": "Málaga"}, ensure_ascii=False)), ensure_ascii=False
        )
        handler.send(200, encode(body), kind, {name.replace("_", "-"): value for name, value in headers.items()})

    return manner


def _elsewhere(content: Any = None, reason: str = "stop", **fields: Any) -> Callable[..., None]:
    """The message has nothing as its content, but something in another field."""

    def manner(handler: Handler, row: int, request: dict[str, Any]) -> None:
        message = {"role": "assistant", "content": content, **fields}
        handler.reply(row, message=message, finish_reason=reason)

    return manner


def _status(status: int, message: str, times: int = 10**9, **error: Any) -> Callable[..., None]:
    """The first `times` calls for a row fail with this status."""

    def manner(handler: Handler, row: int, request: dict[str, Any]) -> None:
        if handler.server.books.calls[row] > times:
            handler.reply(row)
        else:
            handler.fail(status, message, **error)

    return manner


def _body(body: str, kind: str = "application/json", times: int = 10**9) -> Callable[..., None]:
    """The first `times` calls for a row are answered with status 200 and this body."""

    def manner(handler: Handler, row: int, request: dict[str, Any]) -> None:
        if handler.server.books.calls[row] > times:
            handler.reply(row)
        else:
            handler.send(200, body, kind)

    return manner


def _no_schema(handler: Handler, row: int, request: dict[str, Any]) -> None:
    """Understands no schemas, but JSON mode."""
    if request.get("response_format", {}).get("type") == "json_schema":
        handler.fail(400, "response_format.type 'json_schema' is not supported", type="invalid_request_error")
    else:
        handler.reply(row)


def _no_format(handler: Handler, row: int, request: dict[str, Any]) -> None:
    """Understands no response_format at all."""
    if "response_format" in request:
        handler.fail(422, "Extra inputs are not permitted: response_format")
    else:
        handler.reply(row)


def _echo_key(handler: Handler, row: int, request: dict[str, Any]) -> None:
    """Says the key back in an error, as careless servers do."""
    handler.fail(400, f"bad header: {handler.headers['authorization']}")


def _keyed(handler: Handler, row: int, request: dict[str, Any]) -> None:
    """Wants the right key."""
    if handler.headers["authorization"] == (f"Bearer {handler.server.key}" if handler.server.key else None):
        handler.reply(row)
    else:
        handler.fail(401, f"Incorrect API key provided: {handler.headers['authorization']}", code="invalid_api_key")


MANNERS: dict[str, Callable[[Handler, int, dict[str, Any]], None]] = {
    "well": lambda handler, row, request: handler.reply(row),
    "reset": _reset,
    "trickle": _trickle,
    "hang": lambda handler, row, request: time.sleep(120),
    "busy": _busy,
    "at-most": _at_most,
    "loading": _loading,
    "keyed": _keyed,
    "echo-key": _echo_key,
    "no-schema": _no_schema,
    "no-format": _no_format,
    "no-credit": _status(429, "You exceeded your current quota", code="insufficient_quota"),
    "payment": _status(402, "Payment required"),
    "forbidden": _status(403, "You may not use this"),
    "flagged": _status(403, "Your input was flagged by moderation"),
    "no-model": _status(404, "The model `x` does not exist", code="model_not_found"),
    "no-model-400": _status(400, "Model Not Exist", type="invalid_request_error"),
    "bad-request": _status(400, "temperature must not be hot"),
    "unprocessable": _status(422, "messages: too strange"),
    "too-long": _status(400, "This model's maximum context length is 4096 tokens", code="context_length_exceeded"),
    "filter-400": _status(400, "The prompt was filtered", code="content_filter"),
    "timeout-408": _status(408, "Request Timeout", times=1),
    "conflict": _status(409, "Conflict", times=1),
    "broken": _status(500, "The server had an error", times=1),
    "overloaded": _status(529, "Overloaded", times=1),
    "html": _body("<html><body>Welcome</body></html>", "text/html", times=1),
    "half": _body('{"choices": [{"message": ', times=1),
    "error-inside": _body('{"error": {"message": "upstream died", "code": 502}}', times=1),
    "error-text": _body('{"error": "upstream died"}', times=1),
    "no-choices": _body('{"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 0}}'),
    "null-choices": _body('{"choices": null}'),
    "an-array": _body("[1, 2]"),
    "just-text": _body('"hello"'),
    "nothing": _body("", times=1),
    "no-message": _body('{"choices": [{"finish_reason": "stop"}]}'),
    "null-content": lambda handler, row, request: handler.send(
        200, json.dumps({"choices": [{"message": {"content": None}, "finish_reason": "tool_calls"}]})
    ),
    "cut": lambda handler, row, request: handler.reply(row, '{"double": 4, "more": [1, 2', finish_reason="length"),
    "cut-whole": lambda handler, row, request: handler.reply(row, '{"double": 4}', finish_reason="length"),
    "filtered": lambda handler, row, request: handler.reply(row, '{"double"', finish_reason="content_filter"),
    "refusal": lambda handler, row, request: handler.reply(
        row, "", message={"role": "assistant", "content": None, "refusal": "I cannot help with that"}
    ),
    "latin-1": _encoded("application/json; charset=ISO-8859-1", lambda body: body.encode("latin-1")),
    "utf-16": _encoded("application/json; charset=utf-16", lambda body: body.encode("utf-16")),
    "marked": _encoded("application/json", lambda body: body.encode("utf-8-sig")),
    "unknown-charset": _encoded('application/json; charset="utf8mb4"', str.encode),
    "gzip": _encoded("application/json", lambda body: gzip.compress(body.encode()), content_encoding="gzip"),
    "wrong-charset": _encoded("application/json; charset=utf-8", lambda body: body.encode("latin-1")),
    "reasoning": _elsewhere(reasoning_content='{"double": 4}'),
    "thought-cut": _elsewhere("", "length", reasoning="Let me see"),
    "tool": _elsewhere(tool_calls=[{"type": "function", "function": {"name": "f", "arguments": '{"double": 4}'}}]),
    "parts": lambda handler, row, request: handler.reply(
        row, [{"type": "text", "text": '{"double": '}, {"type": "text", "text": f"{row * 2}}}"}]
    ),
    "wrong-fields": lambda handler, row, request: handler.reply(
        row, '{"double": "four"}' if handler.first(row) else json.dumps({"double": row * 2})
    ),
    "never-fits": lambda handler, row, request: handler.reply(row, '{"double": "four"}'),
    "example-first": lambda handler, row, request: handler.reply(
        row, f'For example {{"x": 1}} would not fit. My answer: {{"double": {row * 2}}}'
    ),
}


@contextmanager
def served() -> Iterator[Server]:
    """A server for the length of a `with` block."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
