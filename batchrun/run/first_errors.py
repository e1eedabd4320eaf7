"""Whether a run's first attempts have all ended in the same error of the program's own, and what to say of it. Pure."""

import ast
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from batchrun.core.folding import fold
from batchrun.core.kinds import EXCEPTION
from batchrun.core.suggest import suggest
from batchrun.engine.deal import Ticket
from batchrun.engine.wire import Error, Reply
from batchrun.errors import StoppedError

ENOUGH = 10
_FRAME = re.compile(r'^ *File "(?P<file>.*)", line (?P<line>\d+)(?:, in .*)?(?:\n {4,}(?P<code>\S.*))?$', re.MULTILINE)
_NO_ATTRIBUTE = re.compile(r"'dict' object has no attribute '(\w+)'")
_PACKAGE = str(Path(__file__).parents[1])
_OF_A_SERVICE = re.compile(
    r"Timeout|TimedOut|Connect|URLError|gaierror|herror|SSL|Socket|Network|Unavailable|Busy|RateLimit|Throttl|Protocol"
    r"|RemoteDisconnected|IncompleteRead|OperationalError|InterfaceError"
)
_OTHERS = ("site-packages", "dist-packages", "/lib/python", "<frozen ")


class FirstErrors:
    """Watches the first attempts of a run. `open`: they may still turn out to be all alike.

    Rows that an earlier run had settled are passed over: they had failed then, and say nothing about the others.
    """

    def __init__(self) -> None:
        self.open = True
        self._seen = 0
        self._alike: str | None = None

    def saw(self, ends: Iterable[tuple[Ticket, Reply]]) -> Error | None:
        """These attempts have ended, in this order; returns the error as soon as ten have ended in it."""
        for ticket, reply in ends:
            if ticket.was or reply.outcome in ("refused", "aborted"):  # these say nothing of the program
                continue
            error = reply.error if reply.outcome == "failed" else None
            if error is None or not _is_own(error) or not self._fits(error):
                self.open = False
                return None
            self._seen += 1
            if self._seen >= ENOUGH:
                self.open = False
                return error
        return None

    def _fits(self, error: Error) -> bool:
        folded = fold(error[1])
        self._alike = folded if self._alike is None else self._alike
        return self._alike == folded


def _is_own(error: Error) -> bool:
    """Whether it may be the program's own fault, and not that of a service or a database that it asks."""
    return error[0] == EXCEPTION and not _OF_A_SERVICE.search(error[2] or "")


def all_alike(error: Error, columns: Sequence[str], sources: Collection[str]) -> StoppedError:
    """What to tell the user: the error, the line of the task, and what it looks like. `sources`: the task's files."""
    _, message, kind, _, trace = error
    shown = message if not kind or message.startswith(kind) else f"{kind}: {message}"
    where = line_of(trace or "", sources)
    at = f"\n  at {where}" if where else ""
    looks_like = _looks_like(message, kind, columns)
    return StoppedError(
        f"stopped early: the first {ENOUGH} attempts all failed with the same error: {shown}{at}",
        f"{looks_like}{'Fix' if looks_like else 'fix'} the task and run the same command again; "
        "with --max-failures 100% the other rows run anyway",
    )


def line_of(trace: str, sources: Collection[str] = ()) -> str | None:
    """File, number and text of the line of the user's own code where a traceback ends; None if none is in it."""
    last = trace.rpartition("Traceback (most recent call last):")[2]
    frames = [frame for frame in _FRAME.finditer(last) if not frame["file"].startswith(_PACKAGE)]
    own = [frame for frame in frames if frame["file"] in sources]
    near = [frame for frame in frames if not any(other in frame["file"] for other in _OTHERS)]
    for found in (own, near, frames):
        if found:
            last_one = found[-1]
            code = f": {last_one['code']}" if last_one["code"] else ""
            return f"{_at_home(last_one['file'], sources)}, line {last_one['line']}{code}"
    return None


def _at_home(file: str, sources: Collection[str]) -> str:
    """The task's own file that this one is: another machine of a cluster has it elsewhere."""
    alike = [path for path in sources if Path(path).name == Path(file).name]
    return alike[0] if len(alike) == 1 and file not in sources else file


def _looks_like(message: str, kind: str | None, columns: Sequence[str]) -> str:
    """What the error has to do with the table's columns, as the beginning of a hint."""
    if kind == "KeyError" and (key := _text(message.removeprefix("KeyError: "))) not in (None, *columns):
        return f"{suggest(str(key), columns, 'The columns are')} "
    if (found := _NO_ATTRIBUTE.search(message)) and found[1] in columns:
        return f"A row is a dict: write row[{found[1]!r}]. "
    return ""


def _text(literal: str) -> str | None:
    try:
        value = ast.literal_eval(literal)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, str) else None
