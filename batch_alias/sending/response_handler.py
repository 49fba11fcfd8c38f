"""From a response to an outcome, a retry, an outage, a lower rate, or the end of the run.

Two kinds of outcome are held back, because they may say more about the service than about the row:

* Until one of the first rows was answered otherwise, "invalid parameter" may mean an unknown App Key or a wrong column.
* A row that has used up its attempts on an unhealthy service is settled only when another request succeeds. When an
  outage is recognised instead, the row goes back to the queue and its attempts are forgiven.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, assert_never

from batch_alias.errors import StoppedByService
from batch_alias.logs import log_attempt, log_retry
from batch_alias.model import Action, EventKind, Outcome, Response, State
from batch_alias.sending import Timing
from batch_alias.sending.breaker import CircuitBreaker
from batch_alias.sending.controller import RateController
from batch_alias.sending.metrics import Metrics
from batch_alias.sending.retry import History, Retry, Settle, Stop, decide
from batch_alias.sending.work_queue import Work, WorkQueue
from batch_alias.settings import Sending
from batch_alias.text import duration, percent

OPENING_ROWS = 3
"""Rows that are sent one after the other while their responses may be due to a wrong setting."""
RECENT_ROWS = 1000
"""Settled rows over which the share of failures is taken."""
NOTABLE_CHANGE = 0.25
"""Share by which the rate must have changed for another event."""
CLOCK_TOLERANCE = 60.0
"""Seconds of difference between the server's clock and this machine's that are worth naming."""


class Outcomes(Protocol):
    """Where outcomes are kept."""

    def record(self, outcome: Outcome) -> None:
        """Keep how a row ended; synchronous, so that nothing can come between a response and this."""


class ResponseHandler:
    """Decides what each response means for its row and for the run.

    Args:
        proven: Whether this job has had a row accepted before.
        wall: The wall clock, seconds since the epoch.
        draw: Uniform random numbers from [0, 1).

    Attributes:
        opening: Whether the first rows are still being tried one after the other.
        stopped: Why the run must stop; ``None`` while it need not.
    """

    def __init__(
        self,
        *,
        outcomes: Outcomes,
        queue: WorkQueue,
        metrics: Metrics,
        sending: Sending,
        timing: Timing,
        proven: bool,
        wall: Callable[[], float],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._outcomes = outcomes
        self._queue = queue
        self._metrics = metrics
        self._sending = sending
        self._timing = timing
        self._proven = proven
        self._wall = wall
        self._draw = draw
        self._held_back: list[tuple[Work, Outcome]] = []
        self._recent: deque[bool] = deque(maxlen=RECENT_ROWS)
        self._progress_at: float | None = None
        self._reported_rate = float(sending.rate)
        self.controller = RateController(sending.rate, timing.controller)
        self.breaker = CircuitBreaker(timing.breaker)
        self.opening = True
        self.stopped: StoppedByService | None = None

    def handle(self, work: Work, response: Response, *, started: float, now: float, probe: bool) -> None:
        """Act on the response to an attempt that started, and has ended now, at monotonic readings in seconds.

        ``probe`` says whether it was the probe of an outage.
        """
        classification = response.classification
        self._metrics.responded(response)
        log_attempt(work.row, work.history.requests + 1, response)
        if classification.unhealthy:
            self._unhealthy(work, response, now=now, probe=probe)
            return
        if self.breaker.success():
            self.controller.restart(now=now)
            self._metrics.emit(EventKind.OUTAGE_ENDED)
        if classification.action is Action.SLOW_DOWN:
            self._refused(response, started=started, now=now)
        else:
            self._progress_at = now
            self.controller.granted(now=now)
        if classification.systematic and self.opening and not self._proven:
            self._hold_back_opening(work, response)
            return
        if classification.action in {Action.ACCEPT, Action.FAIL}:
            self.opening = False
            self._settle_held_back()
        self._apply(work, response, now=now)

    def check_patience(self, *, now: float) -> None:
        """Stop the run when nothing has made progress for too long; the time counts from the first call."""
        if self._progress_at is None:
            self._progress_at = now
        patience = self._sending.patience
        if not patience or now - self._progress_at < patience:
            return
        advice = "Run the same command again when it works; every row that was not sent is still pending."
        if self.breaker.is_open:
            self._stop("The service has been down for {patience}.", advice, patience=duration(patience))
        elif self.controller.paused_until > now or self.controller.lowered:
            self._stop("The rate limit has refused every request for {patience}.", advice, patience=duration(patience))

    def settle_last(self, *, now: float) -> None:
        """Settle the outcomes that are held back, when no request is left whose response could decide.

        If one of those rows never got a connection, which says nothing about the row, it is an outage, however few rows
        are left to show it.
        """
        for _, outcome in self._held_back:
            if outcome.state is State.FAILED and outcome.code is None:
                self.breaker.open(now=now)
                self._begin_outage(outcome.message)
                return
        self._settle_held_back()

    def _unhealthy(self, work: Work, response: Response, *, now: float, probe: bool) -> None:
        again = Work(work.row, work.history.after(response.classification))
        if self.breaker.is_open:
            if probe:
                self.breaker.probe_failed(now=now)
            self._queue.put_back(again, due=now)
            return
        # RongCloud's own code shows a service that is there; if it fails for all rows, the breaker will find out.
        if self.opening and response.code is None:
            self.breaker.open(now=now)
        if self.breaker.is_open or self.breaker.failure(work.row.number, now=now):
            meaning = response.classification.meaning
            self._begin_outage(f"{response.host}: {_with_detail(meaning, response.message)}")
            self._queue.put_back(again, due=now)
            return
        self._apply(work, response, now=now)

    def _begin_outage(self, detail: str) -> None:
        self._metrics.emit(EventKind.OUTAGE_BEGAN, detail=detail)
        for work, _ in self._held_back:
            self._queue.put_back(Work(work.row, replace(work.history, failures=0)), due=0.0)
        self._held_back.clear()

    def _refused(self, response: Response, *, started: float, now: float) -> None:
        wait = response.retry_after
        if not self.controller.refused(started=started, now=now, retry_after=wait):
            return
        rate = self.controller.rate
        if wait is not None:
            self._metrics.emit(EventKind.ASKED_TO_WAIT, seconds=wait)
        # The rate follows the limit, for hours if need be: only a notable change is an event.
        elif abs(rate - self._reported_rate) >= self._reported_rate * NOTABLE_CHANGE:
            self._reported_rate = rate
            self._metrics.emit(EventKind.RATE_LOWERED, rate=rate)

    def _hold_back_opening(self, work: Work, response: Response) -> None:
        outcome = self._outcome(work, work.history.after(response.classification), State.FAILED, response)
        self._held_back.append((work, outcome))
        if len(self._held_back) >= OPENING_ROWS or self._queue.is_empty:
            self._stop(
                "All of the first rows were refused: code {code}, {message}.",
                response.classification.advice,
                code=response.code,
                message=outcome.message,
            )

    def _apply(self, work: Work, response: Response, *, now: float) -> None:
        decision = decide(
            response.classification,
            work.history,
            attempts=self._sending.attempts,
            backoff=self._timing.backoff,
            draw=self._draw(),
        )
        match decision:
            case Retry(wait=wait, history=history):
                log_retry(work.row, history.requests, response, wait)
                self._queue.put_back(Work(work.row, history), due=now + wait)
            case Settle(state=state, history=history):
                outcome = self._outcome(work, history, state, response)
                if response.classification.unhealthy:
                    self._held_back.append((Work(work.row, history), outcome))
                else:
                    self._record(outcome)
            case Stop():
                self._stop_for(response)
            case _:
                assert_never(decision)

    def _settle_held_back(self) -> None:
        held_back, self._held_back = self._held_back, []
        for _, outcome in held_back:
            self._record(outcome)

    def _record(self, outcome: Outcome) -> None:
        self._outcomes.record(outcome)
        self._metrics.ended(outcome)
        self._recent.append(outcome.state is not State.ACCEPTED)
        most = self._sending.max_failed
        if outcome.state is not State.ACCEPTED and sum(self._recent) > most * RECENT_ROWS:
            self._stop(
                "More than {share} of the last {rows:,} rows have failed; the last: {message}.",
                "Check not-accepted.csv; to go on all the same, raise --max-failed.",
                share=percent(most),
                rows=RECENT_ROWS,
                message=outcome.message,
            )

    def _outcome(self, work: Work, history: History, state: State, response: Response) -> Outcome:
        detail = "" if state is State.ACCEPTED else response.message
        return Outcome(
            row=work.row.number,
            state=state,
            code=response.code,
            message=_with_detail(response.classification.meaning, detail),
            attempts=history.requests,
            request_id=response.request_id,
            finished_at=self._wall(),
        )

    def _stop_for(self, response: Response) -> None:
        problem = "{host} refuses the run: {code}, {meaning}."
        advice = response.classification.advice
        skew = response.clock_skew
        if skew is not None and abs(skew) > CLOCK_TOLERANCE:
            side = "behind" if skew > 0 else "ahead of"
            advice = f"{advice} This machine's clock is {abs(skew):.0f} s {side} the server's: set it."
        self._stop(
            problem,
            advice,
            host=response.host,
            code=f"HTTP {response.status}" if response.code is None else f"code {response.code}",
            meaning=_with_detail(response.classification.meaning, response.message),
        )

    def _stop(self, problem: str, advice: str, **values: object) -> None:
        if self.stopped is None:
            self.stopped = StoppedByService(problem, advice, **values)


def _with_detail(meaning: str, detail: str) -> str:
    return f"{meaning}: {detail}" if detail else meaning
