"""Many rows in one call of the task, each with an end of its own (`--batch`). See docs/decisions/0029."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import cache
from hashlib import blake2b
from itertools import groupby, repeat
from operator import attrgetter
from typing import Any, NamedTuple

from batchrun.checkpoint.sheets import NAME_BYTES
from batchrun.core.text import counted
from batchrun.engine.wire import Reply
from batchrun.task.api import Abort, count_tokens, counted_tokens, set_current, set_together
from batchrun.task.load import Function

from .attempt import Finish, Row, failed

_A_LIST = "with --batch a task returns a list with a result for each row"
_SURE = 3
"""So many calls for several rows that come out wrong, and none right, are the task's own fault."""


class WrongNumber(TypeError):
    """The task did not return a result for each row."""


class Batching(NamedTuple):
    """Up to `most` rows are called together, as a DataFrame if `frame`."""

    most: int
    frame: bool


class BatchCall:
    """Calls the task for several rows, one call after the other. `frame`: they are handed over as a DataFrame, not as a
    list of dicts.
    """

    def __init__(self, function: Function, finish: Finish, *, frame: bool) -> None:
        self._function = function
        self._finish = finish
        self._frame = frame
        self._unpaid: tuple[int, int, int, int] | None = None
        self._wrong: list[str] = []
        self._right = False

    @property
    def in_doubt(self) -> bool:
        """Whether the task has come out wrong, and it is not known yet whether it always does."""
        return not self._right and 0 < len(self._wrong) < _SURE

    def __call__(self, rows: Sequence[Row], started: float) -> list[Reply] | None:
        """The ends of these rows; None if one of them is to blame, and nobody knows which. Never raises.

        `started`: the monotonic time at which the attempts began. Each row is charged its share of the time.
        """
        fit = [row for row in rows if not isinstance(row.cells, Exception)]
        set_current(rows[0].position, name_of_call(rows), rows[0].attempt)
        set_together(tuple(row.position for row in fit))
        if self._unpaid:
            count_tokens(*self._unpaid)
        values: Iterable[Any] = ()
        share = len(rows)
        try:
            if fit:
                self._check_task(fit)
                values = self._values([row.cells for row in fit])
        except BaseException as error:  # noqa: BLE001 - sys.exit and MemoryError fail rows, not the worker
            if len(fit) > 1 and failed(0, 0.0, error).outcome not in ("refused", "aborted"):
                self._unpaid = counted_tokens()  # whoever comes first to an end pays for this call, too
                return None
            values, share = repeat(_about_lists(error)), 1  # of a refused call, all that counts is when it began
        self._unpaid = None
        found, seconds = iter(values), (time.monotonic() - started) / share
        values = [row.cells if isinstance(row.cells, Exception) else next(found) for row in rows]
        ends = [self._end(row.position, seconds, value) for row, value in zip(rows, values, strict=True)]
        return _shared(ends) if ends[0].tokens else ends

    def _values(self, rows: list[dict[str, Any]]) -> Sequence[Any]:
        value = self._function(_framed(rows) if self._frame else rows)  # type: ignore[arg-type]
        values = _listed(value)
        if values is None or len(values) != len(rows):
            found = type(value).__name__ if values is None else counted(len(values), "result")
            said = f"{found} for {counted(len(rows), 'row')}"
            if len(rows) > 1:
                self._wrong.append(said)
            raise WrongNumber(f"{_A_LIST}, and this one returned {said}")
        self._right = self._right or len(rows) > 1
        return values

    def _check_task(self, rows: Sequence[Row]) -> None:
        """Raise `Abort` if the task has never returned a result for each row: for one alone it would seem right."""
        if len(rows) == 1 and not self._right and len(self._wrong) >= _SURE:
            raise Abort(f"{_A_LIST}, and this one returned {', '.join(self._wrong[:_SURE])}")

    def _end(self, position: int, seconds: float, value: Any) -> Reply:
        if isinstance(value, BaseException):  # Skip, or what has gone wrong with this row alone
            return failed(position, seconds, value)
        return self._finish(position, seconds, value)


def _about_lists(error: BaseException) -> BaseException:
    """The same error; of a task that takes what it got for one row, with what it was."""
    of_a_list = ("list indices must be", "'list' object has no attribute")
    if type(error) not in (TypeError, AttributeError) or not str(error).startswith(of_a_list):
        return error
    return type(error)(f"{error} (with --batch a task gets a list of rows)").with_traceback(error.__traceback__)


def on_one_loop(function: Function) -> Function:
    """An `async def` as a plain function, for one thread or several. All its calls share one event loop, and with it
    what the task keeps there.
    """
    import asyncio  # only where it is used

    runner = asyncio.Runner()

    @cache
    def elsewhere() -> asyncio.AbstractEventLoop:
        loop = runner.get_loop()
        threading.Thread(target=turn, args=(loop,), name="event loop", daemon=True).start()
        return loop

    def turn(loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with suppress(BaseException):  # sys.exit in a call ends the call, and not the others
                loop.run_forever()

    def call(rows: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            return runner.run(function(rows), context=copy_context())
        with lock:
            loop = elsewhere()
        return asyncio.run_coroutine_threadsafe(function(rows), loop).result()

    lock = threading.Lock()
    return call


def in_batches(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    """Rows that are called together, at most so many. One that is tried again is called alone: it is a suspect."""
    for again, some in groupby(rows, key=attrgetter("again")):
        together, size = list(some), 1 if again else most
        for start in range(0, len(together), size):
            yield together[start : start + size]


def name_of_call(rows: Sequence[Row]) -> bytes:
    """A row's fingerprint, or one for all rows: as a key for a service, the first's would stand for its half, too."""
    names = b"".join(row.fingerprint for row in rows)
    return names if len(rows) == 1 else blake2b(names, digest_size=NAME_BYTES).digest()


def _shared(ends: list[Reply]) -> list[Reply]:
    """Each row's part of the tokens that their call has used."""
    counted = ends[0].tokens or (0, 0, 0, 0)
    for nth, reply in enumerate(ends):
        prompt, completion, cached, reasoning = ((tokens + nth) // len(ends) for tokens in counted)
        ends[nth] = reply._replace(tokens=(prompt, completion, cached, reasoning))
    return ends


def _framed(rows: list[dict[str, Any]]) -> Any:
    from batchrun.table.frames import framed  # workers pay only for what they use

    return framed(rows)


def _listed(value: Any) -> Sequence[Any] | None:
    """A result for each row, out of a list, a DataFrame or an array; None if it is nothing of that kind."""
    if isinstance(value, list | tuple):
        return value
    if hasattr(value, "columns") and hasattr(value, "to_dict"):
        records: list[Any] = value.to_dict("records")
        return records
    if hasattr(value, "to_dicts"):  # polars
        return list(value.to_dicts())
    return list(value) if hasattr(value, "tolist") and hasattr(value, "__len__") else None
