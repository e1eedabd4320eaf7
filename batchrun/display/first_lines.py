"""The first lines of a run: what runs on what, the plan, and what the user should know. Pure."""

from collections.abc import Sequence
from pathlib import Path

from batchrun.core.text import counted, from_here, one_line
from batchrun.run.plan import Plan


def first_lines(
    plan: Plan,
    *,
    task: str,
    input: Path,  # noqa: A002
    jobs: int,
    notes: Sequence[str],
    config: Path | None = None,
) -> list[str]:
    """Lines: one for the plan, one for each note. `config`: the file whose options count."""
    options = f", options of {one_line(from_here(config, Path.cwd()))}" if config else ""
    start = f"{one_line(input.name)}, task {one_line(task)}, {_jobs(jobs)}{options}: {plan}"
    return [start, *(f"note: {one_line(note, 500)}" for note in notes)]


def _jobs(jobs: int) -> str:
    return counted(jobs, "job") if jobs else "as many jobs as the cluster has threads"
