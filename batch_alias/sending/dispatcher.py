"""The dispatcher: rate limiter → row → connection → response → ledger.

One task decides what starts and when; each attempt is a task of its own. The rate limiter is the last thing waited for,
so that its promise holds for starts and not only for permissions; only a connection that must be opened first comes
between them, and then the permission is renewed.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from batch_alias.model import HARMLESS, Event, Operation, Permission, Response, Row, Second, State
from batch_alias.sending import Timing
from batch_alias.sending.metrics import Metrics, Progress
from batch_alias.sending.response_handler import DOUBTFUL_ROWS, Outcomes, ResponseHandler
from batch_alias.sending.work_queue import PendingRows, Work, WorkQueue
from batch_alias.settings import Sending

HEARTBEAT = 0.5
"""Seconds between two checks whether this process stood still."""
STALL = 1.0
"""Seconds that are worth it."""


class Ledger(PendingRows, Outcomes, Protocol):
    """What sending needs of the ledger. Every method may raise ``LedgerError``, which ends the run."""

    async def opening_rows(self, most: int) -> list[Row]:
        """A few rows to send, from the beginning, the end and the middle of the source."""

    async def record_metrics(self, seconds: list[Second], events: list[Event], *, busiest: int) -> None:
        """Keep what happened since the last call, and the busiest sliding second of the run so far."""


class Connection(Protocol):
    """Executes one operation at a time."""

    async def execute(
        self, operation: Operation, *, first: bool = False, permission: Permission | None = None
    ) -> Response:
        """Make one attempt, the first one for its row or a later one; whatever goes wrong is in the response.

        The permission is renewed before it is sent if it had to wait for its connection.
        """

    async def aclose(self) -> None:
        """Close the connection."""


class Service(Protocol):
    """What sending needs of the client."""

    def connect(self) -> Connection:
        """One more connection."""

    def leave(self, host: str) -> None:
        """Move from a host to the other one, if there is one and that has not happened yet."""

    def extend(self, seconds: float) -> None:
        """Give all attempts under way so much more time."""


class RateLimiter(Protocol):
    """The promise of the rate."""

    async def acquire(self) -> Permission:
        """Wait until an attempt may start."""


class Dispatcher:
    """Sends the pending rows of a ledger.

    Args:
        sending: Rate, most requests in flight, attempts and the other limits.
        observer: Called with each event.
        proven: Whether this job has had a row accepted before.
        wall: The wall clock, seconds since the epoch.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        service: Service,
        limiter: RateLimiter,
        sending: Sending,
        timing: Timing,
        observer: Callable[[Event], None],
        proven: bool = False,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._service = service
        self._limiter = limiter
        self._sending = sending
        self._timing = timing
        self._clock = clock
        self.metrics = Metrics(wall=wall, observer=observer)
        self._queue = WorkQueue(ledger, limit=sending.limit, most_retries=timing.most_retries)
        self._handler = ResponseHandler(
            outcomes=ledger,
            queue=self._queue,
            metrics=self.metrics,
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
        self._heartbeat: asyncio.TimerHandle | None = None
        self._crash: BaseException | None = None
        self.was_stopped = False

    def stop(self) -> None:
        """Start no new attempts; ``run`` returns when those under way have ended."""
        self.was_stopped = True
        self._changed.set()

    def progress(self) -> Progress:
        """Where the run stands now. May be called from another thread."""
        now = self._clock()
        opened_at = self._handler.breaker.opened_at
        settled = self.metrics.settled
        return Progress(
            accepted=settled[State.ACCEPTED],
            failed=settled[State.FAILED],
            unknown=settled[State.UNKNOWN],
            recent_rate=self.metrics.recent_rate(now=now),
            in_flight=len(self._tasks),
            outage=None if opened_at is None else now - opened_at,
        )

    async def run(self) -> None:
        """Send until nothing is left or the run is stopped.

        Raises:
            StoppedByService: Further requests would be refused as well, or the patience is used up.
            LedgerError: The ledger cannot be read or written.
        """
        grace = self._timing.grace
        stored_at = self._clock()
        self._beat(stored_at)
        try:
            self._queue.put_first(await self._ledger.opening_rows(DOUBTFUL_ROWS))
            await self._queue.refill()
            while not self._is_over():
                now = self._clock()
                if now - stored_at > self._timing.tick:
                    stored_at = now
                    await self._store_metrics()
                    await self._close_idle(before=now - self._timing.idle)
                await self._queue.refill()
                self._handler.check_patience(now=now)
                if (wait := self._wait(now=now)) > 0:
                    await self._sleep(wait)
                elif (permission := await self._permission()) is not None:
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
            try:
                await self._wind_up(grace=grace)
            finally:
                if self._heartbeat is not None:
                    self._heartbeat.cancel()
        if self._crash is not None:
            raise self._crash
        if self._handler.stopped is not None:
            raise self._handler.stopped

    def _beat(self, due: float) -> None:
        """Notice that this process stood still, and let no attempt time out for it.

        A callback of the loop, since it must come before the timeouts that are due at the same time.
        """
        if (late := self._clock() - due) > STALL:
            self._service.extend(late)
        self._heartbeat = asyncio.get_running_loop().call_later(HEARTBEAT, self._beat, self._clock() + HEARTBEAT)

    def _is_over(self) -> bool:
        if self._must_end():
            return True
        if self._tasks or self._handler.next_is_check or not self._queue.is_empty:
            return False
        self._handler.settle_last(now=self._clock())
        return not self._handler.next_is_check

    def _must_end(self) -> bool:
        return self.was_stopped or self._handler.stopped is not None or self._crash is not None

    def _wait(self, *, now: float) -> float:
        """Seconds until an attempt may start: 0 now, infinity when something else must happen first."""
        handler, in_flight = self._handler, len(self._tasks)
        most = 1 if handler.one_at_a_time else self._sending.max_in_flight
        if self._must_end() or in_flight >= most or not handler.controller.may_start(in_flight, now=now):
            return math.inf
        not_before = handler.controller.next_start
        if handler.breaker.is_open:
            not_before = max(handler.breaker.next_probe_at, handler.controller.paused_until)
        due = handler.check_at - now if handler.next_is_check else self._queue.due(now=now)
        return max(not_before - now, due, 0.0)

    async def _permission(self) -> Permission | None:
        """Wait for the rate limiter, but not longer than a tick: a stop does not wait for a low rate."""
        try:
            async with asyncio.timeout(self._timing.tick):
                return await self._limiter.acquire()
        except TimeoutError:
            return None

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
        self.metrics.started(retry=work is not None and work.history.requests > 0, now=now)
        handler.controller.started(now=now)
        connection = self._idle.pop()[1] if self._idle else self._service.connect()
        return work, connection, handler.breaker.is_open

    async def _attempt(self, work: Work | None, connection: Connection, probe: bool, permission: Permission) -> None:
        started, handler = self._clock(), self._handler
        try:
            operation, first = HARMLESS, True
            if work is not None:
                operation, first = work.row.operation, work.history.requests == 0
            response = await connection.execute(operation, first=first, permission=permission)
            # No await from here on: a cancellation cannot come between a response and its record.
            was_open = handler.breaker.is_open
            if work is None:
                handler.checked(response, started=started, now=self._clock())
            else:
                handler.handle(work, response, started=started, now=self._clock(), probe=probe)
            if response.classification.unhealthy and handler.breaker.is_open and (probe or not was_open):
                self._service.leave(response.host)
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
                await self._store_metrics(all_of_it=True)

    async def _store_metrics(self, *, all_of_it: bool = False) -> None:
        seconds, events = self.metrics.take(all_of_it=all_of_it)
        if seconds or events:
            await self._ledger.record_metrics(seconds, events, busiest=self.metrics.busiest)

    async def _close_idle(self, *, before: float) -> None:
        while self._idle and self._idle[0][0] < before:
            await self._idle.popleft()[1].aclose()
