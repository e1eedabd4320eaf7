"""`batchrun verify`."""

from typing import Any

import typer

from .common import SEE, Dir, Input, Name, Task, examples, located, tell

_EXAMPLES = examples("batchrun verify data.csv")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel=SEE, epilog=_EXAMPLES)(verify)


def verify(input: Input = None, dir: Dir = None, task: Task = None, name: Name = None) -> None:  # noqa: A002
    """Prove that each row has one settled record, under its own content, undamaged.

    Exit code 0: every row is settled; 1: rows are left, or the input has changed; 4: the checkpoint is damaged.
    """
    from batchrun.checkpoint.opening import NothingYet
    from batchrun.checkpoint.witness import check
    from batchrun.outcome.proof import proof_in_words

    places, _ = located(input, dir, task, name)
    try:
        proof = _proof(places)
    except NothingYet:
        check(places.checkpoint, places.lock)  # there may have been something
        raise
    tell(proof_in_words(proof, places.name))
    raise typer.Exit(proof.exit_code)


def _proof(places: Any) -> Any:
    from batchrun.checkpoint.bind import open_bound
    from batchrun.checkpoint.opening import opened
    from batchrun.checkpoint.witness import noted
    from batchrun.errors import CheckpointError, InputError
    from batchrun.outcome.proof import verify as prove

    note = noted(places.lock)  # before the checkpoint is opened: a run may be in progress
    with opened(places.checkpoint, write=False) as checkpoint:
        try:
            bound = open_bound(checkpoint, places.input)
        except InputError as error:
            tell(f"{error}: only the checkpoint itself is checked", err=True)
            bound = None
        except CheckpointError:  # the proof says what is wrong, and goes on to the rows
            bound = None
        return prove(checkpoint, bound, note)
