"""What is next for each row: its alias is read, it is sent, its alias is read back."""

import asyncio
import math
from collections.abc import Callable, Set
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from typing import NamedTuple, Protocol

from batch_alias.model import Operation, Outcome, RequestKind, Row, State
from batch_alias.sending import retry
from batch_alias.sending.comparison import FOUND_WHEN_READ_BACK, Steps, compare
from batch_alias.sending.refusals import DOUBTFUL_ROWS
from batch_alias.sending.retry import History
from batch_alias.sending.work_queue import LOW, Feeder, PendingRows, Work, WorkQueue
from batch_alias.text import _

AHEAD = 1.0
"""Seconds of sending by which reading is ahead."""
FRESH = 2.0
"""Seconds for which an alias that was read lets a guarded row be sent."""
VERIFY_AFTER = 3.0
"""Seconds after which an alias that was set is read back."""


class RowRecords(PendingRows, Protocol):
    """Where rows come from, and what is recorded of them. Each may raise ``LedgerError``, which ends the run.

    Recording is synchronous, so that nothing can come between a response and its record.
    """

    def record(self, outcome: Outcome) -> None:
        """Keep how a row ended."""

    def record_before(self, row: int, alias: str) -> None:
        """Keep the alias that a row is about to replace, unless there is an earlier one."""

    def record_started(self, row: int) -> None:
        """Keep that a compared row is about to be sent."""

    def record_unreadable(self, row: int, message: str) -> None:
        """Keep why the alias of a row that is not sent could not be read."""

    def record_found(self, row: int, alias: str, at: float) -> None:
        """Keep the alias that was read back, at seconds since the epoch."""


class _Purpose(Enum):
    BEFORE = auto()  # to know what the row would replace
    DOUBT = auto()  # to know whether it was set: it was sent and not confirmed
    AFTER = auto()  # to verify it


class _Read(NamedTuple):
    """A read that waits or is under way."""

    purpose: _Purpose
    work: Work  # the row to be sent, and the attempts to send it
    outcome: Outcome | None = None  # of a row in doubt, if its alias is not found


class RowSteps:
    """Moves rows from the ledger to the queue of reads and the queue of writes, and between them.

    A row is never in both at once.

    Args:
        steps: What is done for each row.
        limit: Most rows that are taken from the ledger.
        most_retries: No new row is read or sent while more wait to be so again.
        wake: Called when a row was added to the queue of a kind, or there is room in it.
        settled: Called when a row has ended, with what requests showed it.
        rate: Requests of a kind per second that the service bears now, 0 in an outage.
        wall: The wall clock, seconds since the epoch.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self,
        steps: Steps,
        records: RowRecords,
        *,
        limit: int | None,
        most_retries: int,
        wake: Callable[[RequestKind], None],
        settled: Callable[[RequestKind, State], None],
        rate: Callable[[RequestKind], float],
        wall: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._steps = steps
        self._records = records
        self._wake = wake
        self._settled = settled
        self._rate = rate
        self._wall = wall
        self._clock = clock
        self._feeder = Feeder(records, self._begin, limit=limit)
        self._feeding = asyncio.Lock()
        self._waiting: dict[int, _Read] = {}
        self._unread = 0  # of them those that are to be sent
        self._ready: dict[int, float] = {}  # rows that were read and wait to be sent, and when they were read
        self._can_read = True
        self._is_stopped = False
        queue = partial(WorkQueue, most_retries=most_retries)
        # In turn: otherwise a second is spent on reading back, and the next one without anything to read back.
        self.reads = queue(
            expects_more=lambda: not self._feeder.is_exhausted, may_take_new=self._has_room, in_turn=True
        )
        self.writes = queue(
            expects_more=self._expects_writes,
            awaits_new=lambda: self._unread > 0 and self._rate(RequestKind.READ) > 0,
            take_away=self._is_taken_away,
        )

    @property
    def reading(self) -> Set[int]:
        """The numbers of the rows whose alias is read, or about to be."""
        return self._waiting.keys()

    async def feed_first(self) -> None:
        """Take a few rows from the ledger, which are sent before all others."""
        await self._feeder.feed_first(DOUBTFUL_ROWS)

    async def feed(self) -> None:
        """Take more rows from the ledger when few are left."""
        may_be_more = True
        while self._is_low and may_be_more:
            async with self._feeding:
                if self._is_low:  # it may have been fed meanwhile
                    may_be_more = await self._feeder.feed()
            await asyncio.sleep(0)  # a page whose rows all end at once leaves time for others

    def write_of(self, row: Row) -> Operation:
        """What is sent for a row. With it gone, another may be read."""
        if self._steps.compare:
            # After a kill the alias that was set must not be taken for one that was there before.
            self._records.record_started(row.number)
        if self._ready.pop(row.number, None) is not None:
            self._wake(RequestKind.READ)
        return row.write

    def was_read(self, row: Row, outcome: Outcome) -> None:
        """Go on with a row whose alias was read, or could not be."""
        read = self._waiting.get(row.number)
        if read is None or read.work.row is not row:
            return  # its block was taken away, and has come again
        del self._waiting[row.number]
        found = None if outcome.response is None else outcome.response.remark
        if read.purpose is _Purpose.BEFORE:
            self._unread -= 1
            # Of a row in doubt it may be the alias that was set, or another one, which it is about to replace.
            if found is not None and not (read.work.history.in_doubt and found == row.remark):
                self._records.record_before(row.number, found)
            elif not self._steps.write:
                self._records.record_unreadable(row.number, outcome.message)
            if self._is_to_be_sent(read.work, found, why=outcome.message):
                self._ready[row.number] = self._clock()
            return
        if found is not None:
            self._records.record_found(row.number, found, outcome.finished_at)
        if read.outcome is not None and found == row.remark:
            confirmed = replace(read.outcome, state=State.ACCEPTED, message=_(FOUND_WHEN_READ_BACK))
            read = read._replace(outcome=replace(confirmed, code=outcome.code, request_id=outcome.request_id))
        self._not_read(read)

    def was_written(self, row: Row, outcome: Outcome) -> None:
        """Go on with a row that was sent: read it back if that was asked for, or if it was not confirmed."""
        work = Work(row, History())
        if outcome.state is State.UNKNOWN:
            self._read(_Read(_Purpose.DOUBT, work, outcome), due=self._clock())
            return
        self.record(outcome, RequestKind.WRITE)
        if outcome.state is State.ACCEPTED and self._steps.verify:
            self._read(_Read(_Purpose.AFTER, work), due=self._clock() + VERIFY_AFTER)

    def record(self, outcome: Outcome, by: RequestKind) -> None:
        """Record how a row ended, by what requests showed it."""
        self._records.record(outcome)
        self._settled(by, outcome.state)

    def stop(self) -> None:
        """Take no more rows from the ledger."""
        self._is_stopped = True

    def stop_reading(self) -> None:
        """Go on without reading aliases: those of the rows that wait, and all others."""
        self._can_read = False
        waiting, self._waiting, self._unread = list(self._waiting.values()), {}, 0
        for read in waiting:
            self._not_read(read)

    def end(self) -> None:
        """Record the rows that were sent, and neither confirmed nor read back, when the run ends."""
        # A row may have been read while its queue was not looked at any more.
        reads = [*self._waiting.values(), *(_Read(_Purpose.BEFORE, work) for work in self.writes.drain())]
        for _purpose, work, outcome in reads:
            if outcome is None and work.history.requests and work.history.in_doubt:
                outcome = retry.outcome_of(work.row, work.history, State.UNKNOWN, None, at=self._wall())
            if outcome is not None:
                self.record(outcome, RequestKind.READ)

    @property
    def _is_low(self) -> bool:
        # Not those that were read, so that there are rows to read while they wait.
        left = self.writes.new - len(self._ready) + (self.reads.new if self._can_read else 0)
        return left < LOW and not self._feeder.is_exhausted and not self._is_stopped

    def _begin(self, row: Row) -> None:
        work = Work(row, History(in_doubt=row.in_doubt))
        if not self._steps.write and not self._steps.compare:
            self._read(_Read(_Purpose.AFTER, work))
        elif self._steps.is_read_first(row):
            self._read(_Read(_Purpose.BEFORE, work))
        else:
            self._is_to_be_sent(work, row.before)

    def _read(self, read: _Read, *, due: float | None = None) -> None:
        """Read the alias of a row after the other new ones, or else not before a monotonic reading."""
        row = read.work.row
        if not self._can_read:
            self._not_read(read)
            return
        before = self._waiting.get(row.number)
        if before is not None:  # its block was taken away, and has come again
            self._unread -= before.purpose is _Purpose.BEFORE
        self._waiting[row.number] = read
        self._unread += read.purpose is _Purpose.BEFORE
        if due is None:
            self.reads.add(row)
        else:
            self.reads.put_back(Work(row, History()), due=due)
        self._wake(RequestKind.READ)

    def _not_read(self, read: _Read) -> None:
        """Go on with a row without reading its alias."""
        if read.purpose is _Purpose.BEFORE:
            self._is_to_be_sent(read.work, None)
        elif read.outcome is not None:
            self.record(read.outcome, RequestKind.READ)

    def _is_to_be_sent(self, work: Work, found: str | None, *, why: str = "") -> bool:
        """Send a row, or not, by what was read: its alias, or ``None`` if it was not; return whether it will be."""
        row, history = work.row, work.history
        if not self._steps.write:
            return False
        ended = compare(row, found, self._steps, in_doubt=history.in_doubt, why=why)
        if ended is not None:
            outcome = retry.outcome_of(row, history, ended.state, None, at=self._wall())
            self.record(replace(outcome, message=ended.message), RequestKind.READ)
        elif history.requests:
            self.writes.put_back(work, due=self._clock())
        else:
            self.writes.add(row)
        self._wake(RequestKind.WRITE)
        return ended is None

    def _has_room(self) -> bool:
        """Whether another row may be read: not when many were and are still to be sent.

        In an outage of writes it is one for the next probe.
        """
        rate = self._rate(RequestKind.WRITE)
        return len(self._ready) < AHEAD * rate or not (rate or self.writes.has_untried)

    def _expects_writes(self) -> bool:
        return self._steps.write and (not self._feeder.is_exhausted or self._unread > 0)

    def _is_taken_away(self, work: Work, now: float) -> bool:
        """Whether a row is not to be sent now: another process has it, or it must be read again, and will be."""
        row = work.row
        if self._records.is_withdrawn(row):
            self._ready.pop(row.number, None)
            return True
        if not self._steps.is_guarded(row) or now - self._ready.get(row.number, -math.inf) <= FRESH:
            return False
        self._ready.pop(row.number, None)
        self._read(_Read(_Purpose.BEFORE, work), due=now)
        return True
