"""The options of a run: their names, how each is read from text, and which source wins.

Command line beats environment (`BATCHRUN_JOBS`) beats file (`batchrun.toml`, or `[tool.batchrun]` of a
`pyproject.toml`, found from the working directory upwards; never from the data's folder, for code beside data
is not trusted).
"""

import dataclasses
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from batchrun.core.limits import MaxFailures, Timeout
from batchrun.core.money import Prices
from batchrun.core.suggest import meant
from batchrun.errors import UsageError
from batchrun.task.command.spec import Program
from batchrun.task.spec import Spec

from . import parsing
from .config import anchored, find_config
from .variables import variable

WAITING_JOBS = 32
"""Rows at once of a task that mostly waits, which no number of CPUs limits."""


def _option(default: Any, read: Callable[[Any], Any]) -> Any:
    if default is parsing.NOTHING:
        return field(default_factory=lambda: default, metadata={"read": read})
    return field(default=default, metadata={"read": read})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `process` can be told, parsed. Field names are the options' names."""

    input: Path | None = _option(None, Path)
    task: str | bytes | None = _option(None, str)
    args: Mapping[str, Any] = _option(parsing.NOTHING, parsing.arguments)
    command: str | None = _option(None, str)
    shell: bool = _option(False, parsing.yes_no)
    stdin: str | None = _option(None, str)
    prompt: str | None = _option(None, str)
    model: str | None = _option(None, str)
    system: str | None = _option(None, str)
    schema: str | Mapping[str, Any] | None = _option(None, parsing.json_schema)
    fields: str | None = _option(None, parsing.listed)
    param: Mapping[str, Any] = _option(parsing.NOTHING, parsing.parameters)
    base_url: str | None = _option(None, str)
    api_key_env: str = _option("OPENAI_API_KEY", str)
    skip_empty: tuple[str, ...] | None = _option(None, parsing.names)
    rpm: float | None = _option(None, parsing.positive)
    tpm: float | None = _option(None, parsing.positive)
    price_in: float | None = _option(None, parsing.amount)
    price_out: float | None = _option(None, parsing.amount)
    max_cost: float | None = _option(None, parsing.positive)
    jobs: int = _option(0, parsing.jobs)
    engine: str = _option("local", parsing.one_of("local", "dask"))
    cluster: str | None = _option(None, parsing.cluster)
    on_lost: str = _option("rerun", parsing.one_of("rerun", "fail"))
    threads: int = _option(1, parsing.at_least_one)
    key: tuple[str, ...] | None = _option(None, parsing.names)
    columns: tuple[str, ...] | None = _option(None, parsing.names)
    timeout: Timeout | None = _option(None, parsing.timeout)
    retries: int = _option(2, parsing.whole)
    retry: str = _option("failed", parsing.one_of("failed", "crashed", "damaged", "all", "none"))
    max_failures: MaxFailures | None = _option(None, parsing.max_failures)
    limit: int | None = _option(None, parsing.whole)
    rows: frozenset[int] | None = _option(None, parsing.rows)
    redo: bool = _option(False, parsing.yes_no)
    on_change: str = _option("keep", parsing.one_of("keep", "redo", "stop"))
    fresh: bool = _option(False, parsing.yes_no)
    if_running: str = _option("fail", parsing.one_of("fail", "skip", "wait"))
    output: Path | None = _option(None, Path)
    no_output: bool = _option(False, parsing.yes_no)
    overwrite: bool = _option(False, parsing.yes_no)
    dir: Path | None = _option(None, Path)
    name: str | None = _option(None, str)
    task_version: str | None = _option(None, str)
    reply: Literal["auto", "json", "text"] | None = _option(None, parsing.one_of("auto", "json", "text"))
    strict_json: bool = _option(False, parsing.yes_no)
    accept_truncated: bool = _option(False, parsing.yes_no)
    reparse: bool = _option(False, parsing.yes_no)
    dtype: Mapping[str, str] = _option(parsing.NOTHING, parsing.pairs)
    missing: tuple[str, ...] = _option((), parsing.words)
    encoding: str | None = _option(None, str)
    sep: str | None = _option(None, str)
    bad_rows: str = _option("stop", parsing.one_of("stop", "skip"))
    no_header: bool = _option(False, parsing.yes_no)
    skip_lines: int | None = _option(None, parsing.whole)
    escape: str | None = _option(None, str)
    dry_run: bool = _option(False, parsing.yes_no)
    progress: str = _option("auto", parsing.one_of("auto", "live", "plain", "none"))
    quiet: bool = _option(False, parsing.yes_no)
    json: bool = _option(False, parsing.yes_no)

    def rows_at_once(self, *, is_async: bool) -> int:
        """Rows in flight at once. A cluster that may have as many as it has threads is not held back by us."""
        usual = WAITING_JOBS if self.prompt is not None or is_async else parsing.cpus()
        return self.jobs or (parsing.MOST_JOBS if self.engine == "dask" else usual)

    @property
    def most_at_once(self) -> int:
        """The most rows in flight, as long as nobody knows whether the task is an `async def`."""
        return max(self.rows_at_once(is_async=False), self.rows_at_once(is_async=True))

    def known_jobs(self, *, is_async: bool) -> int:
        """Rows in flight at once; 0 if the cluster decides."""
        return self.jobs if self.engine == "dask" else self.rows_at_once(is_async=is_async)

    @property
    def checkpoint_name(self) -> str:
        """The name of the task's checkpoint."""
        if self.name is not None:
            return self.name
        if self.command is not None:
            return "command"
        if self.prompt is not None:
            return "prompt"
        return "task" if isinstance(self.task, bytes) else function_name(self.task or BUILT_IN)

    @property
    def prices(self) -> Prices | None:
        """What tokens cost, if that was said."""
        if self.price_in is None and self.price_out is None:
            return None
        return Prices(self.price_in or 0.0, self.price_out or 0.0)

    @property
    def names_no_task(self) -> bool:
        """Whether nobody has said what to do: the built-in task is all that is left."""
        return self.task is None and not self.ready_made

    @property
    def ready_made(self) -> bool:
        """Whether the task is made of options (`--prompt` and its like)."""
        return self.prompt is not None or self.command is not None

    @property
    def spec(self) -> Spec:
        """What the workers load. Reads the files that options name, so that a run asks once.

        Raises `UsageError` for a ready-made task that makes no sense.
        """
        if self.command is not None:
            return Program(self.command, self.shell, self.stdin, elsewhere=self.engine != "local")
        if self.prompt is None:
            return self.task or BUILT_IN
        from batchrun.task.prompt.making import made  # only prompts pay for what they need

        return made(
            prompt=self.prompt,
            model=self.model,
            system=self.system,
            schema=self.schema,
            fields=self.fields,
            param=self.param,
            skip_empty=self.skip_empty,
            base_url=self.base_url,
            api_key_env=self.api_key_env,
            timeout=self.timeout,
            accept_truncated=self.accept_truncated,
            environment=os.environ,
        )


BUILT_IN = "repair"
OPTIONS = {option.name: option.metadata["read"] for option in dataclasses.fields(Settings)}
RIVALS = (("task", "prompt", "command"), ("schema", "fields"), ("output", "no_output"))
"""Options that exclude each other."""
OF_PROMPTS = ("model", "system", "schema", "fields", "param", "base_url", "api_key_env", "skip_empty")
OF_COMMANDS = ("shell", "stdin")


def function_name(spec: str) -> str:
    """`match` for `tasks.py:match`."""
    return spec.rpartition(":")[2]


def resolve(given: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Settings:
    """The settings of a run. `given`: what the caller said (None = nothing said); `folder`: where to look for a
    configuration file, upwards. Raises `UsageError` naming the source of a value that cannot be read.
    """
    path, config = find_config(folder, OPTIONS)
    values: dict[str, Any] = {}
    heard: dict[str, str] = {}
    for name, read in OPTIONS.items():
        for said, place, source in _sources(name, given, environment, config, path):
            value = _read(read, said, place)
            if name not in values:
                values[name], heard[name] = value, source
            if name != "args":
                break
            values[name] = {**value, **values[name]}  # each argument by itself: the strongest source that says it
    if not values.get("no_output"):  # said with "no", it is no rival of an output
        values.pop("no_output", None)
    for rivals in RIVALS:
        _choose(rivals, values, heard)
    _refuse_args(values, heard)
    _check_given(given, values)
    if values.get("prompt") is not None or values.get("command") is not None:
        values.setdefault("on_change", "stop")  # the text is the task: an edit is not to be paid for unasked
    settings = Settings(**values)
    check_task(settings.task)
    return settings


def _sources(
    name: str, given: Mapping[str, Any], environment: Mapping[str, str], config: Mapping[str, Any], path: Path | None
) -> Iterator[tuple[Any, str, str]]:
    """Who says something about an option, the strongest first: what, where, and the source's name."""
    if given.get(name) is not None:
        yield given[name], _flag(name), "the command line"
    if said := environment.get(variable(name)):
        yield said, variable(name), "the environment"
    if name in config:
        yield anchored(name, config[name], path), f"{name!r} in {path}", str(path)


def _refuse_args(values: dict[str, Any], heard: Mapping[str, str]) -> None:
    """Raise `UsageError` for arguments of a function where there is none; those of a weaker source are left out."""
    for made in ("prompt", "command"):
        if made in values and values.get("args"):
            strength = {"the command line": 0, "the environment": 1}
            if strength.get(heard["args"], 2) <= strength.get(heard[made], 2):
                raise UsageError(
                    f"--arg is for a function's arguments, and {_flag(made)} has none ({heard['args']})", "leave it out"
                )
            del values["args"]


def _choose(rivals: tuple[str, ...], values: dict[str, Any], heard: Mapping[str, str]) -> None:
    """Of options that exclude each other, keep what the strongest source says. Raises `UsageError` if it says two."""
    said = [name for name in rivals if name in values]
    for source in ("the command line", "the environment", *(heard[name] for name in said)):
        first = [name for name in said if heard[name] == source]
        if len(first) > 1:
            both = " and ".join(map(_flag, first))
            raise UsageError(f"{both} exclude each other ({source})", "leave all but one of them out")
        if first:
            for name in set(said) - set(first):
                del values[name]
            return


def _check_given(given: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Raise `UsageError` for options that the caller said and that cannot go together."""
    for name, said in (("fresh", values.get("fresh")), ("limit", given.get("limit") is not None)):
        if values.get("reparse") and said:
            raise UsageError(f"--reparse goes over kept replies, {_flag(name)} over rows", "leave one of them out")
    _check_rows_asked_for(values)
    if values.get("max_cost") is not None and not {"price_in", "price_out"} & values.keys():
        raise UsageError("--max-cost needs prices", "give --price-in and --price-out, for a million tokens each")
    if values.get("engine", "local") == "local":
        for name in ("cluster", "on_lost"):
            if given.get(name) is not None:
                raise UsageError(f"{_flag(name)} belongs to --engine dask", "give both, or leave it out")
    for task, names in (("prompt", OF_PROMPTS), ("command", OF_COMMANDS)):
        for name in names:
            if task not in values and given.get(name) is not None:
                raise UsageError(f"{_flag(name)} belongs to {_flag(task)}, and there is none", "leave it out")


def _check_rows_asked_for(values: Mapping[str, Any]) -> None:
    """Raise `UsageError` where some rows are named and more would run, or be lost."""
    if values.get("redo") and values.get("limit") is None and values.get("rows") is None:
        raise UsageError(
            "--redo runs rows again that are done: which?",
            "add --limit N (the table's first N) or --rows 3,17-20; for all rows: --fresh",
        )
    for name in ("limit", "rows"):
        if values.get("fresh") and values.get(name) is not None:
            raise UsageError(
                f"--fresh starts over with all rows, {_flag(name)} asks for some",
                f"to run these again and keep all other results: {_flag(name)} with --redo. "
                f"To start over: --fresh without {_flag(name)}",
            )


def _flag(name: str) -> str:
    return "--arg" if name == "args" else f"--{name.replace('_', '-')}"


def check_task(task: str | bytes | None) -> None:
    """Raise `UsageError` for a task's name that cannot be one."""
    if task is None or isinstance(task, bytes) or task == BUILT_IN:
        return
    _check_place(task)
    if ":" not in task or task.startswith(":") or task.endswith(":"):
        raise UsageError(
            f"{task!r} names no task",
            f"{meant(task, ['repair'])}Give --task file.py:function, package.module:function, or the built-in: repair",
        )


def _check_place(task: str) -> None:
    """Raise `UsageError` for what other tools would take, with what it is here."""
    place, _, name = task.rpartition(":")
    if place.endswith(".ipynb"):
        script = Path(place).with_suffix(".py")
        raise UsageError(
            f"{place} is a notebook, and a worker cannot load a function from it",
            f"run it in the notebook, batchrun.process(table, task={name or 'f'}), or write its cells to a script: "
            f"jupyter nbconvert --to script {shlex.quote(place)}, and --task {shlex.quote(f'{script}:{name}')}",
        )
    if place.endswith(":"):
        one = place.rstrip(":") + f":{name}"
        raise UsageError(f"{task!r} has more than one colon", f"write --task {shlex.quote(one)}")
    if name.endswith("()"):
        raise UsageError(f"{task!r} calls the function", f"write --task {shlex.quote(task[:-2])}")
    if place and ("/" in place or os.sep in place) and not place.endswith(".py"):
        raise UsageError(f"{place} is a path, and not one of a .py file", "--task takes file.py:function")


def _read(read: Callable[[Any], Any], value: Any, source: str) -> Any:
    try:
        return read(value)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{source}: {error}", "'batchrun process --help' lists the options") from None


def here(given: Mapping[str, Any]) -> Settings:
    """The settings for this process: its environment, its working directory."""
    try:
        folder = Path.cwd()
    except OSError as error:
        raise UsageError(
            f"the working directory cannot be read: {error.strerror}", "go to one that is there"
        ) from error
    return resolve(given, os.environ, folder)
