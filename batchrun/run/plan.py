"""The plan: the pure answer to "what is left?"."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from batchrun.checkpoint.records import Stretch
from batchrun.core.states import CRASHED, FAILED, SETTLED_NAMES, TIMED_OUT, spoken

from .order import first_of

NOT_TO_RUN, NEW, AGAIN = 0, 1, 2
_CHANGED = -1
_REDO = -2

_RETRY = {
    "failed": frozenset({FAILED, TIMED_OUT}),
    "crashed": frozenset({CRASHED}),
    "all": frozenset({FAILED, TIMED_OUT, CRASHED}),
    "damaged": frozenset[int](),  # such rows have lost their record before the plan is made
    "none": frozenset[int](),
}


def taken_up(status: int, retry: str) -> bool:
    """Whether `--retry` takes up again a row that was settled in this state."""
    return status in _RETRY[retry]


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user wants done again, and which rows were asked for.

    `retry`: `failed`, `crashed`, `damaged`, `all` or `none`. `redo_stale`: run rows again that were settled under
    another task or content. `limit`: at most so many rows. `only`: these row numbers, or None for all. `redo`: the
    rows asked for run whatever has become of them; `limit` is then the table's first rows, or the first of `only`.
    `seed`: of the random order in which rows run, and which ones are the first (None: the table's order).
    """

    retry: str = "failed"
    redo_stale: bool = False
    limit: int | None = None
    only: frozenset[int] | None = None
    redo: bool = False
    seed: int | None = None

    def to_redo(self, rows: int) -> Sequence[int]:
        """The rows of a table of `rows` that run again whatever has become of them, in order."""
        if not self.redo:
            return ()
        asked = range(1, rows + 1) if self.only is None else sorted(self.only)
        if self.limit is None or self.seed is None:
            return asked[: self.limit]
        return first_of(asked, self.limit, self.seed)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left to do, in rows. `flags`: one byte a row (row n at n - 1): not to run, new, again.

    `settled` counts the rows that have a state already, by its name; `retry` and `kept` those of them that are
    taken up again, and left as they are (`kept` includes the done). `stale`: those kept that were settled
    under another task or content. `gone`: rows that are no longer in the input.
    """

    rows: int
    flags: bytearray
    new: int
    to_run: int
    settled: dict[str, int] = field(default_factory=dict)
    retry: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    stale: int = 0
    redone: int = 0
    gone: int = 0

    def __str__(self) -> str:
        parts = [f"{self.kept.get('done', 0):,} done", f"{self.new:,} new"]
        again = sum(self.retry.values())
        if again:
            parts.append(f"{again:,} to retry ({_by_state(self.retry)})")
        if self.redone:
            parts.append(f"{self.redone:,} to run again")
        still = {state: count for state, count in self.kept.items() if state != "done"}
        parts += [f"{count:,} {spoken(state)}" for state, count in still.items()]
        held = self.new + again + self.redone - self.to_run
        text = f"{self.rows:,} row{'s' if self.rows != 1 else ''}: {', '.join(parts)}"
        if held:
            text += f"; limited to {self.to_run:,}"
        return text + (f"; {self.gone:,} no longer in the input" if self.gone else "")


def make_plan(
    rows: int,
    settled: Iterable[Stretch],
    policy: Policy,
    *,
    task: int | None = None,
    changed: Iterable[int] = (),
    gone: int = 0,
) -> Plan:
    """Decide for each of `rows` rows whether it runs.

    `settled`: the settled rows, in order. `task`: today's version of the task (None: unknown, nothing is
    stale). `changed`: positions settled under other content of the same key.
    """
    # One byte a row, written stretch by stretch: a plan of ten million rows takes 10 MB and no loop over rows.
    count = _Count(bytearray([NEW]) * rows, _RETRY[policy.retry], policy.redo_stale)
    again = policy.to_redo(rows)
    for stretch in _apart(_apart(settled, sorted(changed), _CHANGED), again, _REDO):
        first, last, status, version = stretch
        if version == _REDO:
            count.anew(first, last, status)
        else:
            count.take(first, last, status, stale=version == _CHANGED or (task is not None and version != task))
    flags = _only(count.flags, again) if policy.redo else _asked_for(count.flags, policy)
    return Plan(
        rows=rows,
        flags=flags,
        new=rows - count.settled.total(),
        to_run=rows - flags.count(NOT_TO_RUN),
        settled=_named(count.settled),
        retry=_named(count.retry),
        kept=_named(count.kept),
        stale=count.stale,
        redone=count.redone,
        gone=gone,
    )


def _apart(settled: Iterable[Stretch], rows: Sequence[int], version: int) -> Iterator[Stretch]:
    """The stretches, with `rows` (in order) as stretches of their own, of that version."""
    for stretch in settled:
        first = stretch.first
        for position in rows[bisect_left(rows, first) : bisect_right(rows, stretch.last)]:
            if position > first:
                yield stretch._replace(first=first, last=position - 1)
            yield Stretch(position, position, stretch.status, version)
            first = position + 1
        if first <= stretch.last:
            yield stretch._replace(first=first)


@dataclass(slots=True)
class _Count:
    """The plan while it is being made."""

    flags: bytearray
    again: frozenset[int]
    redo: bool
    stale: int = 0
    redone: int = 0
    settled: Counter[int] = field(default_factory=Counter)
    retry: Counter[int] = field(default_factory=Counter)
    kept: Counter[int] = field(default_factory=Counter)

    def take(self, first: int, last: int, status: int, *, stale: bool) -> None:
        """Settled rows that are all alike."""
        rows = last - first + 1
        self.settled[status] += rows
        flag = AGAIN
        if stale and self.redo:
            self.redone += rows
        elif status in self.again:
            self.retry[status] += rows
        else:
            self.kept[status] += rows
            self.stale += rows if stale else 0
            flag = NOT_TO_RUN
        self.flags[first - 1 : last] = bytes([flag]) * rows

    def anew(self, first: int, last: int, status: int) -> None:
        """Settled rows that run again whatever has become of them."""
        self.settled[status] += last - first + 1
        self.redone += last - first + 1
        self.flags[first - 1 : last] = bytes([AGAIN]) * (last - first + 1)


def _only(flags: bytearray, rows: Iterable[int]) -> bytearray:
    asked = bytearray(len(flags))
    for row in rows:
        asked[row - 1] = flags[row - 1]
    return asked


def _asked_for(flags: bytearray, policy: Policy) -> bytearray:
    if policy.only is not None:
        flags = _only(flags, policy.only)
    if policy.limit is not None:
        left = (row for row, flag in enumerate(flags, 1) if flag)
        first = islice(left, policy.limit) if policy.seed is None else first_of(left, policy.limit, policy.seed)
        return _only(flags, first)
    return flags


def _named(counts: dict[int, int]) -> dict[str, int]:
    return {name: counts[status] for status, name in enumerate(SETTLED_NAMES, 1) if status in counts}


def _by_state(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {spoken(state)}" for state, count in counts.items())
