"""Who killed a worker. All others that it had are victims: they run again and are not charged."""

from collections.abc import Sequence
from dataclasses import dataclass

from batchrun.checkpoint.inflight import Holder, Running
from batchrun.engine.events import Crashed, Event, TimedOut

from .lane import Lane
from .worker_process import Condemned, Garbled, Hung, Overgrown


@dataclass(frozen=True, slots=True)
class Death:
    """What is known of a worker's death: when (monotonic seconds), its exit in words, its last lines.

    `running`: the rows that ran. `holder`: the one that had the interpreter. `cause` is None if the worker
    died with the process that had started it.
    """

    now: float
    running: Sequence[Running]
    holder: Holder | None
    cause: str | None
    tail: str


def blame(lane: Lane, death: Death, *, misled: bool) -> tuple[list[Event], set[int]]:
    """What became of the rows of a lane whose worker has died; and which of them are under suspicion.

    The row that ran alone is to blame, or the one that had the interpreter. Else all that ran are suspects:
    they run again one at a time, and the one that kills its worker alone is the culprit. Where another row's
    thread may have done it, the one that had the interpreter is the only suspect; `misled`: that has been
    found to be wrong before.
    """
    events: list[Event] = []
    suspects: set[int] = set()
    rows, ending = lane.rows, lane.worker.ending
    started = {row.position: row.started for row in death.running}

    def seconds(row: int) -> float:
        return death.now - started.get(row, death.now) - rows.lost.get(row, 0.0)

    match ending:
        case Condemned(row):
            # That row is charged, the others were in its company.
            if deal := rows.sent.pop(row.position, None):
                events.append(TimedOut(lane.index, deal.of(row.position), seconds(row.position)))
        case Overgrown(row, why):
            if deal := rows.sent.pop(row.position, None):
                events.append(Crashed(lane.index, deal.of(row.position), seconds(row.position), why, death.tail))
        case Hung(known):
            # None could be named: nobody is charged before one does it again.
            suspects = {row for row in known or started if row in rows.sent}
        case None | Garbled() if death.cause is not None or ending is not None:
            # It has died by itself. In a lane that retires threads still run whose rows have been given up: it may have
            # been one of them, so nobody is named there either.
            alone = ending is not None and len(rows.sent) == 1
            guilty = None if rows.retiring else culprit(list(rows.sent), death, alone=alone)
            if guilty is None:
                suspects = started.keys() & rows.sent.keys()
                if death.holder and death.holder.position in suspects and not misled:
                    suspects = {death.holder.position}
            else:
                ticket = rows.sent.pop(guilty).of(guilty)
                cause = str(death.cause) if ending is None else "was ended: the row wrote to its worker's own pipe"
                events.append(Crashed(lane.index, ticket, seconds(guilty), cause, death.tail))
    events += rows.all_back()
    return events, suspects


def culprit(sent: list[int], death: Death, *, alone: bool) -> int | None:
    """The row that did it, of those `sent` whose reply never came; None if it cannot be told.

    `alone`: no other row has had the worker, so it is the one.
    """
    if alone:
        return sent[0]
    if death.holder and death.holder.position not in sent:
        return None  # what a row that has ended left behind had the interpreter
    ran = [row.position for row in death.running if row.position in sent]
    if len(ran) == 1:
        return ran[0]
    if death.holder and death.holder.position in ran and not death.holder.threads:
        return death.holder.position
    return None
