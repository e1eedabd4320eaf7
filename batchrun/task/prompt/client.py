"""The one door to the openai library: one client for a worker process, one request at a time out of it.

Whatever comes back over HTTP is an `Answer`, whatever keeps it from coming a `CallError`: nothing of the library
gets out of here, and neither does the key, even if the server says it back.
"""

import os
import socket
from typing import Any
from urllib.parse import urlsplit

from batchrun.core.installing import how_to_install_extra
from batchrun.core.kinds import CONNECTION, TIMEOUT
from batchrun.core.redact import MASK, SHORTEST
from batchrun.errors import TaskError
from batchrun.task.api import Abort

from .address import CHAT, is_another_server, parted, place_of, proxy_for
from .answer import Answer, decoded
from .deadline import Deadlines
from .needs import key_in
from .prompt import Prompt
from .refusals import CallError, shown

CONNECT_SECONDS = 30.0
_OPENAI = "https://api.openai.com/v1"
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
_WHEN_TO_COME_BACK = ("retry-after", "retry-after-ms")


class _SentElsewhere(Exception):
    """The server sends the request to another one, which the user has not named."""


async def _refuse_another_server(response: Any) -> None:
    if not response.has_redirect_location:
        return
    asked = response.request.url
    target = asked.join(response.headers["location"])
    if is_another_server(str(asked), str(target)):
        raise _SentElsewhere(
            f"{place_of(str(asked))} redirects to another server, {place_of(str(target))}. No row was sent there: "
            "if that server is right, name it with --base-url"
        )


class Client:
    """Asks one server. Made before there is an event loop; connects with the first question.

    All that takes time happens here: rows that had to wait for it would then be sent in one burst.
    Raises `TaskError` if the library or the key is missing, or the client cannot be made.
    """

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._deadlines = Deadlines()
        self._openai, self._httpx = _libraries()
        self._key = key_in(prompt.key_name, required=prompt.needs_key)
        address, query = parted(prompt.base_url or _OPENAI)
        self._path = f"{CHAT}?{query}" if query else CHAT
        self._headers = {"api-key": self._key} if "api-version=" in query and self._key else {}  # Azure's
        self._proxy = proxy_for(address, os.environ)
        try:
            self._client = self._made(address)
        except Exception as error:  # noqa: BLE001 - of whatever library reads the environment
            told = self._hidden(shown(f"{type(error).__name__}: {error}"))
            proxy = f"{self._proxy.variable}, which names a proxy, and " if self._proxy else ""
            hint = f"check {proxy}the variables for certificates, such as SSL_CERT_FILE"
            raise TaskError(f"the client for --prompt cannot be created: {told}", hint) from None

    async def post(self, body: dict[str, Any]) -> Answer:
        """Send one request for a completion. Raises `CallError` if no answer comes."""
        deadline = self._prompt.deadline
        try:
            async with self._deadlines.within(deadline):
                response = await self._send(body)
        except TimeoutError:
            raise CallError(TIMEOUT, f"no answer after {deadline:g} s") from None
        except self._openai.OpenAIError as error:
            cause = error.__cause__ or error
            if isinstance(cause, _SentElsewhere):
                raise Abort(self._hidden(str(cause))) from None
            told = self._hidden(shown(f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__))
            way = f" through {self._proxy}" if self._proxy else ""
            host = self._client.base_url.netloc.decode()
            raise CallError(CONNECTION, f"no answer from {host}{way}: {told}") from None
        headers = {name: response.headers[name] for name in _WHEN_TO_COME_BACK if name in response.headers}
        text, flaw = decoded(
            response.content, response.headers.get("content-type", ""), response.headers.get("content-encoding", "")
        )
        return Answer(response.status_code, self._hidden(text), headers, flaw, str(self._proxy or ""))

    async def _send(self, body: dict[str, Any]) -> Any:
        headers = self._headers if self._key else {"Authorization": self._openai.Omit()}
        kind = self._httpx.Response
        try:
            return await self._client.post(self._path, body=body, cast_to=kind, options={"headers": headers})
        except self._openai.APIStatusError as error:
            return error.response

    def _hidden(self, text: str) -> str:
        """Text without the key, and without the password for a proxy."""
        user = urlsplit(self._proxy.url).netloc.rpartition("@")[0] if self._proxy else ""
        for secret in (self._key, user):
            text = text.replace(secret, MASK) if len(secret) >= SHORTEST else text
        return text

    def _made(self, address: str) -> Any:
        httpx = self._httpx
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)  # --jobs is the limit
        # A client with a transport of its own looks for no proxy: which one it is must be known to be said.
        proxy = httpx.Proxy(self._proxy.url) if self._proxy else None
        transport = httpx.AsyncHTTPTransport(limits=limits, proxy=proxy, socket_options=_socket_options())
        hooks = {"response": [_refuse_another_server]}
        return self._openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=address,
            max_retries=0,
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            http_client=self._openai.DefaultAsyncHttpxClient(limits=limits, transport=transport, event_hooks=hooks),
        )


def _libraries() -> tuple[Any, Any]:
    """openai, and the HTTP library that it brings along."""
    try:
        import openai
    except ImportError:
        raise TaskError("--prompt needs the package openai", how_to_install_extra("llm")) from None
    if int(openai.__version__.partition(".")[0]) < 3:
        raise TaskError(
            f"--prompt needs openai 3 or later, and this is {openai.__version__}", how_to_install_extra("llm")
        )
    import httpx2

    return openai, httpx2


def _socket_options() -> list[tuple[int, int, int]]:
    """Notice within two minutes that a server has gone while its answer is waited for."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):  # not every system has all of them
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options
