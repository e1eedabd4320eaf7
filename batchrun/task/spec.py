"""Tasks that need no function of the user's: what `--prompt` and its like are to the rest of the program."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol


class ReadyMade(Protocol):
    """A task made of options. Plain frozen data: it travels pickled to the workers."""

    @property
    def version(self) -> str:
        """Digest of all that decides what the results are, known without a worker."""

    @property
    def is_async(self) -> bool:
        """Whether its function is an `async def`."""

    @property
    def schema(self) -> str | None:
        """The JSON Schema, as text, that replies must fit; None if any JSON will do."""

    @property
    def asks_for_json(self) -> bool:
        """Whether its own words, not those of a row, ask for JSON."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """The modules that take long to import, and that workers need for it."""

    @property
    def named(self) -> frozenset[str]:
        """The columns that decide what is asked of a row, if the table has them: those that the task names."""

    def check(self, columns: Sequence[str]) -> None:
        """Raise `UsageError` if the task cannot be done on a table with these columns."""

    def note(self, columns: Sequence[str]) -> str | None:
        """What can be done, but is hardly meant, on a table with these columns; None if there is nothing to say."""

    def require(self) -> None:
        """Raise `TaskError` if something that it needs is missing on this machine; asked before rows are to run."""

    def preview(self, row: dict[str, Any]) -> str:
        """What would be sent, or run, for this row: for `--dry-run`."""


Spec = str | bytes | ReadyMade
"""What workers load: a task's name, a function pickled by value, or a ready-made task."""


def described(spec: Spec) -> str:
    """The spec as it is kept in the checkpoint."""
    if isinstance(spec, str):
        return spec
    return "(a function)" if isinstance(spec, bytes) else str(spec)


def schema_of(spec: Spec) -> str | None:
    """The JSON Schema of a task's replies, if it has one."""
    return None if isinstance(spec, (str, bytes)) else spec.schema


def asks_for_json(spec: Spec) -> bool:
    """Whether a task's own words ask for JSON, so that other text is not an answer."""
    return not isinstance(spec, (str, bytes)) and spec.asks_for_json


def named_columns(spec: Spec) -> tuple[str, ...] | None:
    """The columns that a ready-made task names, sorted. None for other tasks, which are given whole rows."""
    return None if isinstance(spec, (str, bytes)) else tuple(sorted(spec.named))


Reading = Literal["auto", "json", "text", "answer"]
"""What text that a task returns is. `text`: it is the result; `answer`: so is a model's, but for its thinking."""
