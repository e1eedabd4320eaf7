"""What a run has settled and not yet committed, and the counts. Group commit: many rows, one fsync."""

import time
from collections import Counter

from .checkpoint import LEFT, STATUS_NAMES, Checkpoint, Failure, Settled

COMMIT_ROWS = 500
COMMIT_SECONDS = 0.05


class Ledger:
    """Takes settled rows and failed attempts, and commits them in groups. Counts are of the whole table."""

    def __init__(self, checkpoint: Checkpoint, run: int, rows: int, counts: dict[str, int]) -> None:
        self._checkpoint = checkpoint
        self._run = run
        self._settled: list[Settled] = []
        self._failures: list[Failure] = []
        self._oldest = 0.0
        self.counts = Counter(counts)
        self.rows = rows

    def settle(self, row: Settled, was: int = LEFT) -> None:
        """A row has its final state in this run. `was`: the state it had before the run."""
        self._settled.append(row)
        self._note()
        self.counts[STATUS_NAMES[row.status]] += 1
        if was:
            self.counts[STATUS_NAMES[was]] -= 1

    def note_failure(self, failure: Failure) -> None:
        """An attempt failed, and the row will be tried again."""
        self._failures.append(failure)
        self._note()

    @property
    def gathered(self) -> int:
        """What waits for the next commit."""
        return len(self._settled) + len(self._failures)

    def _note(self) -> None:
        if self.gathered == 1:
            self._oldest = time.monotonic()

    def commit_if_due(self, *, idle: bool) -> int:
        """Commit when 500 rows or 50 ms have gathered, or when nothing else is to do; returns rows committed."""
        if not self.gathered:
            return 0
        if idle or self.gathered >= COMMIT_ROWS or time.monotonic() - self._oldest >= COMMIT_SECONDS:
            return self.commit()
        return 0

    def commit(self) -> int:
        """Commit what has gathered; returns rows committed. They are durable when this returns."""
        if self.gathered:
            self._checkpoint.write(self._run, self._settled, self._failures)
        committed = len(self._settled)
        self._settled, self._failures = [], []
        return committed

    @property
    def left(self) -> int:
        """Rows of the table that are not settled."""
        return self.rows - sum(self.counts.values())
