"""`batchrun init`."""

from pathlib import Path

import typer

_TASKS = '''"""Tasks for batchrun: each takes a row as a dict and returns what JSON can hold."""

import batchrun


def example(row: dict) -> dict:
    """Count the characters of each cell. Try it: batchrun process TABLE.csv"""
    if not any(row.values()):
        raise batchrun.Skip("an empty row")
    return {f"{name}_length": len(str(cell)) for name, cell in row.items()}


# What every row needs (a client, a model) is made here, once per worker process:
#
#     client = Client(api_key=os.environ["API_KEY"])
#
#     def ask(row: dict) -> str:
#         return client.ask(row["question"])     # text that holds JSON is parsed
#
# A busy service: raise batchrun.RetryLater(seconds). No sense in going on: raise batchrun.Abort("why").
'''

_CONFIG = """# Options for batchrun in this folder and below; the command line beats them.
task = "tasks.py:example"

# jobs = 8                  # rows in flight at once; "200%" of the CPUs, "auto"
# timeout = "30s"           # limit for one attempt
# retries = 2               # further attempts after a failure
# key = "id"                # column(s) that name a row; otherwise its content does
# max-failures = "5%"       # stop early
"""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(init)


def init() -> None:
    """Write a tasks.py and a batchrun.toml to start from (existing files are left alone)."""
    from batchrun.errors import UsageError

    files = {Path("tasks.py"): _TASKS, Path("batchrun.toml"): _CONFIG}
    for path, text in files.items():
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            typer.echo(f"wrote {path}")
        except FileExistsError:
            typer.echo(f"{path} is there already: left alone")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}", "go to a folder of your own") from None
    typer.echo("next: batchrun process TABLE.csv")
