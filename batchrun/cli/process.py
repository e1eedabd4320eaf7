"""`batchrun process`."""

import sys
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from batchrun.core.early import loading

from .common import INPUT_DEFAULT, RUN, examples, table_of

if TYPE_CHECKING:
    from batchrun.engine.local.nursery import Nursery
    from batchrun.options.settings import Settings

_WHAT = "What to run"
_PROGRAM = "Running a program"
_PROMPT = "Asking a language model"
_COST = "Limits and prices of a service"
_HOW = "How to run it"
_AGAIN = "What to run again, and when to stop"
_READ = "Reading the table"
_WRITE = "Results and checkpoint"
_SHOW = "Display"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="process", rich_help_panel=RUN, epilog=_EXAMPLES)(process)


_EXAMPLES = examples(
    "batchrun process data.csv --task tasks.py:match --jobs 50",
    "batchrun process data.csv --task tasks.py:match --dry-run",
    "batchrun process data.csv --prompt 'Is {a} the same as {b}?' --fields 'same bool' --model NAME",
    "batchrun process data.csv --command 'tool --id {id}' --timeout 30s",
    "batchrun process data.parquet --task my.module:f --timeout 30s --retries 5 --retry all",
)


def process(
    input: Annotated[  # noqa: A002
        Path | None,
        Argument(metavar="INPUT", help=f"CSV, Parquet or JSON Lines file, or Parquet folder.  {INPUT_DEFAULT}"),
    ] = None,
    task: Annotated[
        str | None,
        Option("--task", "-t", rich_help_panel=_WHAT,
               help="file.py:function, package.module:function, or a built-in: repair.  "
                    "\\[default: repair, if a cell holds JSON]"),
    ] = None,
    args: Annotated[
        list[str] | None,
        Option("--arg", rich_help_panel=_WHAT, metavar="NAME=VALUE",
               help="An argument of the function, beside the row; several times. A value that is JSON is that value."),
    ] = None,
    command: Annotated[
        str | None,
        Option(rich_help_panel=_PROGRAM, help="Run a program for each row: its arguments with {column} in them."),
    ] = None,
    shell: Annotated[
        bool | None, Option("--shell", rich_help_panel=_PROGRAM, help="Let /bin/sh read the command.")
    ] = None,
    stdin: Annotated[
        str | None,
        Option(rich_help_panel=_PROGRAM, metavar="COLUMN", help="The cell that the program reads from its stdin."),
    ] = None,
    prompt: Annotated[
        str | None,
        Option(rich_help_panel=_PROMPT, help="Ask a model about each row: text with {column} in it, or @FILE."),
    ] = None,
    model: Annotated[str | None, Option(rich_help_panel=_PROMPT, help="Which model is asked.")] = None,
    system: Annotated[
        str | None, Option(rich_help_panel=_PROMPT, help="System text before the prompt, or @FILE.")
    ] = None,
    schema: Annotated[
        str | None, Option(rich_help_panel=_PROMPT, metavar="FILE", help="JSON Schema that each reply must fit.")
    ] = None,
    fields: Annotated[
        str | None,
        Option(rich_help_panel=_PROMPT,
               help="The reply's fields, not a schema: 'same bool, reason' (str, int, float, bool, list, object)."),
    ] = None,
    param: Annotated[
        list[str] | None,
        Option(rich_help_panel=_PROMPT, help="A further field of the request, several times: temperature=0."),
    ] = None,
    base_url: Annotated[
        str | None,
        Option(rich_help_panel=_PROMPT,
               help="An OpenAI-compatible server: http://host:8000/v1.  \\[default: OPENAI_BASE_URL, else OpenAI]"),
    ] = None,
    api_key_env: Annotated[
        str | None,
        Option(rich_help_panel=_PROMPT, help="The environment variable with the key.  \\[default: OPENAI_API_KEY]"),
    ] = None,
    skip_empty: Annotated[
        list[str] | None,
        Option(rich_help_panel=_PROMPT, metavar="COLUMN", help="Skip rows that have nothing in this column."),
    ] = None,
    rpm: Annotated[
        str | None, Option(rich_help_panel=_COST, metavar="N", help="At most N attempts started a minute.")
    ] = None,
    tpm: Annotated[
        str | None, Option(rich_help_panel=_COST, metavar="N", help="At most about N tokens a minute.")
    ] = None,
    price_in: Annotated[
        str | None, Option(rich_help_panel=_COST, metavar="PRICE", help="Price of a million tokens of prompts.")
    ] = None,
    price_out: Annotated[
        str | None, Option(rich_help_panel=_COST, metavar="PRICE", help="Price of a million tokens of answers.")
    ] = None,
    max_cost: Annotated[
        str | None, Option(rich_help_panel=_COST, metavar="COST", help="Stop before it costs more than this.")
    ] = None,
    jobs: Annotated[
        str | None,
        Option(
            "--jobs", "-j", rich_help_panel=_HOW,
            help="Rows in flight at once: N, N% of the CPUs, auto.  \\[default: the CPUs; 32 with --prompt, async def]",
        ),
    ] = None,
    engine: Annotated[
        str | None,
        Option(rich_help_panel=_HOW, help="Where rows run: local, dask (a cluster).  \\[default: local]"),
    ] = None,
    cluster: Annotated[
        str | None,
        Option(rich_help_panel=_HOW,
               help="Scheduler's address or file, or local:N.  \\[default: DASK_SCHEDULER_ADDRESS]"),
    ] = None,
    on_lost: Annotated[
        str | None,
        Option(rich_help_panel=_HOW, help="Rows whose machine was lost: rerun, fail (as crashed).  \\[default: rerun]"),
    ] = None,
    threads: Annotated[
        str | None,
        Option(rich_help_panel=_HOW, metavar="T",
               help="Run a plain function in T threads per worker process.  \\[default: a process a row]"),
    ] = None,
    key: Annotated[
        list[str] | None,
        Option(rich_help_panel=_WHAT, help="Column(s) that name a row; otherwise its content does."),
    ] = None,
    columns: Annotated[
        list[str] | None,
        Option(rich_help_panel=_WHAT, help="Only these columns are given to the task and make up a row's identity."),
    ] = None,
    timeout: Annotated[
        str | None,
        Option(rich_help_panel=_HOW, help="Limit for one attempt: 30, 30s, 5m; 10x the median.  \\[default: none]"),
    ] = None,
    retries: Annotated[
        str | None, Option(rich_help_panel=_HOW, help="Further attempts after a failure.  \\[default: 2]")
    ] = None,
    retry: Annotated[
        str | None,
        Option(rich_help_panel=_AGAIN,
               help="Settled failures to take up again: failed, crashed, damaged, all, none.  \\[default: failed]"),
    ] = None,
    max_failures: Annotated[
        str | None,
        Option(rich_help_panel=_AGAIN,
               help="Stop early at N or N% failed rows.  \\[default: when the first 25 fail, or 10 alike]"),
    ] = None,
    limit: Annotated[str | None, Option(rich_help_panel=_WHAT, help="Only the first N rows left.")] = None,
    rows: Annotated[str | None, Option(rich_help_panel=_WHAT, help="Only these rows: 3,17-20.")] = None,
    redo: Annotated[
        bool | None,
        Option("--redo", rich_help_panel=_AGAIN,
               help="With --limit or --rows: these rows run anew, done ones too; all others keep their results."),
    ] = None,
    on_change: Annotated[
        str | None,
        Option(rich_help_panel=_AGAIN,
               help="Rows settled under other task code or content: keep, redo, stop.  "
                    "\\[default: keep; stop with --prompt and --command]"),
    ] = None,
    fresh: Annotated[
        bool | None,
        Option("--fresh", rich_help_panel=_AGAIN, help="Start over; the old checkpoint is moved aside, never deleted."),
    ] = None,
    if_running: Annotated[
        str | None,
        Option(rich_help_panel=_WRITE, help="Another run holds the checkpoint: fail, skip, wait.  \\[default: fail]"),
    ] = None,
    output: Annotated[
        Path | None,
        Option("--output", "-o", rich_help_panel=_WRITE,
               help="Results file (.csv .parquet .jsonl .xlsx).  \\[default: data.results.csv beside data.csv]"),
    ] = None,
    no_output: Annotated[bool | None, Option("--no-output", rich_help_panel=_WRITE, help="No results file.")] = None,
    overwrite: Annotated[
        bool | None,
        Option("--overwrite", rich_help_panel=_WRITE, help="Replace a results file that batchrun did not write."),
    ] = None,
    dir: Annotated[  # noqa: A002
        Path | None,
        Option(rich_help_panel=_WRITE, help="Where checkpoints live.  \\[default: beside the input]"),
    ] = None,
    name: Annotated[
        str | None,
        Option(rich_help_panel=_WRITE, help="Name of this task's checkpoint.  \\[default: the function's name]"),
    ] = None,
    task_version: Annotated[
        str | None,
        Option(rich_help_panel=_AGAIN, help="Say by hand when the task has changed.  \\[default: its source's digest]"),
    ] = None,
    reply: Annotated[
        str | None,
        Option(rich_help_panel=_HOW,
               help="What text is that a task returns: auto, json, text.  "
                    "\\[default: auto; json where JSON is asked for]"),
    ] = None,
    strict_json: Annotated[
        bool | None, Option("--strict-json", rich_help_panel=_HOW, help="No repair of replies.")
    ] = None,
    accept_truncated: Annotated[
        bool | None,
        Option("--accept-truncated", rich_help_panel=_HOW, help="Take replies that were cut off, closed up."),
    ] = None,
    reparse: Annotated[
        bool | None,
        Option("--reparse", rich_help_panel=_AGAIN, help="Parse the kept replies again; the task is not called."),
    ] = None,
    dtype: Annotated[
        list[str] | None, Option(rich_help_panel=_READ, help="Type of a column: col=str|int|float|bool.")
    ] = None,
    missing: Annotated[
        list[str] | None,
        Option(rich_help_panel=_READ, metavar="WORD", help="Stands for no value among numbers, as NA and its like do."),
    ] = None,
    encoding: Annotated[str | None, Option(rich_help_panel=_READ, help="Text encoding.  \\[default: UTF-8]")] = None,
    sep: Annotated[str | None, Option(rich_help_panel=_READ, help="What separates cells: ';', tab.")] = None,
    bad_rows: Annotated[
        str | None, Option(rich_help_panel=_READ, help="Rows with too few or too many cells: stop, skip.")
    ] = None,
    no_header: Annotated[
        bool | None,
        Option("--no-header", rich_help_panel=_READ, help="The first line is a row: columns are column1, column2, …"),
    ] = None,
    skip_lines: Annotated[
        str | None,
        Option(rich_help_panel=_READ, metavar="N", help="Lines above the header; 0 insists that there are none."),
    ] = None,
    escape: Annotated[
        str | None,
        Option(rich_help_panel=_READ, metavar="CHAR",
               help="What escapes quotes within quotes: '\\'.  \\[default: a quote]"),
    ] = None,
    dry_run: Annotated[
        bool | None, Option("--dry-run", rich_help_panel=_WHAT, help="Print the plan and stop.")
    ] = None,
    progress: Annotated[
        str | None, Option(rich_help_panel=_SHOW, help="auto, live, plain, none.  \\[default: auto]")
    ] = None,
    quiet: Annotated[bool | None, Option("--quiet", "-q", rich_help_panel=_SHOW, help="Only errors.")] = None,
    json: Annotated[
        bool | None, Option("--json", rich_help_panel=_SHOW, help="One start and one done record on stdout.")
    ] = None,
) -> None:  # fmt: skip
    """Run a function over the rows of a table that are left; put each result on disk as it comes.

    After a crash, Ctrl-C or kill -9 the same command does what is left.
    """
    given = dict(locals())
    for name in ("key", "columns", "skip_empty"):  # as text, where commas stand between names; a list is taken as it is
        given[name] = ",".join(given[name]) if given[name] else None
    raise typer.Exit(_run(given.pop("input"), given))


def _run(named: Path | None, given: dict[str, Any]) -> int:
    from batchrun.options.settings import here

    settings = here(given)
    input_path = table_of(named, settings)
    with ExitStack() as stack:
        nursery = _early(input_path, settings, stack)  # before the modules that take long to load
        with loading():
            from batchrun.display.reporter import make
            from batchrun.main import process as run
            from batchrun.run.advice import as_typed

        reporter = stack.enter_context(closing(make(settings.progress, settings.quiet, settings.json, sys.stderr)))
        return run(input_path, settings, reporter, as_typed(sys.argv), nursery=nursery).exit_code


def _early(input_path: Path, settings: "Settings", stack: ExitStack) -> "Nursery | None":
    """A nursery that gets up while everything else is loaded, for a table that surely has rows to run."""
    from batchrun.checkpoint.places import places_of

    if settings.dry_run or settings.engine == "dask":
        return None
    checkpoint = places_of(input_path, settings.dir, settings.checkpoint_name).checkpoint
    with suppress(OSError):  # it may not be looked at, or no further process started: said when it is needed
        if settings.fresh or not checkpoint.exists():
            from batchrun.core.descriptors import raise_descriptors
            from batchrun.engine.local.nursery import Nursery

            raise_descriptors(settings.most_at_once)
            return stack.enter_context(closing(Nursery()))
    return None
