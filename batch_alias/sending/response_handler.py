"""What a verdict sets in motion: the row's account, the pace, an outage, a stop.

Two kinds of verdict are withheld until the service has proved itself, because they may say more about the service than
about the row:

* Until one of the first rows was answered otherwise, "invalid parameter" may mean an unknown App Key or a wrong column.
* A row that has used up its attempts on an unwell service is settled only when another request succeeds. When an outage
  is recognised instead, the row goes back and the attempts are forgiven.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

from batch_alias.errors import StoppedByService
from batch_alias.model import Action, Outcome, Response, State, Classification
from batch_alias.records import Event, EventKind
from batch_alias.sending.work_queue import WorkQueue, Work
from batch_alias.sending.breaker import CircuitBreaker
from batch_alias.sending.logs import log_attempt, log_retry
from batch_alias.sending.metrics import Metrics
from batch_alias.sending.controller import RateController
from batch_alias.sending.retry import Again, Halt, Settle, decide
from batch_alias.sending.timing import Timing

OPENING_ROWS = 3
"""Rows that go out alone, one after the other, while their answers may be a setting's fault."""
RECENT_ROWS = 1000
"""Settled rows over which the share of failures is taken."""
WORTH_TELLING = 0.25
"""Share by which the pace must have changed to be told again."""
CLOCK_TOLERANCE = 60.0
"""Seconds of difference between the server's clock and ours that are worth telling."""


class Book(Protocol):
    """Where outcomes are kept."""

    def record(self, outcome: Outcome) -> None:
        """Keep how a row ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may cost.

    Attributes:
        attempts: Most attempts that count against a row.
        max_failed: Share of the last 1,000 settled rows that may have failed.
        patience: Seconds without any progress after which the run stops; 0 waits for ever.
    """

    attempts: int
    max_failed: float
    patience: float


class ResponseHandler:
    """Takes each reply and decides.

    Args:
        book: Where outcomes are kept.
        backlog: Where rows go back to.
        meter: Counts.
        pace: Lowered by refusals.
        breaker: Opened by outages.
        limits: What the run may cost.
        timing: How long to wait.
        notify: Told each thing worth knowing.
        proven: Whether this job has had a row accepted before.
        wall: The wall clock, seconds since the epoch.
        draw: Uniform random numbers from [0, 1).
    """

    def __init__(
        self,
        *,
        book: Book,
        backlog: WorkQueue,
        meter: Metrics,
        pace: RateController,
        breaker: CircuitBreaker,
        limits: Limits,
        timing: Timing,
        notify: Callable[[Event], None],
        proven: bool,
        wall: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._book = book
        self._backlog = backlog
        self._meter = meter
        self._pace = pace
        self._breaker = breaker
        self._limits = limits
        self._timing = timing
        self._notify = notify
        self._wall = wall
        self._draw = draw
        self._trusted = proven
        self._withheld: list[tuple[Work, Outcome]] = []
        self._recent: deque[bool] = deque(maxlen=RECENT_ROWS)
        self._progress_at: float | None = None
        self._told_rate = pace.rate
        self.opening = True
        self.halt: StoppedByService | None = None

    def begin(self, *, now: float) -> None:
        """Start the clock of the patience."""
        self._progress_at = now

    def take(self, work: Work, reply: Response, verdict: Classification, *, started: float, now: float, probe: bool) -> None:
        """Act on a reply.

        Args:
            work: The row and what it had been through before.
            reply: What came back.
            verdict: What it means.
            started: When the attempt started, monotonic.
            now: A monotonic reading in seconds.
            probe: Whether the attempt was the probe of an outage.
        """
        self._meter.replied(reply, verdict, wall=self._wall())
        log_attempt(work, reply, verdict)
        if verdict.unwell:
            self._unwell(work, reply, verdict, now=now, probe=probe)
            return
        if self._breaker.success():
            self._pace.restart(now=now)
            self._say(EventKind.OUTAGE_ENDED, "The service answers again; the pace rises to full step by step.")
        if verdict.action is Action.SLOW_DOWN:
            self._refused(reply, started=started, now=now)
        else:
            self._progress_at = now
            self._pace.granted(now=now)
        if verdict.systematic and self.opening and not self._trusted:
            self._suspect_key(work, reply, verdict)
            return
        if verdict.action in {Action.ACCEPT, Action.FAIL}:
            self.opening = False
            self._release_withheld()
        self._apply(work, reply, verdict, now=now)

    def check_patience(self, *, now: float) -> None:
        """Stop the run when nothing has gone forward for too long."""
        patience = self._limits.patience
        if patience and self._progress_at is not None and now - self._progress_at >= patience and self._held(now=now):
            what = "been down" if self._breaker.is_open else "refused every request by its limit"
            span = f"{patience / 60:.0f} minutes" if patience >= 120 else f"{patience:g} s"
            self._stop(
                f"The service has {what} for {span}.",
                "Nothing is lost: run the same command again when it is back.",
            )

    def settle_withheld(self, *, now: float) -> None:
        """Settle the rows that were withheld, when nothing else is left to wait for.

        Unless one of them never got a connection: that says nothing of the row, so it is an outage, however few rows
        are left to show it.
        """
        for _work, outcome in self._withheld:
            if outcome.state is State.FAILED and outcome.code is None:
                self._breaker.open(now=now)
                self._hold(outcome.message, now=now)
                return
        self._release_withheld()

    def _held(self, *, now: float) -> bool:
        return self._breaker.is_open or self._pace.paused_until > now or self._pace.lowered

    def _unwell(self, work: Work, reply: Response, verdict: Classification, *, now: float, probe: bool) -> None:
        forgiven = Work(
            work.row,
            replace(
                work.history, requests=work.history.requests + 1, in_doubt=work.history.in_doubt or verdict.in_doubt
            ),
        )
        if self._breaker.is_open:
            if probe:
                self._breaker.probe_failed(now=now)
            self._backlog.put_back(forgiven, due=now)
            return
        # RongCloud's own code shows a service that is there; if it is ill for all rows, the breaker will see.
        if self.opening and reply.code is None:
            self._breaker.open(now=now)
        if self._breaker.is_open or self._breaker.failure(work.row.number, now=now):
            self._outage(reply, verdict, now=now)
            self._backlog.put_back(forgiven, due=now)
            return
        self._apply(work, reply, verdict, now=now)

    def _outage(self, reply: Response, verdict: Classification, *, now: float) -> None:
        detail = f"{verdict.meaning}: {reply.message}" if reply.message else verdict.meaning
        self._hold(f"{reply.host}: {detail}", now=now)

    def _hold(self, detail: str, *, now: float) -> None:
        self._say(
            EventKind.OUTAGE_BEGAN,
            f"The service does not work ({detail}). Sending is on hold; one row at a time tries again.",
        )
        for work, _outcome in self._withheld:
            self._backlog.put_back(Work(work.row, replace(work.history, failures=0)), due=now)
        self._withheld.clear()

    def _refused(self, reply: Response, *, started: float, now: float) -> None:
        if not self._pace.refused(started=started, now=now, retry_after=reply.retry_after):
            return
        if reply.retry_after is not None:
            self._say(EventKind.PACE_LOWERED, f"Refused by the limit; asked to wait {reply.retry_after:.0f} s.")
        # The pace keeps feeling for the limit, for hours if need be: only a change that is worth a line gets one.
        elif abs(self._pace.rate - self._told_rate) >= self._told_rate * WORTH_TELLING:
            self._told_rate = self._pace.rate
            text = (
                f"Refused by the limit: something else uses the quota. The pace goes down to {self._pace.rate:.0f}/s."
            )
            self._say(EventKind.PACE_LOWERED, text)

    def _suspect_key(self, work: Work, reply: Response, verdict: Classification) -> None:
        outcome = self._outcome(work.row.number, State.FAILED, reply, verdict, work.history.requests + 1)
        self._withheld.append((work, outcome))
        if len(self._withheld) >= OPENING_ROWS or self._backlog.is_empty:
            self._stop(
                f"All of the first rows were refused: code {reply.code}, {outcome.message}.",
                verdict.advice,
            )

    def _apply(self, work: Work, reply: Response, verdict: Classification, *, now: float) -> None:
        decision = decide(
            verdict,
            work.history,
            attempts=self._limits.attempts,
            backoff=self._timing.backoff,
            draw=self._draw(),
        )
        match decision:
            case Again(wait=wait, history=history):
                log_retry(work, reply, verdict, wait)
                self._backlog.put_back(Work(work.row, history), due=now + wait)
            case Settle(state=state, history=history):
                self._settle(Work(work.row, history), state, reply, verdict)
            case Halt():
                self._halt(reply, verdict)
            case _:
                assert_never(decision)

    def _settle(self, work: Work, state: State, reply: Response, verdict: Classification) -> None:
        outcome = self._outcome(work.row.number, state, reply, verdict, work.history.requests)
        if verdict.unwell:
            self._withheld.append((work, outcome))
        else:
            self._record(outcome)

    def _release_withheld(self) -> None:
        withheld, self._withheld = self._withheld, []
        for _work, outcome in withheld:
            self._record(outcome)

    def _record(self, outcome: Outcome) -> None:
        self._book.record(outcome)
        self._meter.settle(outcome.state, wall=outcome.finished_at)
        self._recent.append(outcome.state is not State.ACCEPTED)
        if outcome.state is not State.ACCEPTED and sum(self._recent) > self._limits.max_failed * RECENT_ROWS:
            self._stop(
                f"More than {self._limits.max_failed:.0%} of the last {RECENT_ROWS:,} rows have failed; "
                f"the last: {outcome.message}.",
                "Look at not-accepted.csv; to go on all the same, raise --max-failed.",
            )

    def _outcome(self, row: int, state: State, reply: Response, verdict: Classification, attempts: int) -> Outcome:
        detail = "" if state is State.ACCEPTED else reply.message
        return Outcome(
            row=row,
            state=state,
            code=reply.code,
            message=f"{verdict.meaning}: {detail}" if detail else verdict.meaning,
            attempts=attempts,
            request_id=reply.request_id,
            finished_at=self._wall(),
        )

    def _halt(self, reply: Response, verdict: Classification) -> None:
        code = f"code {reply.code}" if reply.code is not None else f"HTTP {reply.status}"
        said = f" ({reply.message})" if reply.message else ""
        skew = reply.clock_skew
        clock = ""
        if skew is not None and abs(skew) > CLOCK_TOLERANCE:
            side = "behind" if skew > 0 else "ahead of"
            clock = f" This machine's clock is {abs(skew):.0f} s {side} the server's: set it."
        self._stop(f"{reply.host} refuses the run: {code}, {verdict.meaning}{said}.", verdict.advice + clock)

    def _stop(self, problem: str, advice: str) -> None:
        if self.halt is None:
            self.halt = StoppedByService(problem, advice)

    def _say(self, kind: EventKind, text: str) -> None:
        self._notify(Event(at=self._wall(), kind=kind, text=text))
