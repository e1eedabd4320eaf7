"""Every kind of failure, in one table: what it is called, whether the row is tried again, and what a user can do.

The names are stored in checkpoints and printed by `--json`: they never change. docs/reference.md lists them.
"""

from dataclasses import dataclass
from typing import Final

EXCEPTION: Final = "exception"
TIMEOUT: Final = "timeout"
CRASH: Final = "crash"
UNENCODABLE: Final = "unencodable"
BAD_REQUEST: Final = "bad_request"
CONTEXT_LENGTH: Final = "context_length"
AUTH: Final = "auth"
RATE_LIMITED: Final = "rate_limited"
CONNECTION: Final = "connection"
SERVER: Final = "server"
EMPTY: Final = "empty"
NO_JSON: Final = "no_json"
AMBIGUOUS: Final = "ambiguous"
TRUNCATED: Final = "truncated"
FILTERED: Final = "filtered"
REFUSED: Final = "refused"
SCHEMA: Final = "schema"


@dataclass(frozen=True, slots=True)
class FailureKind:
    """One kind. `hopeless`: the row would only fail the same way again, so it is not retried.

    `remedy`: what to do next, as `errors` prints it. `for_tasks`, `for_cells`: the same where no model wrote
    the text, but a function or a program, or where it is a cell that `repair` reads.
    """

    remedy: str
    hopeless: bool = False
    for_tasks: str | None = None
    for_cells: str | None = None

    def remedy_for(self, task: str) -> str:
        """The remedy for a task as the checkpoint describes it: `prompt …`, `repair`, or any other."""
        if task.startswith("prompt "):
            return self.remedy
        return (self.for_cells if task == "repair" else self.for_tasks) or self.remedy


_FIX_CELLS = "fix these cells, or leave the column out: list the ones to read with --columns"

KINDS = {
    EXCEPTION: FailureKind("fix the task or these rows, and run the same command again; --full has the traceback"),
    TIMEOUT: FailureKind("give them more time (--timeout), or find out what they wait for"),
    CRASH: FailureKind("fix what kills the worker, then run with --retry crashed"),
    UNENCODABLE: FailureKind("return what JSON can hold; the message says where it does not", hopeless=True),
    # of a service: by the HTTP status, see `of_status`
    BAD_REQUEST: FailureKind("fix what the task sends: the service cannot answer it as it is"),
    CONTEXT_LENGTH: FailureKind("send less for these rows, or ask a model that accepts more", hopeless=True),
    AUTH: FailureKind("check the key and what it is allowed to do, then run again", hopeless=True),
    RATE_LIMITED: FailureKind("run again later, or with fewer --jobs"),
    CONNECTION: FailureKind("check that the service can be reached, then run again"),
    SERVER: FailureKind("the service itself failed: run again later"),
    # of a reply
    EMPTY: FailureKind(
        "the reply is empty: change the prompt, or run again",
        for_tasks="the text that the task returned is empty: fix what writes it",
        for_cells=_FIX_CELLS,
    ),
    NO_JSON: FailureKind(
        "ask for JSON more firmly; 'show' prints the reply as it came",
        for_tasks="fix what writes it: 'show' prints the text as it came; --reply text accepts text as it is",
        for_cells=_FIX_CELLS,
    ),
    AMBIGUOUS: FailureKind(
        "ask for one answer; 'show' prints the reply as it came",
        for_tasks="make it write one value: 'show' prints the text as it came; --reply text accepts text as it is",
        for_cells=_FIX_CELLS,
    ),
    TRUNCATED: FailureKind(
        "allow longer answers, or accept those cut off: --accept-truncated (with --reparse: no new call)",
        hopeless=True,
        for_tasks="fix what cuts it off, or accept what is there: --accept-truncated (with --reparse: no new call)",
        for_cells="accept what is there: --accept-truncated; or leave the column out: list the others with --columns",
    ),
    FILTERED: FailureKind(
        "the service's filter withheld the answer: change what these rows say, or leave them out", hopeless=True
    ),
    REFUSED: FailureKind("the model declined to answer: change what these rows ask, or leave them out", hopeless=True),
    SCHEMA: FailureKind("the answer does not match the schema: fix the schema, or say in the prompt what is wanted"),
}

BUSY = frozenset({429, 503, 529})
"""HTTP statuses that mean "not now": the attempt does not count, and the row waits."""
UNAVAILABLE = frozenset({503, 529})
"""Those of them that mean that nobody is served just now, such as while a model is being loaded."""
_PASSING = frozenset({408, 409, 425})
_HOPELESS = frozenset({400, 401, 403, 404, 422})


def with_type(kind: str, message: str, type: str | None) -> str:  # noqa: A002 - the field's name
    """The message of a failure for people: that of an exception of the task's own begins with its type."""
    if kind != EXCEPTION or type in (None, "ProgramError") or message.startswith(str(type)):
        return message
    return f"{type}: {message}"


def of_status(status: int) -> str:
    """The kind of failure that an HTTP status from 400 on means."""
    if status == 429:
        return RATE_LIMITED
    if status >= 500 or status in _PASSING:
        return SERVER
    return AUTH if status in (401, 403) else BAD_REQUEST


def is_hopeless(kind: str, status: int | None) -> bool:
    """Whether another attempt would end the same way. A 402 or 413 may pass; a 400 will not: both are `bad_request`."""
    return status in _HOPELESS or (kind in KINDS and KINDS[kind].hopeless)


def remedy(kind: str, task: str) -> str:
    """What to do next about failures of a kind. One that is unknown is treated like any exception.

    `task`: as the checkpoint describes it.
    """
    return KINDS.get(kind, KINDS[EXCEPTION]).remedy_for(task)
