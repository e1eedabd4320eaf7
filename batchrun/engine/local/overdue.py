"""What is done about rows that run for long or grow large: free those that wait behind, end those over a limit."""

from collections.abc import Sequence

from batchrun.checkpoint.inflight import Holder, Running
from batchrun.core.processes import memory_of
from batchrun.core.text import memory
from batchrun.engine.events import Event

from .lane import Lane
from .worker_process import Condemned, Hung, Killed, Overgrown

# From here on a row is slow to those behind it: they are taken back and start elsewhere. No harm is done to the row.
STUCK_SECONDS = 0.1
MUTE_SECONDS = 5.0
CANCEL_SECONDS = 1.0
LOOK_SECONDS = 0.05


def look_after(lane: Lane, now: float, limit: float | None) -> list[Event]:
    """Look at what runs in a lane at `now` (monotonic seconds); `limit`: seconds for one attempt."""
    if lane.slots > 1:
        # Many cells: not on every turn of the loop.
        if now - lane.rows.looked < LOOK_SECONDS:
            return []
        lane.rows.looked = now
    running, rows = lane.running(), lane.rows
    events = lane.resolve(running) if rows.doubts else []
    if running:
        events += _free_those_behind(lane, running, now, limit)
        if lane.is_async:
            _account_for_blocking(lane, running, now)
        if limit is not None:
            events += _end(lane, running, now, limit)
    elif limit is not None and rows.sent and now - rows.heard > max(limit, MUTE_SECONDS):
        lane.kill(Killed())  # something that a row has left behind keeps its worker from going on
    if rows.retiring and not rows.sent:
        lane.kill(Killed())
    return events


def end_overgrown(lane: Lane, limit: int) -> None:
    """End a worker that is at twice its `limit` in bytes while rows run. Which of several did it is not known."""
    running = [row for row in lane.running() if row.position in lane.rows.sent]
    if not running or lane.worker.killed or (used := memory_of(lane.worker.pid)) <= 2 * limit:
        return
    why = f"was ended: it used {memory(used)}, more than twice --worker-memory {memory(limit)}"
    lane.kill(Overgrown(running[0], why) if len(running) == 1 else Hung())


def _free_those_behind(lane: Lane, running: Sequence[Running], now: float, limit: float | None) -> list[Event]:
    bound = min(STUCK_SECONDS, limit or STUCK_SECONDS) + lane.absence.seconds
    still = now - min(running).started if lane.slots == 1 else now - lane.rows.heard
    if still < bound:
        return []
    lane.rows.stuck = True
    return lane.take_back() if len(lane.rows.sent) > lane.slots else lane.pull()


def _end(lane: Lane, running: Sequence[Running], now: float, limit: float) -> list[Event]:
    late = [row for row in running if lane.rows.seconds_of(row, now) > limit]
    if not late:
        return []
    if lane.is_async:
        _cancel(lane, [row for row in late if row.position in lane.rows.sent], now, limit)
        return []
    # A coroutine can be asked to end, a thread can neither be asked nor ended, and a process can be ended with all
    # that it has started. So the limit is kept in three ways, and only the last is sure.
    if lane.batch:
        lane.kill(Condemned(late[0]) if len(late) == 1 else Hung({row.position for row in late}))
        return []
    if lane.slots > 1:
        return _give_up(lane, late, now)
    # `stuck` has been seen to above, so no other row can start: if the row ends now, its neighbour is not hit.
    if late == lane.running():
        lane.kill(Condemned(late[0]))
    return []


def _cancel(lane: Lane, late: Sequence[Running], now: float, limit: float) -> None:
    """Cancel rows in their event loop; kill the lane of one that does not heed it.

    Behind a row that blocks the loop the others cannot even be asked: they are victims, it is the one to go.
    """
    blocker = lane.rows.blocking[0] if lane.rows.blocking else None
    if blocker and blocker.position not in lane.rows.sent:
        if now - blocker.since > limit:
            lane.kill(Hung() if blocker.threads else Killed())  # something that a row has left behind
        return
    for row in late:
        if blocker and blocker.position != row.position:
            continue
        if row.position not in lane.rows.asked:
            lane.cancel(row, now)
        elif now - lane.rows.asked[row.position] > CANCEL_SECONDS:
            lane.kill(Condemned(row) if _is_known(lane, row, blocker) else Hung())
            return


def _is_known(lane: Lane, row: Running, blocker: Holder | None) -> bool:
    """Whether it is this row that does not heed, and not a callback or a thread of any that holds up the loop."""
    if len([other for other in lane.running() if other.position in lane.rows.sent]) == 1:
        return True
    if blocker:
        return not blocker.threads
    # Whoever was cancelled gets the interpreter once more, if the loop still turns.
    return lane.held_at() >= lane.rows.asked[row.position]


def _give_up(lane: Lane, late: Sequence[Running], now: float) -> list[Event]:
    """Threads cannot be ended: their rows are, and the lane is replaced when its other rows have finished."""
    events = lane.pull()
    events += [event for row in late if (event := lane.rows.give_up(row, now))]
    # Those behind would wait for ever if all threads were lost.
    return [*events, *lane.take_back()] if lane.rows.retiring else events


def _account_for_blocking(lane: Lane, running: Sequence[Running], now: float) -> None:
    """Time in which one row blocked the event loop is not counted against the others."""
    holder, rows = lane.holder(), lane.rows
    if rows.blocking and holder != rows.blocking[0]:
        blocker, until = rows.blocking
        for row in running:
            if row.position != blocker.position:
                rows.lose(row, until - max(blocker.since, row.started))
        rows.blocking = None
    if holder and now - holder.since > STUCK_SECONDS:
        rows.blocking = holder, now
