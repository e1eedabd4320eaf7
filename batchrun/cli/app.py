"""The command line. Each command's module is loaded when it runs, so that `--help` stays quick."""

import errno
import os
import sys
import traceback
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from batchrun.errors import BatchrunError, CheckpointError, OutOfMemory, is_out_of_memory
from batchrun.options.variables import DEBUG

from . import clean, ctl, errors, export, import_results, init, process, report, sample, show, status, verify
from .common import examples, tell
from .completing import as_bash_has_words
from .values import program

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EAGAIN)

app = typer.Typer(
    name="batchrun",
    help="Apply a function to each row of a table, many at once. The same command resumes.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=examples(
        "batchrun init",
        "batchrun process data.csv --task tasks.py:match --jobs 50",
        "batchrun status data.csv --watch",
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (process, import_results, ctl, init, status, errors, sample, show, report, verify, export, clean):
    module.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        from .about import about

        tell(about())
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the versions of batchrun and its libraries."
        ),
    ] = False,
) -> None:
    """Apply a function to each row of a table, many at once. The same command resumes."""


def main() -> NoReturn:
    """The whole program: run a command, print what went wrong, leave with the exit code."""
    try:
        with as_bash_has_words(os.environ):
            program(app)()
    except BatchrunError as error:
        complain(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        _print_no_more()  # whoever read our output has had enough (`| head`)
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the last door: users never see a traceback of ours
        sys.exit(_unforeseen(error))
    sys.exit(0)


def _print_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _unforeseen(error: Exception) -> int:
    """Say what nobody has provided for; returns the exit code."""
    if is_out_of_memory(error):
        complain(OutOfMemory())
        return OutOfMemory.exit_code
    if isinstance(error, OSError) and error.filename is None and error.errno in _DISK:
        _print_no_more()
        complain(
            CheckpointError(
                f"the output cannot be written: {error.strerror}", "free some space, or send the output elsewhere"
            )
        )
        return CheckpointError.exit_code
    if os.environ.get(DEBUG):
        traceback.print_exc()
    print(f"batchrun: this is a bug in batchrun: {type(error).__name__}: {error}", file=sys.stderr)
    print(f"  Nothing that was settled is lost. {DEBUG}=1 shows the traceback to report.", file=sys.stderr)
    return 70


def complain(error: BatchrunError) -> None:
    """Print an error for people, on stderr."""
    lines = [str(error)] if error.exit_code == 0 else [f"error: {error}"]
    if error.hint and error.exit_code:
        lines.append(f"  → {error.hint}")
    with suppress(OSError):  # the terminal may have been closed
        tell("\n".join(lines), err=True)
