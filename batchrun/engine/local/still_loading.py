"""Workers that have not loaded the task yet: which has been at it for longest, where it is, and what is too long."""

import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from batchrun.core.text import whole_seconds
from batchrun.engine.events import Loading, Stillborn
from batchrun.task.spec import Spec

from .lane import Lane
from .worker_process import Overdue

Heard = Callable[[int, list[str]], None]

PATIENCE = 10
LEAST_SECONDS = 3.0
ANSWER_SECONDS = 2.0
QUIET_SECONDS = 0.1
_FRAME = re.compile(r'\s*File "(.*)", line (\d+) in (.*)')
_OUTERMOST, _INNERMOST = 2, 10
_NOT_THE_USERS = (str(Path(__file__).parents[2]) + os.sep, "<frozen ", "<string>")  # "<string>": how a worker starts


def loading(lanes: Sequence[Lane], spec: Spec, now: float, heard: Heard | None) -> Loading | None:
    """What is loaded while none of the lanes' workers is up, and since when.

    `heard`: is given all that a worker has printed until it has said where it is; None if it is not to be asked.
    """
    lane = _slowest(lanes)
    if lane is None or _any_up(lanes):
        return None
    return Loading(_what_loads(spec), now - lane.worker.started, _stack_of(lane, heard) if heard else ())


def end_loading(lanes: Sequence[Lane], spec: Spec, now: float, limit: float, heard: Heard) -> None:
    """End the worker that has been loading for longest, if that is too long where an attempt may take `limit`."""
    lane = _slowest(lanes)
    if lane is None or lane.worker.killed:
        return
    most = most_seconds(limit, longest=max(other.loaded_in for other in lanes))
    if now - lane.worker.started <= most:
        return
    cause = f"loading {_what_loads(spec)} took longer than {whole_seconds(most)}"
    stack = "\n".join(_stack_of(lane, heard))
    lane.kill(Overdue(Stillborn(lane.index, cause, stack, hung=not _any_up(lanes))))


def most_seconds(limit: float, longest: float) -> float:
    """Seconds that loading may take where an attempt may take `limit`.

    `longest`: what a worker of this run has needed. Models of gigabytes are loaded in minutes, and later workers
    load them side by side.
    """
    return PATIENCE * max(LEAST_SECONDS, limit, longest)


def _what_loads(spec: Spec) -> str:
    """What workers load, for people: a file or a module where there is one."""
    return spec.rpartition(":")[0] if isinstance(spec, str) and ":" in spec else "the task"


def _any_up(lanes: Iterable[Lane]) -> bool:
    return any(lane.ready for lane in lanes)


def _slowest(lanes: Iterable[Lane]) -> Lane | None:
    """The lane whose worker has been loading for longest."""
    return min((lane for lane in lanes if not lane.ready), key=lambda lane: lane.worker.started, default=None)


def _stack_of(lane: Lane, heard: Heard) -> tuple[str, ...]:
    """Where a worker that loads the task is now (see `users_stack`). Waits for its answer, at most two seconds."""
    # By a signal, which the worker's main thread answers in C wherever it is. `faulthandler.dump_traceback_later` in
    # the worker would save the waiting, but its thread reads the frames that the main thread is changing: tried on a
    # module that was busy importing others, it killed the worker.
    lines: list[str] = []
    watch = select.poll()
    watch.register(lane.worker.pipes.output, select.POLLIN)
    until, wait = time.monotonic() + ANSWER_SECONDS, ANSWER_SECONDS
    # The errors: it has died, or closed its output.
    with suppress(ProcessLookupError, EOFError):
        signal.pidfd_send_signal(lane.worker.death, signal.SIGUSR1)  # see `worker.main`
        while watch.poll(wait * 1000):
            came = lane.worker.printed()
            heard(lane.index, came)
            lines += came
            left = until - time.monotonic()
            if left <= 0:
                break
            wait = min(left, QUIET_SECONDS) if users_stack(lines) else left
    return users_stack(lines)


def users_stack(lines: Sequence[str]) -> tuple[str, ...]:
    """The calls in what faulthandler has last written, from the user's own code on, the innermost last."""
    frames: list[tuple[str, ...]] = []
    for line in lines:
        if line.endswith("(most recent call first):"):
            frames.clear()
        elif match := _FRAME.fullmatch(line):
            frames.append(match.groups())
    theirs = [frame for frame in frames if not frame[0].startswith(_NOT_THE_USERS)]
    calls = [f'  File "{file}", line {number}, in {name}' for file, number, name in reversed(theirs)]
    left_out = len(calls) - _OUTERMOST - _INNERMOST
    if left_out > 0:
        calls[_OUTERMOST:-_INNERMOST] = [f"  ... {left_out:,} more ..."]
    return tuple(calls)
