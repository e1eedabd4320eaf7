"""The settings of a run: what has been said of each option, and what follows from it. Begin with `table`."""

import os

from batchrun.core.money import Prices
from batchrun.core.processes import cpus
from batchrun.task.command.program import Program
from batchrun.task.spec import Spec

from . import parsing
from .table import Options
from .task_name import BUILT_IN, function_name

WAITING_JOBS = 32
"""Rows at once of a task that mostly waits, which no number of CPUs limits."""


class Settings(Options):
    """Everything that `process` can be told, and what follows from it."""

    __slots__ = ()

    def rows_at_once(self, *, is_async: bool) -> int:
        """Rows in flight at once. A cluster that may have as many as it has threads is not held back by us."""
        return self._jobs(is_async=is_async) * self.rows_a_call

    def _jobs(self, *, is_async: bool) -> int:
        usual = WAITING_JOBS if self.prompt is not None or is_async else cpus()
        return self.jobs or (parsing.MOST_JOBS if self.on_cluster else usual)

    @property
    def on_cluster(self) -> bool:
        """Whether rows run on other machines."""
        return self.engine != "local"

    @property
    def rows_a_call(self) -> int:
        """The most rows that the task is given at once."""
        return self.batch or 1

    @property
    def most_at_once(self) -> int:
        """The most rows in flight, as long as nobody knows whether the task is an `async def`."""
        return max(self.rows_at_once(is_async=False), self.rows_at_once(is_async=True))

    def known_jobs(self, *, is_async: bool) -> int:
        """Calls in flight at once; 0 if the cluster decides."""
        return self.jobs if self.on_cluster else self._jobs(is_async=is_async)

    @property
    def seed(self) -> int | None:
        """That of the random order in which rows run; None: they run in the table's order."""
        return None if self.order == "input" else int(self.order.partition(":")[2])

    @property
    def checkpoint_name(self) -> str:
        """The name of the task's checkpoint."""
        if self.name is not None:
            return self.name
        if self.command is not None:
            return "command"
        if self.prompt is not None:
            return "prompt"
        return "task" if isinstance(self.task, bytes) else function_name(self.task or BUILT_IN)

    @property
    def prices(self) -> Prices | None:
        """What tokens cost, if that was said."""
        if self.price_in is None and self.price_out is None:
            return None
        return Prices(self.price_in or 0.0, self.price_out or 0.0)

    @property
    def names_no_task(self) -> bool:
        """Whether nobody has said what to do: the built-in task is all that remains."""
        return self.task is None and not self.ready_made

    @property
    def ready_made(self) -> bool:
        """Whether the task is made of options (`--prompt` and its like)."""
        return self.prompt is not None or self.command is not None

    @property
    def spec(self) -> Spec:
        """What the workers load. Reads the files that options name, so that a run asks once.

        Raises `UsageError` for a ready-made task that makes no sense.
        """
        if self.command is not None:
            return Program(self.command, self.shell, self.stdin, elsewhere=self.on_cluster)
        if self.prompt is None:
            return self.task or BUILT_IN
        from batchrun.task.prompt.making import made  # only prompts pay for what they need

        return made(
            prompt=self.prompt,
            model=self.model,
            system=self.system,
            schema=self.schema,
            fields=self.fields,
            param=self.param,
            skip_empty=self.skip_empty,
            base_url=self.base_url,
            api_key_env=self.api_key_env,
            timeout=self.timeout,
            accept_truncated=self.accept_truncated,
            environment=os.environ,
        )
