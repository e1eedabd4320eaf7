"""Records for machines on stdout, beside whatever is shown to people: one `start` and one `done`."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from batchrun.checkpoint.inflight import Running
from batchrun.core.grid import Record
from batchrun.engine.events import Loading
from batchrun.run.run import Run
from batchrun.run.summary import Summary

from .first_lines import Announcement
from .protocol import Reporter
from .stream import Stream


class JsonRecords(Reporter):
    """A reporter that adds records to another one. A missing `done` means that the run died."""

    def __init__(self, people: Reporter, stdout: Stream) -> None:
        self._people = people
        self._stdout = stdout

    def planned(self, told: Announcement) -> None:
        """Print the `start` record."""
        self._people.planned(told)
        plan = told.plan
        done = plan.kept.get("done", 0)
        self._print("start", task=told.task, input=str(told.table), rows=plan.rows, done=done, to_run=plan.to_run)

    def tick(self, run: Run, now: float) -> None:
        """For people only."""
        self._people.tick(run, now)

    def say(self, text: str) -> None:
        """For people only."""
        self._people.say(text)

    def running(self, rows: Sequence[tuple[int, Running]], now: float, loading: Loading | None = None) -> None:
        """For people only."""
        self._people.running(rows, now, loading)

    def loading(self, loading: Loading | None) -> None:
        """For people only."""
        self._people.loading(loading)

    def ended(self, summary: Summary, advice: Sequence[str] = (), rows: Sequence[Record] = ()) -> None:
        """Print the `done` record, after what people are told."""
        self._people.ended(summary, advice, rows)
        self._print("done", **summary.as_record())

    def close(self) -> None:
        """Close the other one, and wait until everything has been read. Raises `OSError` if it could not be written."""
        self._people.close()
        self._stdout.finish()
        if self._stdout.error and not sys.exc_info()[1]:
            raise self._stdout.error

    def _print(self, event: str, **fields: Any) -> None:
        # ASCII: whatever the encoding of stdout, the record is the same.
        self._stdout.line(json.dumps({"event": event, **fields}))
