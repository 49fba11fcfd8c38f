"""From a response to an outcome, a retry, an outage, a lower rate, or the end of the run.

Two kinds of outcome are held back, because they may say more about the service than about the row:

* A refusal that may concern every row: "invalid parameter" may mean an unknown App Key or a wrong column, a gateway's
  page a wrong path. Rows go one at a time until another one shows whether it is so; where none can, a signed call that
  changes nothing does.
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
from batch_alias.sending.controller import CircuitBreaker, RateController
from batch_alias.sending.metrics import Metrics
from batch_alias.sending.retry import Retry, Settle, Stop, decide, described, outcome_of, refusal
from batch_alias.sending.work_queue import Work, WorkQueue
from batch_alias.settings import Sending
from batch_alias.text import duration, percent

DOUBTFUL_ROWS = 3
"""Rows whose refusal in a row decides that a setting is wrong."""
RECENT_ROWS = 1000
"""Settled rows over which the share of failures is taken."""
NOTABLE_CHANGE = 0.25
"""Share by which the rate must have changed for another event."""
STOOD_STILL = 5.0
"""Seconds between two checks of the patience that show that this process stood still."""
NOTABLE_PAUSE = 1.0
"""Seconds that a server must ask to wait for an event."""


class Outcomes(Protocol):
    """Where outcomes are kept."""

    def record(self, outcome: Outcome) -> None:
        """Keep how a row ended; synchronous, so that nothing can come between a response and this."""


class ResponseHandler:
    """Decides what each response means for its row and for the run; ``proven``: this job has had a row accepted."""

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
        self._opening = True  # until a row was accepted or refused in this run
        self._refused: list[tuple[Work, Outcome]] = []  # held back: the refusal may concern every row
        self._refused_at = 0.0
        self._held_back: list[tuple[Work, Outcome]] = []  # the service may be unhealthy
        self._misconfigured = 0
        self._recent: deque[bool] = deque(maxlen=RECENT_ROWS)
        self._progress_at: float | None = None
        self._checked_at = 0.0
        self._reported_rate = float(sending.rate)
        self.controller = RateController(sending.rate, timing.controller)
        self.breaker = CircuitBreaker(timing.breaker)
        self.unclear = False  # a call that changes nothing must show if the rows are wrong or a setting
        self.stopped: StoppedByService | None = None  # why the run must stop

    @property
    def one_at_a_time(self) -> bool:
        """Whether the next request must wait for the response to the one before."""
        return self._opening or bool(self._refused) or self.unclear or self.breaker.is_open

    @property
    def new_rows_first(self) -> bool:
        """Whether rows that were not sent before go first: another one may be what the service cannot process."""
        return bool(self._refused) or self.breaker.is_open

    def handle(self, work: Work, response: Response, *, started: float, now: float, probe: bool) -> None:
        """Act on the response to an attempt, maybe the probe of an outage; times are monotonic readings in seconds."""
        classification = response.classification
        self._metrics.responded(response)
        log_attempt(work.row, work.history.requests + 1, response)
        self._adapt(response, started=started, now=now)
        if classification.unhealthy:
            self._unhealthy(work, response, now=now, probe=probe)
            return
        if self.breaker.success(now=now):
            self.controller.restart(now=now)
            self._metrics.emit(EventKind.OUTAGE_ENDED)
        of_gateway = self._proven and classification.action is Action.STOP and response.code is None
        if of_gateway or (self._opening and classification.systematic and not self._proven):
            self._hold_back(work, response, started=started, now=now)
            return
        if classification.action is not Action.SLOW_DOWN:
            self._progress_at = now
        if classification.action in {Action.ACCEPT, Action.FAIL}:
            if not self._proven and classification.action is Action.FAIL and not classification.is_documented:
                self._queue.put_back(Work(work.row, work.history.after(classification)), due=now)
                self._stop(refusal(response))  # no answer of RongCloud's, and none was before
                return
            self._opening = False
            self._proven = self._proven or classification.action is Action.ACCEPT
            if started >= self._refused_at:
                self._settle(self._refused)
            self._settle(self._held_back)
        self._apply(work, response, now=now)

    def checked(self, response: Response, *, now: float) -> None:
        """Act on the response to the call that changes nothing, made while it was ``unclear`` what is wrong."""
        self.unclear = False
        self._metrics.responded(response)
        classification = response.classification
        if classification.unhealthy or classification.action is Action.SLOW_DOWN:
            for work, _ in self._refused:
                self._queue.put_back(work, due=now + 1)
            self._refused.clear()
        elif classification.is_documented and classification.action is not Action.ACCEPT:
            problem = "All of the first rows were refused: code {code}, {message}."
            advice = classification.advice
            self._stop(StoppedByService(problem, advice, code=response.code, message=described(response)))
        else:
            self._opening = False
            self._settle(self._refused)

    def check_patience(self, *, now: float) -> None:
        """Stop the run when nothing has made progress for too long, from the first call on."""
        if self._progress_at is None:
            self._progress_at = self._checked_at = now
        if now - self._checked_at > STOOD_STILL:  # this process stood still
            self._progress_at += now - self._checked_at
        self._checked_at = now
        patience = self._sending.patience
        if not patience or now - self._progress_at < patience:
            return
        if self.breaker.is_open:
            problem = "The service has been down for {patience}."
        elif self.controller.paused_until > now or self.controller.lowered:
            problem = "The rate limit has refused every request for {patience}."
        elif self._refused or self.unclear:
            problem = "It could not be found out for {patience} whether the rows are wrong or a setting."
        else:
            return
        advice = "Run the same command again when it works; every row that was not sent is still pending."
        self._stop(StoppedByService(problem, advice, patience=duration(patience)))

    def settle_last(self, *, now: float) -> None:
        """Settle the outcomes that are held back, when no request is left whose response could decide.

        If one of those rows never got a connection, it is an outage, however few rows are left to show it.
        """
        for _, outcome in self._held_back:
            if outcome.state is State.FAILED and outcome.code is None:
                self.breaker.open(now=now)
                self._begin_outage(outcome.message)
                return
        if self._refused and not self._proven:
            self.unclear = True
        else:
            self._settle(self._refused)
            self._settle(self._held_back)

    def cut_off(self, under_way: Work | None = None) -> None:
        """Record as unknown what was sent and not confirmed when the run ends: a row under way, or all others."""
        if under_way is not None:
            history = under_way.history
            works = [Work(under_way.row, replace(history, requests=history.requests + 1, in_doubt=True))]
        else:
            works = [*self._queue.drain(), *(work for work, _ in (*self._held_back, *self._refused))]
        for work in works:
            if work.history.requests and work.history.in_doubt:
                # Not by _record: they are no failures of the service that would stop the run.
                outcome = outcome_of(work.row, work.history, State.UNKNOWN, None, at=self._wall())
                self._outcomes.record(outcome)
                self._metrics.ended(outcome)

    def _adapt(self, response: Response, *, started: float, now: float) -> None:
        signal, wait = response.classification.congestion, response.retry_after
        is_new = signal and wait is not None and self.controller.asked_to_wait(wait, now=now)
        if is_new and wait is not None and wait >= NOTABLE_PAUSE:
            self._metrics.emit(EventKind.ASKED_TO_WAIT, seconds=wait)
        if self.breaker.is_open:
            return
        worked = response.classification.action in {Action.ACCEPT, Action.FAIL}
        seen = self.controller.responded(
            signal=signal, started=started, now=now, latency=response.latency if worked else None
        )
        rate = self.controller.rate
        # The rate follows the limit, for hours if need be: only a notable change is an event.
        if seen is not None and abs(rate - self._reported_rate) >= self._reported_rate * NOTABLE_CHANGE:
            self._reported_rate = rate
            signals, responses = seen
            shown = float(f"{rate:.2g}")
            self._metrics.emit(EventKind.RATE_LOWERED, signals=signals, responses=responses, rate=shown)

    def _unhealthy(self, work: Work, response: Response, *, now: float, probe: bool) -> None:
        classification, failed_at = response.classification, work.history.failed_at or now
        work = Work(work.row, replace(work.history, failed_at=failed_at))
        again = Work(work.row, work.history.after(classification))
        if self.breaker.is_open:
            if probe:
                self.breaker.probe_failed(now=now)
            self._queue.put_back(again, due=now)
            return
        if self._opening and classification.misconfigured:
            # Once more, since there may be another host.
            self._misconfigured += 1
            self._queue.put_back(again, due=now)
            if self._misconfigured > 1:
                self._stop(refusal(response))
            return
        # RongCloud's own code shows a service that is there; if it fails for all rows, the breaker will find out.
        if self._opening and response.code is None:
            self.breaker.open(now=now)
        if self.breaker.is_open or self.breaker.failure(work.row.number, failed_at=failed_at, now=now):
            self._begin_outage(f"{response.host}: {described(response)}")
            self._queue.put_back(again, due=now)
            return
        self._apply(work, response, now=now)

    def _begin_outage(self, detail: str) -> None:
        self._metrics.emit(EventKind.OUTAGE_BEGAN, detail=detail)
        for work, _ in self._held_back:
            self._queue.put_back(Work(work.row, replace(work.history, failures=0)), due=0.0)
        self._held_back.clear()

    def _hold_back(self, work: Work, response: Response, *, started: float, now: float) -> None:
        history = work.history.after(response.classification)
        if self._refused and started < self._refused_at:
            # It was under way already, so it cannot decide.
            self._queue.put_back(Work(work.row, history), due=now)
            return
        self._refused.append(
            (Work(work.row, history), outcome_of(work.row, history, State.FAILED, response, at=self._wall()))
        )
        self._refused_at = now
        if self._proven:
            if len(self._refused) == DOUBTFUL_ROWS:
                self._stop(refusal(response))
        elif len(self._refused) == DOUBTFUL_ROWS or self._queue.is_empty:
            self.unclear = True

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
                outcome = outcome_of(work.row, history, state, response, at=self._wall())
                if response.classification.unhealthy:
                    self._held_back.append((Work(work.row, history), outcome))
                else:
                    self._record(outcome)
            case Stop():
                self._queue.put_back(Work(work.row, work.history.after(response.classification)), due=now)
                self._stop(refusal(response))
            case _:
                assert_never(decision)

    def _settle(self, held_back: list[tuple[Work, Outcome]]) -> None:
        outcomes = [outcome for _, outcome in held_back]
        held_back.clear()
        for outcome in outcomes:
            self._record(outcome)

    def _record(self, outcome: Outcome) -> None:
        self._outcomes.record(outcome)
        self._metrics.ended(outcome)
        self._recent.append(outcome.state is not State.ACCEPTED)
        most = self._sending.max_failed
        if outcome.state is not State.ACCEPTED and sum(self._recent) > most * RECENT_ROWS:
            problem = "More than {share} of the last {rows:,} rows have failed; the last: {message}."
            advice = "Check not-accepted.csv; to go on all the same, raise --max-failed."
            values = {"share": percent(most), "rows": RECENT_ROWS, "message": outcome.message}
            self._stop(StoppedByService(problem, advice, **values))

    def _stop(self, why: StoppedByService) -> None:
        self.stopped = self.stopped or why
