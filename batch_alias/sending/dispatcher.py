"""The worker pool: throttle → row → lane → verdict → ledger.

One task decides what starts and when; each attempt is a task of its own. The token is the last thing waited for: row
and lane are known to be there before it is taken, and nothing is awaited between the token and the attempt's start, so
that the throttle's promise holds for starts and not only for tokens.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

from batch_alias.model import Row, State
from batch_alias.records import Event, Progress
from batch_alias.sending.work_queue import WorkQueue, PendingRows, Work
from batch_alias.sending.breaker import CircuitBreaker
from batch_alias.sending.pool import Connection, PooledConnection, ConnectionPool
from batch_alias.sending.metrics import Metrics, SecondLog
from batch_alias.sending.controller import RateController
from batch_alias.sending.limiter import RateLimiter
from batch_alias.sending.timing import Timing
from batch_alias.sending.response_handler import OPENING_ROWS, Book, Limits, ResponseHandler


class Ledger(PendingRows, Book, SecondLog, Protocol):
    """What sending needs of the ledger."""

    def opening_rows(self, most: int) -> list[Row]:
        """A few rows to send, from the beginning, the end and the middle of the source."""


class Carrier(Protocol):
    """What sending needs of the client."""

    def connect(self) -> Connection:
        """A connection for one more lane."""

    def leave(self, host: str) -> None:
        """Move from a host to the other one, if there is one and that has not happened yet."""


class Dispatcher:
    """Sends the pending rows of a ledger.

    Args:
        ledger: Where rows come from and outcomes go.
        carrier: Opens connections.
        rate: Attempts per second, never exceeded in any second.
        max_in_flight: Most attempts under way at once.
        limit: Most rows to send; ``None`` sends all.
        limits: What the run may cost.
        timing: How long to wait for what.
        notify: Told each thing worth knowing.
        proven: Whether this job has had a row accepted before.
        wall: The wall clock, seconds since the epoch.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        carrier: Carrier,
        rate: float,
        max_in_flight: int,
        limit: int | None,
        limits: Limits,
        timing: Timing,
        notify: Callable[[Event], None],
        proven: bool = False,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._carrier = carrier
        self._timing = timing
        self._wall = wall
        self._clock = clock
        self._meter = Metrics(ledger)
        self._pace = RateController(rate, timing.pace)
        self._breaker = CircuitBreaker(timing.breaker)
        self._throttle = RateLimiter(rate)
        self._lanes = ConnectionPool(carrier.connect, most=max_in_flight)
        self._backlog = WorkQueue(ledger, limit=limit, most_retries=timing.most_retries)
        self._backlog.put_first(ledger.opening_rows(OPENING_ROWS))
        self._triage = ResponseHandler(
            book=ledger,
            backlog=self._backlog,
            meter=self._meter,
            pace=self._pace,
            breaker=self._breaker,
            limits=limits,
            timing=timing,
            notify=notify,
            proven=proven,
            wall=wall,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._crash: BaseException | None = None
        self.was_stopped = False

    def stop(self) -> None:
        """Start no new attempts; ``run`` returns when those under way have ended."""
        self.was_stopped = True
        self._changed.set()

    def progress(self) -> Progress:
        """How the run stands now."""
        now = self._clock()
        opened_at = self._breaker.opened_at
        settled = self._meter.settled
        return Progress(
            accepted=settled[State.ACCEPTED],
            failed=settled[State.FAILED],
            unknown=settled[State.UNKNOWN],
            requests=self._meter.requests,
            rate=self._meter.recent_rate(now=now),
            pace=self._pace.rate,
            in_flight=len(self._tasks),
            waiting=self._backlog.waiting,
            outage=None if opened_at is None else now - opened_at,
        )

    async def run(self) -> None:
        """Send until nothing is left or the run is stopped.

        Raises:
            StoppedByService: Further requests would be refused as well, or the patience is used up.
            LedgerError: An outcome could not be kept.
        """
        grace = self._timing.grace
        self._triage.begin(now=self._clock())
        reaped_at = self._clock()
        try:
            while not self._is_over():
                now = self._clock()
                if now - reaped_at > self._timing.tick:
                    reaped_at = now
                    await self._lanes.close_idle(before=now - self._timing.idle)
                self._pace.climb(now=now)
                self._triage.check_patience(now=now)
                if (wait := self._wait(now=now)) > 0:
                    await self._sleep(wait)
                    continue
                if await self._token() and self._wait(now=self._clock()) <= 0:
                    self._start()
        except asyncio.CancelledError:
            # Cancelled after it was asked to stop: whoever asks twice does not want to wait.
            if self.was_stopped:
                grace = 0.0
            raise
        finally:
            await self._wind_up(grace=grace)
        if self._crash is not None:
            raise self._crash
        if self._triage.halt is not None:
            raise self._triage.halt

    def _is_over(self) -> bool:
        if self.was_stopped or self._triage.halt is not None or self._crash is not None:
            return True
        if self._tasks or not self._backlog.is_empty:
            return False
        self._triage.settle_withheld(now=self._clock())
        return self._backlog.is_empty

    def _wait(self, *, now: float) -> float:
        """Seconds until an attempt may start: 0 at once, infinity when something else must happen first."""
        if self.was_stopped or self._triage.halt is not None or self._crash is not None or self._lanes.is_full:
            return math.inf
        if self._breaker.is_open:
            if self._tasks:
                return math.inf
            return max(self._breaker.next_probe_at - now, self._backlog.due(now=now), 0.0)
        if self._triage.opening and self._tasks:
            return math.inf
        return max(self._pace.paused_until - now, self._backlog.due(now=now), 0.0)

    async def _token(self) -> bool:
        """Wait for a token, but not longer than a tick: a stop does not wait for a slow pace."""
        try:
            async with asyncio.timeout(self._timing.tick):
                await self._throttle.change(self._pace.rate)
                await self._throttle.acquire()
        except TimeoutError:
            return False
        return True

    async def _sleep(self, seconds: float) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(min(seconds, self._timing.tick)):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _start(self) -> None:
        now = self._clock()
        work = self._backlog.take(now=now, new_first=self._breaker.is_open)
        # May find the ledger broken: no lane must be on its way then, for nobody would close it.
        self._meter.started(retry=work.history.requests > 0, wall=self._wall(), now=now)
        lane = self._lanes.take(now=now)
        task = asyncio.create_task(self._attempt(work, lane, probe=self._breaker.is_open))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _attempt(self, work: Work, lane: PooledConnection, *, probe: bool) -> None:
        started = self._clock()
        try:
            reply, verdict = await lane.connection.set_alias(work.row)
            # No await from here on: a cancellation cannot come between a reply and its record.
            now = self._clock()
            self._triage.take(work, reply, verdict, started=started, now=now, probe=probe)
            if probe and verdict.unwell:
                self._carrier.leave(reply.host)
        finally:
            self._lanes.give_back(lane, now=self._clock())

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crash = self._crash or error
        self._changed.set()

    async def _wind_up(self, *, grace: float) -> None:
        """Let the attempts under way end, within the grace; rows without an answer stay pending."""
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=grace)
        finally:
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self._lanes.aclose()
            if self._crash is None:
                self._meter.flush()
