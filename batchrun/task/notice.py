"""What our own code in a worker has to tell the user: it goes the way of everything that workers print."""

import sys
from collections.abc import Callable

_MARK = "batchrun notice: "

Printed = Callable[[int, list[str]], None]


def say_notice(text: str) -> None:
    """In a worker: say one line to the user."""
    print(f"{_MARK}{text}", file=sys.stderr, flush=True)


def hear_notices(printed: Printed, say: Callable[[str], None]) -> Printed:
    """In the coordinator: hand on to `printed` what workers print, and each notice in it to `say`, once."""
    said: set[str] = set()

    def take(lane: int, lines: list[str]) -> None:
        printed(lane, lines)
        for line in lines:
            text = untagged(line)
            if text.startswith(_MARK) and text not in said:
                said.add(text)
                say(text.removeprefix(_MARK))

    return take


def untagged(line: str) -> str:
    """The line as the task printed it."""
    return line.partition("] ")[2] if line.startswith(("[row ", "[rows ")) else line
