"""What cannot be meant, or cannot be done with this table, is said before there is a folder or a lock."""

from collections.abc import Callable
from pathlib import Path

from batchrun.checkpoint.bind import read_options
from batchrun.core.free_memory import memory_here
from batchrun.core.text import memory
from batchrun.errors import Interrupted, UsageError
from batchrun.options.settings import Settings
from batchrun.table.detect import open_table
from batchrun.table.options import needed, pick, task_columns
from batchrun.task.spec import Spec


def check_early(spec: Spec, input_path: Path, settings: Settings) -> None:
    """What cannot be read, or done on this table, is said before there is a folder, and before a long reading."""
    _check_memory(settings)
    options = read_options(settings)
    table = open_table(input_path, options)
    if table.columns and not isinstance(spec, (str, bytes)):  # those of JSON Lines are known once it is read
        spec.check(task_columns(table.columns, options))


def _check_memory(settings: Settings) -> None:
    asked = settings.min_free_memory
    if asked and settings.engine == "local" and (there := memory_here()) and asked >= there.total:
        raise UsageError(
            f"--min-free-memory {memory(asked)} can never be free: there are {memory(there.total)}",
            "name less: what other programs need, and what one row takes",
        )


def check_named(input_path: Path, settings: Settings, stop: Callable[[], int], called: str = "") -> None:
    """Where no task is named, the built-in one needs a text cell to repair: else somebody has forgotten to name theirs.

    Looks no further than the first such cell; a table without rows asks for nothing. `stop()` is the signal that asks
    to end, or 0; `called`: the table in words, if its path says nothing to the user. Raises `UsageError`.
    """
    if not settings.names_no_task:
        return
    from batchrun.task.repair import holds_json

    options = read_options(settings)
    table = open_table(input_path, options)
    cells_of = pick(table.columns, options) if table.columns else list  # those of JSON Lines are not known yet
    rows = False
    for chunk in table.chunks(needed(options)):
        rows = rows or bool(chunk)
        if signum := stop():
            raise Interrupted(signum, "interrupted while the table was read; nothing was changed")
        if any(map(holds_json, cells_of(chunk))):
            return
    if not rows:
        return
    raise UsageError(
        f"no task is named, and no text cell of {called or input_path} holds JSON for the built-in task 'repair'",
        "name one: --task file.py:function, --command 'tool {column}', or --prompt 'text with {column}' --model NAME; "
        "'batchrun init' writes a tasks.py to start from",
    )
