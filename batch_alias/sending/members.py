"""Looking up who is in each group, before anything is sent."""

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from batch_alias.model import (
    SUCCESS,
    Call,
    Event,
    EventKind,
    Operation,
    Outcome,
    RequestKind,
    Row,
    State,
)
from batch_alias.sending import HARMLESS, RateLimiter, Service, Timing
from batch_alias.sending.dispatcher import Callbacks, Dispatcher, MetricsRecords
from batch_alias.sending.metrics import Progress
from batch_alias.sending.work_queue import LOW, Feeder, PendingRows, WorkQueue
from batch_alias.settings import Settings

_FIRST = Row(number=0, user_id="batch-alias", group_id=HARMLESS.group_id, remark="")
"""Stands for the call that changes nothing: once it was accepted, a refusal concerns its group and not a setting."""


class GroupRecords(PendingRows, MetricsRecords, Protocol):
    """Where groups come from, and what is recorded of them. Each may raise ``LedgerError``, which ends the lookup."""

    def select_groups(self) -> int:
        """From now on give a row for each group whose members were not looked up; return how many there are."""

    def record_members(self, group_id: str, members: Collection[str]) -> None:
        """Keep that a group was looked up, and which rows have users who are not in it."""

    def end_groups(self, *, reject: bool) -> None:
        """Reject these rows, or warn of them, and give the rows to send again."""


class MemberLookup:
    """Asks once for the members of each group of the rows to send.

    A group of which RongCloud answers with an error code, or with an empty list, does not exist: which of the two it
    does is not documented. One that could not be looked up leaves its rows as they are.

    Args:
        settings: How to send, and what is done about a user who is not in the group.
        limiter: Makes the rate limiter of a kind of requests.
        observer: Called with each event.
        wall: The wall clock, seconds since the epoch.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: GroupRecords,
        service: Service,
        limiter: Callable[[RequestKind], RateLimiter],
        timing: Timing,
        observer: Callable[[Event], None] = lambda _event: None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reject = settings.others == "reject"
        self.groups = ledger.select_groups()
        if not self.groups:
            ledger.end_groups(reject=self._reject)
        self.rate = settings.sending.rate
        self.unreadable: list[str] = []  # the groups that could not be looked up
        self._ledger = ledger
        self._clock = clock
        self._done = 0
        self._queue = WorkQueue(most_retries=timing.most_retries, expects_more=lambda: not self._feeder.is_exhausted)
        self._feeder = Feeder(ledger, self._queue.add, limit=None)
        self._dispatcher = Dispatcher(
            RequestKind.MEMBERS,
            _operation,
            callbacks=Callbacks(
                feed=self._feed,
                may_end=lambda: True,
                settle=self._settle,
                cut_off=lambda _row, _outcome: None,  # it is asked about again
                records=ledger,
            ),
            queue=self._queue,
            service=service,
            limiter=limiter(RequestKind.MEMBERS),
            sending=replace(settings.sending, max_failed=1.0),  # a group that does not exist is no failure
            timing=timing,
            observer=observer,
            wall=wall,
            clock=clock,
        )

    @property
    def was_stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._dispatcher.was_stopped

    def stop(self) -> None:
        """Start no new attempts; ``run`` returns when those under way have ended."""
        self._dispatcher.stop()

    def emit(self, kind: EventKind, **values: str | float) -> None:
        """Note an event of the lookup."""
        self._dispatcher.metrics.emit(kind, **values)

    def progress(self) -> Progress:
        """How many groups have been looked up. May be called from another thread."""
        return Progress(
            done=self._done,
            states={},
            recent_rate=self._dispatcher.metrics.recent_rate(now=self._clock()),
            in_flight=self._dispatcher.in_flight,
            outage=self._dispatcher.outage,
            on_hold=self._dispatcher.on_hold,
        )

    async def run(self) -> None:
        """Look up all groups, of which there must be some, or until it is stopped.

        Raises:
            StoppedByService: Further requests would be refused as well, or the patience is used up.
            LedgerError: The ledger cannot be read or written.
        """
        self._queue.add(_FIRST)
        try:
            await self._dispatcher.run()
        finally:
            self._ledger.end_groups(reject=self._reject)

    async def _feed(self) -> None:
        while self._queue.new < LOW:
            if not await self._feeder.feed():
                break
            await asyncio.sleep(0)

    def _settle(self, row: Row, outcome: Outcome) -> None:
        if row is _FIRST:
            return
        self._done += 1
        members = None if outcome.response is None else outcome.response.members
        if outcome.state is State.FAILED and outcome.code not in {None, SUCCESS}:
            members = frozenset()
        if members is None:
            self.unreadable.append(row.group_id)
        else:
            self._ledger.record_members(row.group_id, members)


Watch = Callable[[MemberLookup], AbstractContextManager[object]]
"""Entered while the members of groups are looked up."""


def _operation(row: Row) -> Operation:
    return HARMLESS if row is _FIRST else Operation(call=Call.MEMBERS, group_id=row.group_id)
