"""Everything that a display shows at one moment, read from the run. Reading changes nothing in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batchrun.core.kinds import RATE_LIMITED
from batchrun.engine.events import Loading
from batchrun.engine.seam import EngineState
from batchrun.errors import Interrupted
from batchrun.run.run import Run
from batchrun.run.tally import WINDOW_SECONDS, Tally

_FEW_ROWS = 10
_SEEN_BYTES = 1000
_TOO_EARLY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is handed out for so many `seconds` more (None: until the user says so).

    `reason`: why; may be empty.
    """

    seconds: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Drain:
    """The run ends: nothing is handed out any more. `signum`: the signal that asked for it, or 0.

    `reason`: why it ends without one. `seconds`: since when. `killing`: rows in flight are being ended.
    `most`: seconds until the last of them is ended by its timeout; None if nobody can know.
    """

    signum: int
    reason: str
    seconds: float
    killing: bool = False
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Slowest:
    """The row that has been executing for longest, for so many seconds."""

    row: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LastError:
    """The latest error, and how often this run has met it."""

    kind: str
    message: str
    count: int


@dataclass(frozen=True, slots=True)
class LastResult:
    """A row that is done, one of the latest, and its result: the beginning of the JSON."""

    row: int
    text: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """Fewer rows than `ceiling` may be in flight now: `limit`. `reason`: why rows wait, if they do."""

    limit: int
    ceiling: int
    reason: str


@dataclass(frozen=True, slots=True)
class SpentSoFar:
    """Tokens so far and a minute; money so far and, at this rate, by the end (None: no prices)."""

    tokens: int
    per_minute: float
    cost: float | None
    projected: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment.

    `rows` and `counts` (by state name) are of the whole table; `to_run`, `fresh` (settled), `retried`,
    `refusals`, `rate` (rows settled a second), `p50` and `p95` (seconds an attempt) are of this run. `eta`:
    seconds until its last row, None while nobody can know. `full`: so many rows rest that new ones wait for them.
    `jobs`: rows at once, if `ctl` has changed that. `workers`: name, rows in flight and failed attempts of a cluster's.
    `loading`: why no row can start yet. `largest`, `scarce`: as of `EngineState`.
    """

    task: str
    input: str
    rows: int
    to_run: int
    fresh: int
    counts: Mapping[str, int]
    retried: int = 0
    refusals: int = 0
    in_flight: int = 0
    resting: int = 0
    full: bool = False
    rate: float = 0.0
    eta: float | None = None
    p50: float | None = None
    p95: float | None = None
    lanes: int = 0
    restarts: int = 0
    jobs: int | None = None
    workers: Sequence[tuple[str, int, int]] = ()
    slowest: Slowest | None = None
    last_error: LastError | None = None
    last_result: LastResult | None = None
    pause: Pause | None = None
    drain: Drain | None = None
    loading: Loading | None = None
    largest: int = 0
    scarce: str = ""
    elapsed: float = 0.0
    allowance: "Allowed | None" = None
    spent: "SpentSoFar | None" = None

    @property
    def draining(self) -> bool:
        """Whether rows in flight are all that is waited for."""
        return self.drain is not None


def snapshot_of(run: Run, now: float, *, task: str, input_name: str, draining_since: float | None = None) -> Snapshot:
    """Read the run at `now` (monotonic seconds, as is `draining_since`)."""
    tally, to_run = run.tally, run.rules.to_run
    elapsed = max(0.0, now - tally.started)
    rate = pace(tally.rate(now), tally.rows, elapsed)
    engine = run.engine.state()
    drain = _drain(run, engine, now, draining_since)
    return Snapshot(
        task=task,
        input=input_name,
        rows=run.ledger.rows,
        to_run=to_run,
        fresh=tally.rows,
        counts=dict(run.ledger.counts),
        retried=tally.retried,
        refusals=tally.refusals,
        in_flight=run.engine.busy(),
        resting=run.backlog.resting,
        full=run.backlog.is_full,
        rate=rate,
        eta=None
        if drain or run.helm.paused or run.backlog.is_full or elapsed < _TOO_EARLY_SECONDS
        else eta(to_run - tally.rows, rate),
        p50=tally.latency(0.5),
        p95=tally.latency(0.95),
        lanes=_lanes(run, engine),
        restarts=engine.restarts,
        slowest=_slowest(engine, now),
        last_error=_last_error(tally),
        last_result=_last_result(tally),
        jobs=run.helm.asked,
        workers=engine.machines,
        pause=None if drain else _pause(run, tally, now),
        drain=drain,
        loading=engine.loading,
        largest=engine.largest,
        scarce=engine.scarce,
        elapsed=elapsed,
        allowance=_allowed(run, now),
        spent=_spent(run, elapsed),
    )


def _lanes(run: Run, engine: EngineState) -> int:
    """Lanes in use. Those that `ctl` has put out of use do not count."""
    calls = max(run.helm.jobs, run.engine.busy()) // run.helm.a_call
    return min(engine.lanes, calls) if run.helm.lowered else engine.lanes


def pace(recent: float, rows: int, elapsed: float) -> float:
    """Rows a second: the recent rate, or that of the whole run where half a minute could see only a few.

    Where many rows were to be expected, a few are news and are shown.
    """
    if elapsed <= 0:
        return 0.0
    overall = rows / elapsed
    return recent if overall * min(elapsed, WINDOW_SECONDS) >= _FEW_ROWS else overall


def eta(left: int, rate: float) -> float | None:
    """Seconds that `left` rows need at this rate of fresh ones; None if there is none."""
    if left <= 0:
        return 0.0
    return left / rate if rate > 0 else None


def _allowed(run: Run, now: float) -> Allowed | None:
    allowance = run.allowance
    if allowance.boundless:
        return None
    throttle = allowance.throttle
    return Allowed(throttle.allowed(now), throttle.ceiling, allowance.why(run.engine.busy(), now))


def _spent(run: Run, elapsed: float) -> SpentSoFar | None:
    tally = run.tally
    if tally.tokens is None:
        return None
    tokens = tally.tokens.prompt + tally.tokens.completion
    cost = run.allowance.cost(tally.tokens)
    projected = cost / tally.rows * run.rules.to_run if cost is not None and tally.rows else None
    return SpentSoFar(tokens, 60 * tokens / elapsed if elapsed else 0.0, cost, projected)


def _slowest(engine: EngineState, now: float) -> Slowest | None:
    first = min((running for _, running in engine.running), default=None)
    return Slowest(first.position, max(0.0, now - first.started)) if first else None


def _last_error(tally: Tally) -> LastError | None:
    if tally.latest is None:
        return None
    kind, message = tally.latest
    # A refusal is not a failed attempt, so it is not among the counted errors.
    return LastError(kind, message, tally.errors.count(kind, message) or max(1, tally.refusals))


def _last_result(tally: Tally) -> LastResult | None:
    if tally.last_done is None:
        return None
    row, body = tally.last_done
    return LastResult(row, body[:_SEEN_BYTES].decode("utf-8", "ignore"))


def _pause(run: Run, tally: Tally, now: float) -> Pause | None:
    if run.helm.paused:
        return Pause(None, "by ctl")
    if run.backlog.paused_until <= now:
        return None
    kind, message = tally.latest or ("", "")
    return Pause(run.backlog.paused_until - now, message if kind == RATE_LIMITED else "")


def _drain(run: Run, engine: EngineState, now: float, since: float | None) -> Drain | None:
    if run.stopped is None:
        return None
    signalled = isinstance(run.stopped, Interrupted)
    reason = "" if signalled else str(run.stopped)
    seconds = max(0.0, now - since) if since is not None else 0.0
    signum = run.signals.first if signalled else 0
    return Drain(signum, reason, seconds, run.signals.count > 1, _most(run, engine, now))


def _most(run: Run, engine: EngineState, now: float) -> float | None:
    """Seconds until every row that executes has ended, by itself or by its timeout, or is ended by the run."""
    if run.patient_until is not None:
        return max(0.0, run.patient_until - now)
    limit = run.rules.limit(run.tally.median(now))
    last = max((running.started for _, running in engine.running), default=None)
    return None if limit is None or last is None else max(0.0, last + limit - now)
