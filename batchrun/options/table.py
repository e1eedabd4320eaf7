"""The table of options: each is declared here, once.

From an entry come the field of the settings, the option of `batchrun process` and its help, the variable
(`BATCHRUN_JOBS`), the name in the configuration file and the keyword in Python. To add one: an entry here, the code
that uses it, and a line in docs/reference.md. Entries stand in the order of the help.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from batchrun.core.limits import MaxFailures, Timeout

from . import from_folder, named_values, parsing

T = TypeVar("T")

WHAT = "What to run"
PROGRAM = "Running a program"
PROMPT = "Asking a language model"
COST = "Limits and prices of a service"
HOW = "How to run it"
AGAIN = "What to run again, and when to stop"
READ = "Reading the table"
WRITE = "Results and checkpoint"
SHOW = "Display"


class Option(NamedTuple):
    """What is known of an option beside its default and its type. `name`: as in Python, `max_cost`.

    `read`: its value from text, TOML or Python; raises `ValueError` in words. `panel`: its heading in the help; none
    for what is named without a flag. `usual`: what counts where nothing is said, in the help's words. `several`:
    whether it may be given more than once. `anchor`: where its value names a file, that file's path as it is meant
    in a configuration file, from that file's folder.
    """

    name: str
    read: Callable[[Any], Any]
    panel: str | None
    help: str
    usual: str = ""
    flag: str = ""
    short: str | None = None
    metavar: str | None = None
    several: bool = False
    anchor: Callable[[Path, str], str] | None = None


def _option(default: T, read: Callable[[Any], T], panel: str | None, text: str, **more: Any) -> T:
    """An entry; `more`: further parts of `Option`. The types are those of a value, so that a reader fits its field."""
    metadata = {"option": Option("", read, panel, text, **more)}
    if default is named_values.NOTHING:
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


# Neither compared nor printed: what Python would write for that takes as long as all the rest of this module.
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Options:
    """Everything that `process` can be told, parsed. Field names are the options' names."""

    # fmt: off
    input: Path | None = _option(
        None, Path, None, "CSV, Parquet, JSON Lines, Excel or SQLite file, folder or quoted pattern; - for a pipe.",
        usual="input of batchrun.toml", metavar="INPUT", anchor=from_folder.path)

    task: str | bytes | None = _option(
        None, str, WHAT, "file.py:function, package.module:function, or a built-in: repair.",
        usual="repair, if a cell holds JSON", short="-t", anchor=from_folder.task)
    args: Mapping[str, Any] = _option(
        named_values.NOTHING, named_values.arguments, WHAT,
        "An argument of the function, besides the row; repeatable. A JSON value is parsed.",
        flag="--arg", metavar="NAME=VALUE", several=True)
    key: tuple[str, ...] | None = _option(
        None, parsing.names, WHAT, "Column(s) that name a row; otherwise its content does.", several=True)
    columns: tuple[str, ...] | None = _option(
        None, parsing.names, WHAT, "Only these columns are given to the task and make up a row's identity.",
        several=True)
    limit: int | None = _option(None, parsing.whole, WHAT, "Only the first N remaining rows.")
    rows: frozenset[int] | None = _option(None, parsing.rows, WHAT, "Only these rows: 3,17-20.")
    dry_run: bool = _option(False, parsing.yes_no, WHAT, "Print the plan and stop.")

    command: str | None = _option(
        None, str, PROGRAM, "Run a program for each row: its arguments with {column} in them.")
    shell: bool = _option(False, parsing.yes_no, PROGRAM, "Let /bin/sh read the command.")
    stdin: str | None = _option(
        None, str, PROGRAM, "The cell that the program gets on its stdin.", metavar="COLUMN")

    prompt: str | None = _option(
        None, str, PROMPT, "Ask a model about each row: text with {column} in it, or @FILE.", anchor=from_folder.text)
    model: str | None = _option(None, str, PROMPT, "The model to ask.")
    system: str | None = _option(
        None, str, PROMPT, "System text before the prompt, or @FILE.", anchor=from_folder.text)
    schema: str | Mapping[str, Any] | None = _option(
        None, parsing.json_schema, PROMPT, "JSON Schema that each reply must match.",
        metavar="FILE", anchor=from_folder.path)
    fields: str | None = _option(
        None, parsing.listed, PROMPT,
        "The reply's fields, not a schema: 'same bool, reason' (str, int, float, bool, list, object).")
    param: Mapping[str, Any] = _option(
        named_values.NOTHING, named_values.parameters, PROMPT,
        "An extra field of the request; repeatable: temperature=0.", several=True)
    base_url: str | None = _option(
        None, str, PROMPT, "An OpenAI-compatible server: http://host:8000/v1.",
        usual="OPENAI_BASE_URL, else OpenAI")
    api_key_env: str = _option(
        "OPENAI_API_KEY", str, PROMPT, "The environment variable with the key.", usual="OPENAI_API_KEY")
    skip_empty: tuple[str, ...] | None = _option(
        None, parsing.names, PROMPT, "Skip rows whose cell in this column is empty.", metavar="COLUMN", several=True)

    rpm: float | None = _option(None, parsing.positive, COST, "Start at most N attempts a minute.", metavar="N")
    tpm: float | None = _option(None, parsing.positive, COST, "Use at most about N tokens a minute.", metavar="N")
    warmup: float | None = _option(
        None, parsing.positive, COST, "Start with one row in flight, and allow N more each second.", metavar="N")
    price_in: float | None = _option(
        None, parsing.amount, COST, "Price of a million prompt tokens.", metavar="PRICE")
    price_out: float | None = _option(
        None, parsing.amount, COST, "Price of a million answer tokens.", metavar="PRICE")
    max_cost: float | None = _option(
        None, parsing.positive, COST, "Stop before it costs more than this.", metavar="COST")

    jobs: int = _option(
        0, parsing.jobs, HOW, "Rows in flight at once: N, N% of the CPUs, auto.",
        usual="the CPUs; 32 with --prompt, async def", short="-j")
    engine: str = _option(
        "local", parsing.OneOf("local", "dask", "ray"), HOW, "Where rows run: local, or on a cluster: dask, ray.",
        usual="local")
    cluster: str | None = _option(
        None, parsing.cluster, HOW, "The cluster's address, or local:N.",
        usual="DASK_SCHEDULER_ADDRESS, RAY_ADDRESS")
    gpus_per_job: float | None = _option(
        None, parsing.gpus, HOW, "With --engine ray: GPUs for each row, 0.5 or 2.", metavar="N")
    resources: Mapping[str, float] = _option(
        named_values.NOTHING, named_values.amounts, HOW,
        "With --engine ray: what each row needs of a resource of Ray's; repeatable: CPU=4.",
        metavar="NAME=AMOUNT", several=True)
    on_lost: str = _option(
        "rerun", parsing.OneOf("rerun", "fail"), HOW, "Rows whose machine was lost: rerun, fail (as crashed).",
        usual="rerun")
    threads: int = _option(
        1, parsing.at_least_one, HOW, "Run a plain function in T threads per worker process.",
        usual="one process per row", metavar="T")
    preload: str = _option(
        "imports", parsing.OneOf("imports", "module", "no"), HOW,
        "What to load once for all workers: imports (the task's libraries), module (its own code too), no (nothing).",
        usual="imports")
    worker_memory: int | None = _option(
        None, parsing.size, HOW, "Replace a worker that has grown beyond SIZE; kill it at twice SIZE.", metavar="SIZE")
    worker_rows: int | None = _option(
        None, parsing.at_least_one, HOW, "Replace a worker after N rows.", metavar="N")
    min_free_memory: int | None = _option(
        None, parsing.size, HOW, "With less memory free, start no row, and end the youngest worker.", metavar="SIZE")
    order: str = _option(
        "input", parsing.order, HOW, "Order in which rows run: input, random (a fair sample first), random:SEED.",
        usual="input")
    batch: int | None = _option(
        None, parsing.at_least_one, HOW, "Call the task with a list of up to N rows.", metavar="N", usual="one row")
    batch_frame: bool = _option(False, parsing.yes_no, HOW, "With --batch: as a DataFrame.")
    timeout: Timeout | None = _option(
        None, parsing.timeout, HOW, "Limit for one attempt: 30, 30s, 5m; 10x the median.", usual="none")
    retries: int = _option(2, parsing.whole, HOW, "Further attempts after a failure.", usual="2")
    reply: Literal["auto", "json", "text"] | None = _option(
        None, parsing.reply, HOW, "How to read text that a task returns: auto, json, text.",
        usual="auto; json where JSON is asked for")
    strict_json: bool = _option(False, parsing.yes_no, HOW, "Do not repair replies.")
    accept_truncated: bool = _option(False, parsing.yes_no, HOW, "Accept replies that were cut off, and close them.")

    retry: str = _option(
        "failed", parsing.OneOf("failed", "crashed", "damaged", "all", "none"), AGAIN,
        "Settled failures to run again: failed, crashed, damaged, all, none.", usual="failed")
    max_failures: MaxFailures | None = _option(
        None, parsing.max_failures, AGAIN, "Stop early at N or N% failed rows.",
        usual="when the first 25 fail, or 10 alike")
    redo: bool = _option(
        False, parsing.yes_no, AGAIN,
        "With --limit or --rows: run these rows again, even if done; all others keep their results.")
    on_change: str = _option(
        "keep", parsing.OneOf("keep", "redo", "stop"), AGAIN,
        "Rows settled under different task code or content: keep, redo, stop.",
        usual="keep; stop with --prompt and --command")
    fresh: bool = _option(
        False, parsing.yes_no, AGAIN, "Start over; the old checkpoint is moved aside, never deleted.")
    task_version: str | None = _option(
        None, str, AGAIN, "The task's version, set by hand.", usual="its source's digest")
    reparse: bool = _option(False, parsing.yes_no, AGAIN, "Parse the kept replies again; the task is not called.")

    if_running: str = _option(
        "fail", parsing.OneOf("fail", "skip", "wait"), WRITE,
        "If another run holds the checkpoint: fail, skip, wait.", usual="fail")
    output: Path | None = _option(
        None, Path, WRITE, "Results file (.csv .parquet .jsonl .json .xlsx .sqlite; .csv.gz).",
        usual="data.results.csv beside data.csv", short="-o", anchor=from_folder.path)
    format: str | None = _option(
        None, parsing.OneOf("csv", "tsv", "jsonl", "json", "json-files", "parquet", "xlsx", "sqlite"), WRITE,
        "Results as csv, tsv, jsonl, json, json-files (a folder, one file per row), parquet, xlsx, sqlite.",
        usual="by the file's name, else the table's")
    results_only: bool = _option(
        False, parsing.yes_no, WRITE, "Results without the table's cells: number of the row, --key, results.")
    result_columns: tuple[str, ...] | None = _option(
        None, parsing.names, WRITE, "Only these columns of the results.", usual="all", metavar="COLUMN", several=True)
    no_output: bool = _option(False, parsing.yes_no, WRITE, "Write no results file.")
    explode: bool = _option(
        False, parsing.yes_no, WRITE, "Write a line per element of a result that is an array.")
    overwrite: bool = _option(
        False, parsing.yes_no, WRITE, "Replace a results file that batchrun did not write.")
    dir: Path | None = _option(
        None, Path, WRITE, "Where checkpoints live.", usual="beside the input", anchor=from_folder.path)
    name: str | None = _option(
        None, str, WRITE, "Name of this task's checkpoint.", usual="the function's name")

    dtype: Mapping[str, str] = _option(
        named_values.NOTHING, named_values.pairs, READ, "Type of a column: col=str|int|float|bool.", several=True)
    missing: tuple[str, ...] = _option(
        (), parsing.words, READ, "A word for a missing number, like NA.",
        metavar="WORD", several=True)
    encoding: str | None = _option(None, str, READ, "Text encoding.", usual="UTF-8")
    sep: str | None = _option(None, str, READ, "The character between cells: ';', tab.")
    bad_rows: str = _option(
        "stop", parsing.OneOf("stop", "skip"), READ, "Rows with too few or too many cells: stop, skip.")
    no_header: bool = _option(
        False, parsing.yes_no, READ, "The first line is a row: columns are column1, column2, …")
    skip_lines: int | None = _option(
        None, parsing.whole, READ, "Skip N lines above the header; 0 insists that there are none.", metavar="N")
    table: str | None = _option(
        None, str, READ, "The table of an SQLite database.", usual="the only one", metavar="NAME")
    sheet: str | None = _option(
        None, str, READ, "The sheet of an Excel workbook.", usual="the only one that is not hidden", metavar="NAME")
    file_column: bool = _option(
        False, parsing.yes_no, READ, "Add a column batchrun_file: which file of a folder or pattern a row is from.")
    escape: str | None = _option(
        None, str, READ, "The character that escapes quotes: '\\'.", usual="a quote", metavar="CHAR")

    config: Path | None = _option(
        None, Path, SHOW, "The configuration file to use.", usual="batchrun.toml here or above", metavar="FILE")
    progress: str = _option(
        "auto", parsing.OneOf("auto", "live", "plain", "none"), SHOW,
        "How to show progress: auto, live, plain, none.", usual="auto")
    quiet: bool = _option(False, parsing.yes_no, SHOW, "Print only errors.", short="-q")
    json: bool = _option(False, parsing.yes_no, SHOW, "Print one start and one done record on stdout.")
    # fmt: on


def _named(name: str, option: Option) -> Option:
    return option._replace(name=name, flag=option.flag or f"--{name.replace('_', '-')}")


OPTIONS: Mapping[str, Option] = {each.name: _named(each.name, each.metadata["option"]) for each in fields(Options)}
