"""The environment variables that are read: how each is called, and those that only look like one."""

from collections.abc import Callable, Collection, Mapping

from batchrun.core.suggest import alike

PREFIX = "BATCHRUN_"
DEBUG = f"{PREFIX}DEBUG"


def variable(option: str) -> str:
    """`BATCHRUN_JOBS` for `jobs`."""
    return f"{PREFIX}{option.upper()}"


def say_misspelt(environment: Mapping[str, str], options: Collection[str], say: Callable[[str], None]) -> None:
    """Say a note on each variable that is called like a setting, has a value, and is none."""
    known = {DEBUG, *map(variable, options)}
    for name in sorted(environment):
        if name.startswith(PREFIX) and environment[name] and name not in known:
            # Without what all of them begin with: that alone would make any two alike.
            close = alike(name.removeprefix(PREFIX), options)
            hint = f"did you mean {variable(close[0])}?" if close else "'batchrun process --help' lists the options"
            say(f"note: {name} is not a batchrun setting: {hint}")
