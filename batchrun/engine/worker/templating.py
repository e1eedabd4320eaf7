"""A worker that imports what all of them need, and is then forked for each of the others: the template.

It has libraries in it that may not survive a fork, so it is forked only if nothing can be seen that would not
(`forkable`). Otherwise it goes on as the worker that it was started as, with nothing done twice, and each of the others
imports for itself. See docs/decisions/0025-libraries-are-imported-once.md.
"""

import ast
import faulthandler
import gc
import os
import signal
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple, NoReturn

from batchrun.engine.wire import Hello
from batchrun.engine.worker_setup import TEMPLATE_IS_UP, WorkerSetup
from batchrun.task.head import Step, first_steps
from batchrun.task.load import Function, note_modules
from batchrun.task.modules import make_importable
from batchrun.task.notice import say_notice

from .forkable import Forkable
from .random_numbers import RandomNumbers

_WORTH_SECONDS = 0.06
_WORTH_SAYING_SECONDS = 0.2


class LoadedTask(NamedTuple):
    """The task as a worker has loaded it (no function if it could not), and what to say of that."""

    function: Function | None
    hello: Hello


Born = Callable[[], LoadedTask | None]
"""What a child of the template does first of all; returns the task if it is loaded already."""
Answer = Callable[[socket.socket, set[int], Born], None]


def become_template(
    setup: WorkerSetup, channel: int, pipes: Sequence[int], load_task: Callable[[], LoadedTask], answer: Answer
) -> LoadedTask | None:
    """Import libraries, and be the template from then on if that can be. Returns only in what is to go on as a worker:
    with what `load_task` has loaded, if it was called.

    `channel`: through which further workers are asked for; `pipes`: this worker's own. `answer`: the nursery's loop.
    No code of the user's runs before the coordinator has said so.
    """
    began = time.process_time()
    try:
        before = Forkable()
    except OSError as error:
        _wait_until_told(channel)
        _say_no(channel, _unseen(error))
        return None
    task, obstacle = None, None
    with RandomNumbers() as numbers:
        if isinstance(setup.spec, str) and ":" in setup.spec:
            make_importable(setup.spec.rpartition(":")[0])
        steps = first_steps(setup.spec, setup.sources)
        with _no_collection():
            complete = not steps or _take(steps)
        if setup.preload == "module" and complete:
            _wait_until_told(channel)
            numbers.watch_libraries()
            task = load_task()
            complete = task.function is not None
    took = time.process_time() - began
    if complete and (took > _WORTH_SECONDS or task):
        try:
            obstacle = before.obstacle(ours_alone=task is None) or numbers.obstacle()
        except OSError as error:
            obstacle = _unseen(error)
        if obstacle is None:
            if task:
                gc.collect()
            _tend(channel, pipes, answer, partial(_born, numbers, task))
        if took > _WORTH_SAYING_SECONDS:
            say_notice(f"note: libraries are imported in each worker, not once for all: {obstacle}")
    if task is None:
        _wait_until_told(channel)
    _say_no(channel, obstacle or "")
    return task


def _unseen(error: OSError) -> str:
    return f"this system does not show what a process has open ({error})"


def _born(numbers: RandomNumbers, task: LoadedTask | None) -> LoadedTask | None:
    """In a child of the template: have random numbers of its own. Returns the task if it is loaded already."""
    numbers.reseed()
    return task


def _take(steps: Sequence[Step]) -> bool:
    """Execute the head of the task's module, as if it stood alone. False if something in it failed: what becomes of
    that is seen when the module is imported.
    """
    own, quiet = os.getpid(), ("ignore", None, Warning, None, 0)
    names: dict[str, Any] = {"__name__": "__head__", "os": os}
    silenced = False
    try:
        for step in steps:
            if step.quiet:
                if not silenced:
                    warnings.simplefilter("ignore")
                silenced = True
            else:
                _execute(step, names)
    except BaseException:  # noqa: BLE001 - a library may raise SystemExit, too
        return False
    finally:
        if os.getpid() != own:
            os._exit(0)  # a library forked, and this is the child coming back
        if silenced and quiet in warnings.filters:
            warnings.filters.remove(quiet)  # type: ignore[attr-defined]
    return True


@contextmanager
def _no_collection() -> Iterator[None]:
    """Nothing looks for garbage meanwhile: imports make next to none, and to look takes a tenth of their time."""
    before = gc.get_threshold()
    gc.set_threshold(0)
    off = gc.get_threshold()
    try:
        yield
    finally:
        if gc.get_threshold() == off:  # else a library has wishes of its own
            gc.set_threshold(*before)


def _execute(step: Step, names: dict[str, Any]) -> None:
    """Execute one statement, at its place: where a library hangs, or says its warnings, is told by file and line."""
    exec(compile(ast.Module([step.statement], []), step.file, "exec", dont_inherit=True), names)


def _wait_until_told(channel: int) -> None:
    if not os.read(channel, 1):
        os._exit(0)


def _say_no(channel: int, obstacle: str) -> None:
    # Said, not only closed: a child that a library has forked would keep it open.
    with suppress(OSError):
        os.write(channel, f" {obstacle}".encode("utf-8", "replace")[:1000])
    os.close(channel)


def _tend(channel: int, pipes: Sequence[int], answer: Answer, born: Born) -> NoReturn:
    faulthandler.unregister(signal.SIGUSR1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2):
        os.dup2(nothing, fd)
    for fd in (nothing, *pipes):
        os.close(fd)
    note_modules()
    gc.freeze()
    try:
        with socket.socket(fileno=channel) as asked, suppress(ConnectionError):
            asked.send(TEMPLATE_IS_UP)
            answer(asked, set(), born)
    finally:
        while True:  # the nursery ends this process, and all that it has started: two at it would miss some
            signal.pause()
