"""`batchrun init`."""

from pathlib import Path

import typer

from .common import RUN, examples, tell

_TASKS = '''"""Tasks for batchrun: each takes a row as a dict and returns what JSON can hold, or text with JSON in it.

batchrun process                          # the table and the task of batchrun.toml: example.csv, summary
batchrun process --task tasks.py:lookup   # another task
"""

import asyncio

import batchrun

# ---- a plain function: each row in flight has a worker process of its own


def summary(row: dict) -> dict:
    """Numbers are numbers, text is text, a missing number is None."""
    if row["quantity"] is None:
        raise batchrun.Skip("nothing was ordered")  # no result, and no failure
    return {"total": row["quantity"] * row["price"], "label": row["product"].title()}


# ---- an async function: for calls that wait, such as those of a web service


async def wait(row: dict) -> dict:
    """Put `await client.get(...)` in place of the sleep."""
    await asyncio.sleep(0.05)
    return {"characters": len(row["product"])}


# ---- with a client: what every row needs is made at module level, once per worker process


class Client:
    """Stands for the one that you use: `OpenAI()`, a database connection, a model that takes long to load."""

    def ask(self, question: str) -> str:
        return 'Sure, here it is: {"question": "' + question + '", "answer": 42}'


client = Client()


def lookup(row: dict) -> str:
    """Text that holds JSON is parsed, even inside prose or slightly broken."""
    return client.ask(row["product"])
    # The service is busy:             raise batchrun.RetryLater(seconds)
    # No point in going on:            raise batchrun.Abort("the key has expired")
    # A name for this row's request:   batchrun.current().fingerprint
'''

_CONFIG = """# Options for batchrun in this folder and below. The command line and the environment override them
# (BATCHRUN_JOBS=8). Every option of 'batchrun process --help' can be set here.
input = "example.csv"
task = "tasks.py:summary"

# jobs = 8                  # rows in flight at once; "200%" of the CPUs, "auto"
# timeout = "30s"           # limit for one attempt
# retries = 2               # further attempts after a failure
# args = { model = "x" }    # further arguments of the function, as of --arg
# key = "id"                # column(s) that name a row; otherwise its content does
# columns = ["id", "name"]  # only these are given to the task
# max-failures = "5%"       # stop early
# on-change = "keep"        # rows settled under older code: keep, redo, stop
# output = "results.csv"    # also .parquet, .jsonl, .xlsx; from this file's folder
"""

_CONFIG_BESIDE_OWN_TASKS = _CONFIG.replace('task = "tasks.py:summary"', '# task = "tasks.py:FUNCTION"')

_TABLE = """id,product,quantity,price
1,apple,3,0.40
2,pear,,0.55
3,quince,12,1.25
"""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel=RUN, epilog=examples("batchrun init", "batchrun process"))(init)


def init() -> None:
    """Write a tasks.py, a batchrun.toml and a small example.csv to start from (existing files are left alone)."""
    from batchrun.errors import UsageError

    own_tasks, own_config = Path("tasks.py").exists(), Path("batchrun.toml").exists()
    config = _CONFIG_BESIDE_OWN_TASKS if own_tasks else _CONFIG
    for name, text in {"tasks.py": _TASKS, "batchrun.toml": config, "example.csv": _TABLE}.items():
        path = Path(name)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            tell(f"wrote {path}")
        except FileExistsError:
            tell(f"{path} already exists: left alone")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}", "go to a folder of your own") from None
    ready = "batchrun process example.csv --task tasks.py:summary" if own_config else "batchrun process"
    tell("next: " + ("name a function of tasks.py in batchrun.toml" if own_tasks else ready))
