"""What `batchrun ctl` does: find the run that is meant, tell it, and say what it answers."""

import time
from pathlib import Path

from batchrun.checkpoint.lock import is_held
from batchrun.checkpoint.places import Places, check_folder, folder_of, names_in, places_of, safe
from batchrun.core.text import counted
from batchrun.errors import UsageError
from batchrun.options import parsing
from batchrun.run.remote import STRANGE, Answer, NotListening, Request, ask

PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.05
_ANSWER = {"task": str, "pid": int, "jobs": int, "paused": bool, "draining": bool, "in_flight": int, "trouble": str}


def request_of(jobs: str | None, *, pause: bool, resume: bool, drain: bool) -> Request:
    """What the options ask for. Raises `UsageError` if they contradict each other."""
    if pause and resume:
        raise UsageError("--pause and --resume contradict each other", "leave one of them out")
    if drain and (pause or resume or jobs):
        raise UsageError("--drain ends the run: no other option goes with it", "leave the others out")
    try:
        most = None if jobs is None else parsing.jobs(jobs)
    except ValueError as error:
        raise UsageError(f"--jobs: {error}", "give 20, 200% or auto") from None
    return Request(jobs=most, paused=pause if pause or resume else None, drain=drain)


def running_place(input_path: Path, directory: Path | None, name: str | None) -> Places:
    """The checkpoint that a run holds now: the one called `name`, or the only one."""
    folder = folder_of(input_path, directory)
    check_folder(folder)
    names = names_in(folder)
    meant = names if name is None else [safe(name)]
    found = [places_of(input_path, directory, task) for task in names if task in meant]
    running = [place for place in found if is_held(place.lock)]
    if not running:
        which = f" of task {name!r}" if name else ""
        raise UsageError(
            f"no run{which} is in progress for {input_path}",
            f"'batchrun status {input_path}' says how the last one ended",
        )
    if len(running) > 1:
        which = ", ".join(place.name for place in running)
        raise UsageError(f"several runs are in progress for {input_path}: {which}", "say which with --task or --name")
    return running[0]


def steer(places: Places, request: Request, seconds: float = PATIENCE_SECONDS) -> Answer:
    """Tell the run, and wait for its answer. Raises `UsageError` if it cannot be told, or ends meanwhile."""
    until = time.monotonic() + seconds
    while True:
        try:
            answer = ask(places.socket, request, max(_POLL_SECONDS, until - time.monotonic()))
        except NotListening:
            _give_up(places, over=time.monotonic() > until)
            time.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise UsageError(
                f"the run did not answer within {seconds:g} s; it is not known whether it will do this",
                "ask again without an option to see",
            ) from None
        else:
            if "error" in answer or not _is_whole(answer):
                raise UsageError(str(answer.get("error", STRANGE)), "see 'batchrun --version', there and here")
            if answer["trouble"]:
                raise UsageError(answer["trouble"], "the run continues as before")
            return answer


def _is_whole(answer: Answer) -> bool:
    return all(isinstance(answer.get(name), kind) for name, kind in _ANSWER.items())


def _give_up(places: Places, *, over: bool) -> None:
    if not is_held(places.lock):
        raise UsageError("the run has ended in the meantime", f"'batchrun status {places.input.name}' says how")
    if over:
        raise UsageError(
            "the run is not listening: it is reading its table, writing its results, or could not create a socket",
            "try again later; a run that could not create a socket said so when it began",
        )


def answer_in_words(answer: Answer) -> str:
    """The answer for people: what the run does from now on."""
    if answer["draining"]:
        return f"{answer['task']} (pid {answer['pid']}) ends after the rows in flight: {answer['in_flight']:,} now"
    doing = f"is limited to {counted(answer['jobs'], 'row')} at once"
    if answer["paused"]:
        doing = "is paused: it starts no rows"
    return f"{answer['task']} (pid {answer['pid']}) {doing}; {answer['in_flight']:,} in flight now"
