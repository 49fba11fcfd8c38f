"""Reading and sending side by side, each with a dispatcher, a rate limiter and a rate of its own.

By all signs each path of RongCloud has a limit of its own, so reads cost the writes no time.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Set
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Protocol

from batch_alias.errors import StoppedByService
from batch_alias.model import Event, EventKind, Operation, RequestKind, Row, State
from batch_alias.sending import RateLimiter, Service, Timing
from batch_alias.sending.comparison import Steps
from batch_alias.sending.dispatcher import Callbacks, Dispatcher, MetricsRecords
from batch_alias.sending.metrics import Progress
from batch_alias.sending.row_steps import RowRecords, RowSteps
from batch_alias.sending.work_queue import WorkQueue
from batch_alias.settings import Sending

OPTIONAL_PATIENCE = 30.0
"""Longest outage of reads to wait out where nobody has asked for them."""
HEARTBEAT = 0.5
"""Seconds between two checks whether this process stood still."""
STALL = 1.0
"""Seconds that are worth it."""


class Ledger(RowRecords, MetricsRecords, Protocol):
    """What sending needs of the ledger."""


class Pipeline:
    """Does the steps for the rows of a ledger.

    Args:
        limiter: Makes the rate limiter of a kind of requests.
        sending: Rate, most requests in flight, attempts and the other limits; of each kind of requests.
        observer: Called with each event.
        proven: Whether this job has had a row accepted before.
        wall: The wall clock, seconds since the epoch.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self,
        steps: Steps,
        *,
        ledger: Ledger,
        service: Service,
        limiter: Callable[[RequestKind], RateLimiter],
        sending: Sending,
        timing: Timing,
        observer: Callable[[Event], None],
        proven: bool = False,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._clock = clock
        self._is_writing = steps.write
        self._optional = steps.write and not steps.compare  # reads
        self._heartbeat: asyncio.TimerHandle | None = None
        self._rows = RowSteps(
            steps,
            ledger,
            limit=sending.limit,
            most_retries=timing.most_retries,
            wake=lambda kind: self._dispatchers[kind].wake(),
            settled=lambda kind, state: self._dispatchers[kind].metrics.settle(state),
            rate=lambda kind: self._dispatchers[kind].rate,
            wall=wall,
            clock=clock,
        )
        self._dispatchers = {
            kind: Dispatcher(
                kind,
                operation,
                callbacks=callbacks,
                queue=queue,
                service=service,
                limiter=limiter(kind),
                sending=replace(sending, patience=self._patience(kind, steps, sending)),
                timing=timing,
                observer=observer,
                proven=proven,
                wall=wall,
                clock=clock,
            )
            for kind, (operation, queue, callbacks) in self._kinds(ledger).items()
        }
        self._main = self._dispatchers[RequestKind.WRITE if steps.write else RequestKind.READ]

    def _kinds(self, ledger: Ledger) -> dict[RequestKind, tuple[Callable[[Row], Operation], WorkQueue, Callbacks]]:
        """The call for a row, the rows, and where they come from and go, by kind."""
        rows, callbacks = self._rows, partial(Callbacks, feed=self._rows.feed, records=ledger)
        writing = callbacks(
            settle=rows.was_written,
            cut_off=lambda _row, outcome: rows.record(outcome, RequestKind.WRITE),
            may_end=lambda: True,
        )
        reading = callbacks(
            settle=rows.was_read,
            cut_off=lambda _row, _outcome: None,
            may_end=lambda: not self._is_writing,
        )
        return {
            RequestKind.WRITE: (rows.write_of, rows.writes, writing),
            RequestKind.READ: (attrgetter("read"), rows.reads, reading),
        }

    def _patience(self, kind: RequestKind, steps: Steps, sending: Sending) -> float:
        if kind is RequestKind.WRITE or steps.verify or not self._optional:
            return sending.patience
        return min(sending.patience or OPTIONAL_PATIENCE, OPTIONAL_PATIENCE)

    @property
    def was_stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._main.was_stopped

    def stop(self) -> None:
        """Start no new attempts; ``run`` returns when those under way have ended."""
        self._rows.stop()
        for dispatcher in self._dispatchers.values():
            dispatcher.stop()

    @property
    def reading(self) -> Set[int]:
        """The numbers of the rows whose alias is read, or about to be."""
        return self._rows.reading

    def wake(self) -> None:
        """Look at once whether there are more rows."""
        for dispatcher in self._dispatchers.values():
            dispatcher.wake()

    async def store_metrics(self) -> None:
        """Keep what happened until now, also in the second that is not over."""
        for dispatcher in self._dispatchers.values():
            await dispatcher.store_metrics(all_of_it=True)

    def emit(self, kind: EventKind, **values: str | float) -> None:
        """Note an event of the run."""
        self._main.metrics.emit(kind, **values)

    def progress(self) -> Progress:
        """Where the run stands now. May be called from another thread."""
        states: Counter[State] = Counter()
        for dispatcher in self._dispatchers.values():
            states.update(dispatcher.metrics.settled)
        now, reads = self._clock(), self._dispatchers[RequestKind.READ]
        shown = [self._main] if self._optional else list(self._dispatchers.values())
        outages = [outage for dispatcher in shown if (outage := dispatcher.outage) is not None]
        return Progress(
            done=states.total() if self._main is self._dispatchers[RequestKind.WRITE] else self._main.metrics.calls,
            states=states,
            recent_rate=self._main.metrics.recent_rate(now=now),
            in_flight=sum(dispatcher.in_flight for dispatcher in self._dispatchers.values()),
            outage=max(outages, default=None),
            on_hold=any(dispatcher.on_hold for dispatcher in shown),
            recent_reads=0 if self._main is reads else reads.metrics.recent_rate(now=now),
        )

    async def run(self) -> None:
        """Do the steps for all rows, or until the run is stopped.

        Raises:
            StoppedByService: Further requests would be refused as well, or the patience is used up.
            LedgerError: The ledger cannot be read or written.
        """
        await self._rows.feed_first()
        await self._rows.feed()
        self._beat(self._clock())
        kinds = [RequestKind.WRITE, RequestKind.READ] if self._is_writing else [RequestKind.READ]
        running = {asyncio.create_task(self._dispatchers[kind].run()): kind for kind in kinds}
        errors: list[BaseException] = []
        under_way = set(running)
        try:
            while under_way:
                try:
                    ended, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError as cancelled:
                    errors.insert(0, cancelled)
                    for task in under_way:
                        task.cancel()
                    continue
                errors += [error for task in ended if (error := self._ended(task, running[task])) is not None]
        finally:
            if self._heartbeat is not None:
                self._heartbeat.cancel()
        if all(isinstance(error, StoppedByService | asyncio.CancelledError) for error in errors):
            self._rows.end()
            await self._dispatchers[RequestKind.READ].store_metrics(all_of_it=True)
        if errors:
            raise errors[0]

    def _ended(self, task: asyncio.Task[None], kind: RequestKind) -> BaseException | None:
        """Go on after a dispatcher has ended; returns the error that ends the run, if there is one."""
        if kind is RequestKind.WRITE:
            self._is_writing = False
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StoppedByService) and kind is RequestKind.READ and self._optional:
            self._rows.stop_reading()
            error = None
        elif error is not None:
            self.stop()
        for dispatcher in self._dispatchers.values():
            dispatcher.forget_refusals()  # the kinds may share one limit
            dispatcher.wake()
        return error

    def _beat(self, due: float) -> None:
        """Notice that this process stood still, and let no attempt time out for it.

        A callback of the loop, since it must come before the timeouts that are due at the same time.
        """
        if (late := self._clock() - due) > STALL:
            self._service.extend(late)
        self._heartbeat = asyncio.get_running_loop().call_later(HEARTBEAT, self._beat, self._clock() + HEARTBEAT)
