"""The dispatcher: rate limiter → row → connection → response → outcome, for requests of one kind.

One task decides what starts and when; each attempt is a task of its own. The rate limiter is the last thing waited for,
so that its promise holds for starts and not only for permissions; only a connection that must be opened first comes
between them, and then the permission is renewed.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from batch_alias.model import Event, Operation, Outcome, Permission, PermissionWithdrawn, RequestKind, Row, Second
from batch_alias.sending import HARMLESS, Connection, RateLimiter, Service, Timing
from batch_alias.sending.metrics import Metrics
from batch_alias.sending.response_handler import ResponseHandler
from batch_alias.sending.work_queue import Work, WorkQueue
from batch_alias.settings import Sending

LONG_PAUSE = 5.0
"""Seconds to wait that say nothing about the pace; a rate limit may ask for one or two, over and over."""


class MetricsRecords(Protocol):
    """Where what was counted is kept."""

    async def record_metrics(self, seconds: list[Second], events: list[Event], *, busiest: int) -> None:
        """Keep what happened since the last call, and the busiest sliding second of the run so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """Where rows come from and outcomes go. Each may raise ``LedgerError``, which ends the run.

    Outcomes go synchronously, so that nothing can come between a response and its record.
    """

    feed: Callable[[], Awaitable[None]]  # adds new rows to the queue if it is low
    may_end: Callable[[], bool]  # whether no row will be added once the queue is empty and nothing is in flight
    settle: Callable[[Row, Outcome], None]  # how a call for a row ended
    cut_off: Callable[[Row, Outcome], None]  # the run ended before a call that may have been carried out was confirmed
    records: MetricsRecords


class Dispatcher:
    """Makes one call for each row of a queue.

    Args:
        kind: What the calls are for.
        operation: The call for a row.
        sending: Rate, most requests in flight, attempts and the other limits.
        observer: Called with each event.
        proven: Whether this job has had a row accepted before.
        wall: The wall clock, seconds since the epoch.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self,
        kind: RequestKind,
        operation: Callable[[Row], Operation],
        *,
        callbacks: Callbacks,
        queue: WorkQueue,
        service: Service,
        limiter: RateLimiter,
        sending: Sending,
        timing: Timing,
        observer: Callable[[Event], None],
        proven: bool = False,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._operation = operation
        self._callbacks = callbacks
        self._queue = queue
        self._service = service
        self._limiter = limiter
        self._sending = sending
        self._timing = timing
        self._clock = clock
        self.metrics = Metrics(kind, wall=wall, observer=observer)
        self._handler = ResponseHandler(
            settle=callbacks.settle,
            cut_off=callbacks.cut_off,
            queue=queue,
            metrics=self.metrics,
            controller=limiter.controller(sending.rate, timing.controller),
            sending=sending,
            timing=timing,
            proven=proven,
            wall=wall,
        )
        # The connection used last is used next, so that the others become idle and can be closed: at 100 attempts per
        # second and a latency of 50 ms five are enough, at 2 s it takes 200.
        self._idle: deque[tuple[float, Connection]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._crash: BaseException | None = None
        self.was_stopped = False

    def stop(self) -> None:
        """Start no new attempts; ``run`` returns when those under way have ended."""
        self.was_stopped = True
        self.wake()

    def wake(self) -> None:
        """Look at once whether an attempt may start: a row was added, or room for one."""
        self._changed.set()

    def forget_refusals(self) -> None:
        """Look for the highest rate anew: fewer requests of another kind are made beside these."""
        self._handler.controller.forget_refusals()

    @property
    def rate(self) -> float:
        """Attempts per second that the service bears now."""
        return 0.0 if self._handler.breaker.is_open else self._handler.controller.rate

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._tasks)

    @property
    def on_hold(self) -> bool:
        """Whether no row is sent for a while: in an outage, or since the server has asked to wait."""
        controller = self._handler.controller
        return self._handler.breaker.is_open or controller.paused_until - self._clock() > LONG_PAUSE

    @property
    def outage(self) -> float | None:
        """Seconds since an outage began; ``None`` while the service works. May be called from another thread."""
        opened_at = self._handler.breaker.opened_at
        return None if opened_at is None else self._clock() - opened_at

    async def run(self) -> None:
        """Make calls until nothing is left or the run is stopped.

        Raises:
            StoppedByService: Further requests would be refused as well, or the patience is used up.
            LedgerError: The ledger cannot be read or written.
        """
        grace = self._timing.grace
        stored_at = self._clock()
        try:
            while not self._is_over():
                now = self._clock()
                if now - stored_at > self._timing.tick:
                    stored_at = now
                    await self.store_metrics()
                    await self._close_idle(before=now - self._timing.idle)
                await self._callbacks.feed()
                self._handler.check_patience(now=now, is_idle=self._is_idle(now=now))
                if (wait := self._wait(now=now)) > 0:
                    await self._sleep(wait)
                    continue
                permission = await self._limiter.acquire()
                if permission is None:
                    continue
                if self._wait(now=self._clock()) > 0:
                    permission.give_back()
                    continue
                task = asyncio.create_task(self._attempt(*self._next(), permission))
                self._tasks.add(task)
                task.add_done_callback(self._ended)
        except asyncio.CancelledError:
            # Cancelled after it was asked to stop: asked twice, it does not wait.
            if self.was_stopped:
                grace = 0.0
            raise
        finally:
            await self._wind_up(grace=grace)
        if self._crash is not None:
            raise self._crash
        if self._handler.stopped is not None:
            raise self._handler.stopped

    def _is_over(self) -> bool:
        if self._must_end():
            return True
        if self._tasks or self._handler.next_is_check or not self._queue.is_empty:
            return False
        self._handler.settle_last(now=self._clock())
        return not self._handler.next_is_check and self._callbacks.may_end()

    def _must_end(self) -> bool:
        return self.was_stopped or self._handler.stopped is not None or self._crash is not None

    def _is_idle(self, *, now: float) -> bool:
        """Whether there is nothing to do but wait for rows."""
        if self._tasks or self._handler.next_is_check:
            return False
        if self._handler.breaker.is_open:
            return not self._queue.has_untried
        return self._queue.due(now=now) == math.inf

    def _wait(self, *, now: float) -> float:
        """Seconds until an attempt may start: 0 now, infinity when something else must happen first."""
        handler, in_flight = self._handler, len(self._tasks)
        most = 1 if handler.one_at_a_time else self._sending.max_in_flight
        if self._must_end() or in_flight >= most or not handler.controller.may_start(in_flight, now=now):
            return math.inf
        not_before = handler.controller.next_start
        if handler.breaker.is_open:
            not_before = max(handler.breaker.next_probe_at, handler.controller.paused_until)
        if not_before > now:
            return not_before - now
        if handler.next_is_check:
            return max(handler.refusals.check_at - now, 0.0)
        return self._queue.due_untried(now=now) if handler.breaker.is_open else self._queue.due(now=now)

    async def _sleep(self, seconds: float) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(min(seconds, self._timing.tick)):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _next(self) -> tuple[Work | None, Connection, bool]:
        """What the next attempt is for, on which connection, and whether it is the probe of an outage.

        It is for no row when it is the call that changes nothing.
        """
        now, handler = self._clock(), self._handler
        work: Work | None = None
        if not handler.next_is_check:
            work = self._queue.take_untried() if handler.breaker.is_open else self._queue.take(now=now)
        retry = work is not None and work.history.requests > 0
        self.metrics.started(retry=retry, check=work is None, now=now)
        handler.controller.started(now=now)
        connection = self._idle.pop()[1] if self._idle else self._service.connect()
        return work, connection, handler.breaker.is_open

    async def _attempt(self, work: Work | None, connection: Connection, probe: bool, permission: Permission) -> None:
        started, handler = self._clock(), self._handler
        try:
            operation, first = HARMLESS, True
            if work is not None:
                operation, first = self._operation(work.row), work.history.requests == 0
            response = await connection.execute(operation, first=first, permission=permission)
            # No await from here on: a cancellation cannot come between a response and its record.
            was_open = handler.breaker.is_open
            if work is None:
                handler.checked(response, started=started, now=self._clock())
            else:
                handler.handle(work, response, started=started, now=self._clock(), probe=probe)
            if response.classification.unhealthy and handler.breaker.is_open and (probe or not was_open):
                self._service.leave(response.host)
        except PermissionWithdrawn:
            if work is not None:
                self._queue.put_back(work, due=self._clock())
        except asyncio.CancelledError:
            if work is not None and self._crash is None:
                handler.cut_off(work)
            raise
        finally:
            self._idle.append((self._clock(), connection))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crash = self._crash or error
        self._changed.set()

    async def _wind_up(self, *, grace: float) -> None:
        """Let the attempts under way end, within the grace; what was sent and not confirmed then is unknown."""
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=grace)
        finally:
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self._close_idle(before=math.inf)
            if self._crash is None:
                self._handler.cut_off()
                await self.store_metrics(all_of_it=True)

    async def store_metrics(self, *, all_of_it: bool = False) -> None:
        """Keep what happened in the seconds that are over, or until now."""
        seconds, events = self.metrics.take(all_of_it=all_of_it)
        if seconds or events:
            await self._callbacks.records.record_metrics(seconds, events, busiest=self._limiter.busiest)

    async def _close_idle(self, *, before: float) -> None:
        while self._idle and self._idle[0][0] < before:
            await self._idle.popleft()[1].aclose()
