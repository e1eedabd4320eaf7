"""The first lines of a run: what runs on what, the plan, and what the user should know. Pure."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from batchrun.core.text import counted, from_here, one_line
from batchrun.run.plan import Plan


class Announcement(NamedTuple):
    """What is told before any row runs. `jobs`: rows at once, 0 = a cluster's threads. `notes`: what the user should
    know. `config`: the file whose options count.
    """

    plan: Plan
    task: str
    table: Path
    jobs: int
    notes: Sequence[str] = ()
    config: Path | None = None


def first_lines(told: Announcement) -> list[str]:
    """Lines: one for the plan, one for each note."""
    options = f", options of {one_line(from_here(told.config, Path.cwd()))}" if told.config else ""
    start = f"{one_line(told.table.name)}, task {one_line(told.task)}, {_jobs(told.jobs)}{options}: {told.plan}"
    return [start, *(f"note: {one_line(note, 500)}" for note in told.notes)]


def _jobs(jobs: int) -> str:
    return counted(jobs, "job") if jobs else "as many jobs as the cluster has threads"
