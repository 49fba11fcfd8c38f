"""From a response to an outcome, a retry, an outage, a lower rate, or the end of the run.

Two kinds of outcome are held back, because they may say more about the service than about the row:

* A refusal that may concern every row.
* A row that has used up its attempts on an unhealthy service.

A signed call that changes nothing, made while nothing else is in flight, decides: when it is refused in the same way, a
setting is wrong. When it fails too, or a row that was not tried before does, it is an outage, and the attempts lost to
it are given back. Otherwise it is the rows.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from batch_alias.errors import StoppedByService
from batch_alias.logs import log_attempt, log_retry
from batch_alias.model import Action, EventKind, Outcome, Response, Row, State
from batch_alias.sending import Timing, retry
from batch_alias.sending.controller import CircuitBreaker, Patience, RateController
from batch_alias.sending.metrics import RECENT_ROWS, Metrics
from batch_alias.sending.refusals import DoubtfulRefusals, Held
from batch_alias.sending.work_queue import Work, WorkQueue
from batch_alias.settings import Sending
from batch_alias.text import N_, _, duration, percent

NOTABLE_CHANGE = 0.25
"""Share by which the rate must have changed for another event."""


class ResponseHandler:
    """Decides what each response means for its row and for the run.

    Args:
        settle: Called with each outcome,
        cut_off: or where the run ends before there is one.
        proven: Whether this job has had a row accepted.
    """

    def __init__(
        self,
        *,
        settle: Callable[[Row, Outcome], None],
        cut_off: Callable[[Row, Outcome], None],
        queue: WorkQueue,
        metrics: Metrics,
        controller: RateController,
        sending: Sending,
        timing: Timing,
        proven: bool,
        wall: Callable[[], float],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._settle_row = settle
        self._cut_off_row = cut_off
        self._queue = queue
        self._metrics = metrics
        self._sending = sending
        self._timing = timing
        self._proven = proven
        self._wall = wall
        self._draw = draw
        self._opening = True  # until a row was accepted or refused in this run
        self._exhausted: list[Held] = []  # held back: the service may be unhealthy
        self._misconfigured = 0
        self._patience = Patience(sending.patience)
        self._reported_rate = float(sending.rate)
        self.controller = controller
        self.breaker = CircuitBreaker(timing.breaker)
        self.refusals = DoubtfulRefusals(queue)
        self.stopped: StoppedByService | None = None  # why the run must stop

    @property
    def one_at_a_time(self) -> bool:
        """Whether the next request must wait for the response to the one before."""
        return self._opening or self.refusals.unclear or self.breaker.is_open

    @property
    def next_is_check(self) -> bool:
        """Whether the next request is the call that changes nothing.

        In an outage it is the probe once there is no row left that was not tried before: one that was may be what the
        service cannot process.
        """
        return not self._queue.expects_untried if self.breaker.is_open else self.refusals.unclear

    def handle(self, work: Work, response: Response, *, started: float, now: float, probe: bool) -> None:
        """Act on the response to an attempt, maybe the probe of an outage; times are monotonic readings in seconds."""
        classification = response.classification
        self._metrics.responded(response)
        log_attempt(work.row, work.history.requests + 1, response)
        self._adapt(response, started=started, now=now)
        if classification.unhealthy:
            self._unhealthy(work, response, now=now, probe=probe)
            return
        self._healthy(now=now)
        if retry.may_concern_every_row(classification, opening=self._opening, proven=self._proven):
            self._hold_back(work, response)
            return
        if classification.action is not Action.SLOW_DOWN:
            self._patience.renew(now=now)
        if classification.action in {Action.ACCEPT, Action.FAIL}:
            self._opening = False
            self._settle(self._exhausted)
        if classification.action is Action.ACCEPT:
            self._proven = True
            self._settle(self.refusals.row_accepted(probe=probe))
        self._apply(work, response, now=now)

    def checked(self, response: Response, *, started: float, now: float) -> None:
        """Act on the response to the call that changes nothing."""
        self._metrics.responded(response)
        self._adapt(response, started=started, now=now)
        if response.classification.unhealthy:
            self.breaker.suspect(now=now)
            self._probe_failed(response, now=now)
            return
        self._healthy(now=now)
        match self.refusals.checked(response, proven=self._proven, now=now):
            case StoppedByService() as why:
                self._stop(why)
            case list() as held:
                self._opening = False
                self._settle(held)
                self._settle(self._exhausted)

    def check_patience(self, *, now: float, is_idle: bool) -> None:
        """Stop the run when nothing has made progress for too long, unless there was nothing to do."""
        if is_idle:
            self._patience.renew(now=now)
            self._suspect_outage(now=now)
        if not self._patience.is_used_up(now=now):
            return
        if self.breaker.is_open:
            problem = N_("The service has been down for {patience}.")
        elif self.refusals.unclear:
            problem = N_("It could not be found out for {patience} whether the rows are wrong or a setting.")
        elif self.controller.paused_until > now or self.controller.lowered:
            problem = N_("The rate limit has refused every request for {patience}.")
        else:
            return
        advice = N_("Run the same command again when it works; every row that was not sent is still pending.")
        self._stop(StoppedByService(problem, advice, patience=duration(self._sending.patience)))

    def settle_last(self, *, now: float) -> None:
        """Go on with what is held back, when no other request is left whose response could decide."""
        self._suspect_outage(now=now)
        if not self._exhausted:
            self._stop(self.refusals.settle_last())

    def _suspect_outage(self, *, now: float) -> None:
        """Find out if rows are out of attempts because of an outage, when no response is expected that could decide."""
        if self._exhausted:
            self.breaker.suspect(now=now)

    def cut_off(self, under_way: Work | None = None) -> None:
        """Record as unknown what was sent and not confirmed when the run ends: a row under way, or all others."""
        if under_way is not None:
            history = under_way.history
            works = [Work(under_way.row, replace(history, requests=history.requests + 1, in_doubt=True))]
        else:
            works = [*self._queue.drain(), *(held.work for held in (*self._exhausted, *self.refusals.held))]
        for work in works:
            if work.history.requests and work.history.in_doubt:
                # Not by _record: they are no failures of the service that would stop the run.
                outcome = retry.outcome_of(work.row, work.history, State.UNKNOWN, None, at=self._wall())
                self._cut_off_row(work.row, outcome)

    def _adapt(self, response: Response, *, started: float, now: float) -> None:
        signal, wait = response.classification.congestion, response.retry_after
        if signal and wait is not None and self.controller.asked_to_wait(wait, now=now):
            self._metrics.emit(EventKind.ASKED_TO_WAIT, seconds=wait)
        if self.breaker.is_open:
            return
        worked = response.classification.action in {Action.ACCEPT, Action.FAIL}
        seen = self.controller.responded(
            signal=signal, started=started, now=now, latency=response.latency if worked else None
        )
        rate = self.controller.rate
        if not self.controller.lowered:
            self._reported_rate = rate
        # The rate follows the limit, for hours if need be: only a notable change is an event.
        if seen is not None and abs(rate - self._reported_rate) >= self._reported_rate * NOTABLE_CHANGE:
            self._reported_rate = rate
            signals, responses = seen
            shown = float(f"{rate:.2g}")
            self._metrics.emit(EventKind.RATE_LOWERED, signals=signals, responses=responses, rate=shown)

    def _healthy(self, *, now: float) -> None:
        if self.breaker.success():
            self.controller.restart(now=now)
            self._metrics.emit(EventKind.OUTAGE_ENDED)

    def _unhealthy(self, work: Work, response: Response, *, now: float, probe: bool) -> None:
        classification = response.classification
        if self.breaker.is_open:
            self._queue.put_back(Work(work.row, work.history.after(classification)), due=now)
            if probe:
                self._probe_failed(response, now=now)
        elif self._opening and classification.misconfigured:
            # Once more, since there may be another host.
            self._misconfigured += 1
            self._queue.put_back(Work(work.row, work.history.after(classification)), due=now)
            if self._misconfigured > 1:
                self._stop(retry.refusal(response))
        else:
            # RongCloud's own code shows a service that is there; if it fails for all rows, the breaker will find out.
            is_first = self._opening and response.code is None
            if self.breaker.failure(work.row.number) or is_first:
                self.breaker.suspect(now=now)
            self._apply(work, response, now=now)

    def _probe_failed(self, response: Response, *, now: float) -> None:
        """Note a probe without success: the first one confirms the outage, and gives back the attempts lost to it."""
        if self.breaker.probe_failed(now=now):
            detail = _("{host}: {meaning}", host=response.host, meaning=retry.described(response))
            self._metrics.emit(EventKind.OUTAGE_BEGAN, detail=detail)
            self._exhausted = [held for held in self._exhausted if not self._queue.put_back_if_forgiven(held.work)]
            self._queue.forgive()

    def _hold_back(self, work: Work, response: Response) -> None:
        history = work.history.after(response.classification)
        outcome = retry.outcome_of(work.row, history, State.FAILED, response, at=self._wall())
        self._stop(self.refusals.hold_back(Held(Work(work.row, history), outcome, response)))

    def _apply(self, work: Work, response: Response, *, now: float) -> None:
        decision = retry.decide(
            response.classification,
            work.history,
            attempts=self._sending.attempts,
            backoff=self._timing.backoff,
            draw=self._draw(),
        )
        match decision:
            case retry.Retry(wait=wait, history=history):
                log_retry(work.row, history.requests, response, wait)
                self._queue.put_back(Work(work.row, history), due=now + wait)
            case retry.Settle(state=state, history=history):
                outcome = retry.outcome_of(work.row, history, state, response, at=self._wall())
                if response.classification.unhealthy:
                    self._exhausted.append(Held(Work(work.row, history), outcome, response))
                else:
                    self._record(work.row, outcome)
            case retry.Stop():
                self._queue.put_back(Work(work.row, work.history.after(response.classification)), due=now)
                self._stop(retry.refusal(response))
            case _:
                assert_never(decision)

    def _settle(self, held: list[Held]) -> None:
        while held:
            work, outcome, _ = held.pop(0)
            self._record(work.row, outcome)

    def _record(self, row: Row, outcome: Outcome) -> None:
        self._settle_row(row, outcome)
        self._metrics.ended(outcome)
        most = self._sending.max_failed
        if outcome.state is not State.ACCEPTED and self._metrics.recent_failures > most * RECENT_ROWS:
            problem = N_("More than {share} of the last {rows:,} rows have failed; the last: {message}.")
            advice = N_("Check not-accepted.csv; to go on all the same, raise --max-failed.")
            share = percent(most)
            self._stop(StoppedByService(problem, advice, share=share, rows=RECENT_ROWS, message=outcome.message))

    def _stop(self, why: StoppedByService | None) -> None:
        self.stopped = self.stopped or why
