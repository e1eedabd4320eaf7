"""`batchrun verify`."""

import typer

from .common import Dir, Input, Name, Task, located


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(verify)


def verify(input: Input, dir: Dir = None, task: Task = None, name: Name = None) -> None:  # noqa: A002
    """Prove that each row has one settled record, under its own content, undamaged.

    Exit code 0: every row is settled; 1: rows are left, or the input has changed; 4: the checkpoint is damaged.
    """
    from batchrun.checkpoint import opened
    from batchrun.errors import CheckpointError, InputError
    from batchrun.source import open_bound
    from batchrun.verify import in_words
    from batchrun.verify import verify as prove

    places, settings = located(input, dir, task, name)
    with opened(places.checkpoint, write=False) as checkpoint:
        try:
            bound = open_bound(checkpoint, input, settings)
        except InputError as error:
            typer.echo(f"{error}: only the checkpoint itself is checked", err=True)
            bound = None
        except CheckpointError:  # the proof says what is wrong, and goes on to the rows
            bound = None
        proof = prove(checkpoint, bound)
    typer.echo(in_words(proof, places.name))
    raise typer.Exit(proof.exit_code)
