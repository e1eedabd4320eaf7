"""Whether a row will run next time, and why. Pure; the same rules as the plan's, for one row, in words."""

from dataclasses import dataclass

from batchrun.core.states import CRASHED, DONE, FAILED, LEFT, SKIPPED, TIMED_OUT
from batchrun.core.text import counted, duration
from batchrun.run.plan import taken_up

_SETTLED = {
    DONE: "it is done",
    SKIPPED: "the task skipped it",
    FAILED: "it failed",
    TIMED_OUT: "it timed out",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a row that matters for the next run.

    `attempts`: failed ones of a remaining row. `deaths`: attempts that killed their worker. `executing`: for
    so many seconds, in a running job. `run_goes_on`: whether there is one. `left_in_flight`: it ran when
    the last run died. `task_changed`, `content_changed`: since it was settled.
    """

    status: int
    attempts: int = 0
    deaths: int = 0
    executing: float | None = None
    run_goes_on: bool = False
    left_in_flight: bool = False
    task_changed: bool = False
    content_changed: bool = False

    @property
    def stale(self) -> bool:
        """Settled under another task, or as other content."""
        return self.task_changed or self.content_changed


def runs_next_time(row: Standing, retry: str, on_change: str) -> tuple[bool, str]:
    """Whether the next run takes the row up, and the reason. `retry` and `on_change`: the options of that run."""
    if row.executing is not None:
        return True, f"it has been running for {duration(row.executing)}"
    if row.status == LEFT:
        return True, _left(row)
    if row.stale and on_change == "redo":
        return True, f"{_since(row)}: the next run runs it again (--on-change redo)"
    again = taken_up(row.status, retry)
    verdict = _settled(row, retry, again=again)
    if row.stale and not again:
        verdict += f"; {_since(row)}: {_stays(on_change)}"
    elif row.stale:
        verdict += f"; {_since(row)}"
    return again, verdict


def _left(row: Standing) -> str:
    if row.run_goes_on:
        who = "the current run will run it"
    elif row.left_in_flight:
        who = "it was running when the last run died: the next run starts with it, not counted as an attempt"
    else:
        who = "the next run runs it"
    if row.attempts:
        failed = f"{counted(row.attempts, 'attempt')} failed and it is not settled"
        return f"{failed}: {who}, with attempt {row.attempts + 1}"
    return f"it has not been settled: {who}"


def _settled(row: Standing, retry: str, *, again: bool) -> str:
    if row.status == CRASHED:
        died = f"it killed its worker {'once' if row.deaths == 1 else f'{row.deaths} times'}"
        if again:
            return f"{died}: the next run tries it again (--retry {retry})"
        return f"quarantined: {died}, and runs again only with --retry crashed"
    what = _SETTLED[row.status]
    if again:
        default = ", the default" * (retry == "failed")
        return f"{what}: the next run tries it again (--retry {retry}{default})"
    if row.status in (FAILED, TIMED_OUT):
        return f"{what} and stays so (--retry {retry}): --retry failed runs it again"
    return f"{what}: it will not run again"


def _since(row: Standing) -> str:
    changed = [name for name, has in (("the task", row.task_changed), ("its content", row.content_changed)) if has]
    return f"{' and '.join(changed)} {'has' if len(changed) == 1 else 'have'} changed since"


def _stays(on_change: str) -> str:
    if on_change == "stop":
        return "the next run stops because of it (--on-change stop); redo runs it again, keep keeps it"
    return "--on-change redo runs it again"
