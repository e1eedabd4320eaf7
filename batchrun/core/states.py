"""The states of a row: their numbers in a checkpoint, and their names everywhere else. Neither ever changes."""

LEFT, DONE, FAILED, TIMED_OUT, CRASHED, SKIPPED = range(6)
STATE_NAMES = ("left", "done", "failed", "timed_out", "crashed", "skipped")
"""By number. `left` is not kept: it is what has no other state."""
SETTLED_NAMES = STATE_NAMES[1:]


def spoken(name: str) -> str:
    """A state as people say it: `timed out`."""
    return name.replace("_", " ")
