"""What a run has settled and not yet committed, and the counts. Group commit: many rows, one fsync."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from batchrun.core.money import Tokens
from batchrun.core.states import STATE_NAMES

from .checkpoint import Checkpoint
from .records import Failure, Settled
from .sheets import Block
from .witness import Witness

COMMIT_ROWS = 500
COMMIT_SECONDS = 0.05
COMMIT_SHARE = 4


HandOver = Callable[[Sequence[int], int], None]
"""Is told of rows (rising) that are settled in a state, once they are durable."""


class Ledger:
    """Takes settled rows and failed attempts, and commits them in groups.

    Counts are of the whole table; `fresh`: rows that this run has settled, of `to_run`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        run: int,
        rows: int,
        counts: dict[str, int],
        witness: Witness | None = None,
        to_run: int = 0,
        hand_over: HandOver | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._witness = witness
        self._run = run
        self._settled: list[Settled] = []
        self._blocks: list[Block] = []
        self._failures: list[Failure] = []
        self._spent: tuple[Tokens, float | None] | None = None
        self._oldest = self._cost = 0.0
        self.gathered = 0
        self.fresh = 0
        self._to_run = to_run
        self._hand_over = hand_over
        self.counts = Counter(counts)
        self.rows = rows

    def settle(self, rows: Sequence[Settled]) -> None:
        """Rows have their final state in this run."""
        if not self.gathered:
            self._oldest = time.monotonic()
        self._settled += rows
        self.gathered += len(rows)
        self.fresh += len(rows)
        for status, count in Counter(row[3] for row in rows).items():
            self.counts[STATE_NAMES[status]] += count

    def settle_block(self, block: Block) -> None:
        """Rows that came as one sheet have their final state in this run."""
        if not self.gathered:
            self._oldest = time.monotonic()
        self._blocks.append(block)
        rows = len(block.positions)
        self.gathered += rows
        self.fresh += rows
        self.counts[STATE_NAMES[block.status]] += rows

    def unsettle(self, status: int, rows: int = 1) -> None:
        """Rows that an earlier run had settled so have been run again."""
        self.counts[STATE_NAMES[status]] -= rows

    def note_failure(self, failure: Failure) -> None:
        """An attempt failed, and the row will be tried again."""
        if not self.gathered:
            self._oldest = time.monotonic()
        self._failures.append(failure)
        self.gathered += 1

    def spent(self, tokens: Tokens, cost: float | None) -> None:
        """What the run has used so far; written down with the next commit."""
        self._spent = tokens, cost

    def commit_if_due(self, *, idle: bool) -> None:
        """Commit when enough rows or time have gathered, or when nothing else is to do.

        Enough is 500 rows, or four times as long as the last commit took, at most 50 ms: so commits cost a
        fifth of the time at most, and where they are quick a row is durable a few milliseconds after its end.
        """
        if not self.gathered:
            return
        waited = time.monotonic() - self._oldest
        if idle or self.gathered >= COMMIT_ROWS or waited >= min(COMMIT_SECONDS, COMMIT_SHARE * self._cost):
            self.commit()

    def commit(self) -> None:
        """Commit what has gathered: it is durable when this returns."""
        if self.gathered or self._spent:
            begin = time.monotonic()
            # One transaction for all that is said of these rows. A row without its failed attempts would get more than
            # it may have, one without its tokens would be paid for and not counted against --max-cost.
            standing = {**self.counts, "fresh": self.fresh, "to_run": self._to_run}
            self._checkpoint.write(self._run, self._settled, self._failures, self._spent, standing, self._blocks)
            # After the commit, never before: the witness may know less than the checkpoint, not more.
            if self._witness:
                self._witness.saw(self._checkpoint.reached())
            if self._hand_over:
                for row in self._settled:
                    self._hand_over((row.position,), row.status)
                for block in self._blocks:
                    self._hand_over(block.positions, block.status)
            self._cost = time.monotonic() - begin
        self._settled, self._blocks, self._failures, self._spent, self.gathered = [], [], [], None, 0

    @property
    def left(self) -> int:
        """Rows of the table that are not settled."""
        return self.rows - sum(self.counts.values())
