"""Which row is sent next: retries that are due, then pending rows streamed from the ledger."""

import heapq
import math
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from batch_alias.model import Row
from batch_alias.sending.retry import History

PAGE = 1000
"""Rows read from the ledger at once: 0.7 ms, and under 1 MB."""
LOW = 100
"""Rows below which the next page is read."""


class PendingRows(Protocol):
    """Where the rows come from."""

    async def pending(self, *, after: int, most: int) -> list[Row]:
        """The next rows to send whose number is above ``after``, in order."""


@dataclass(frozen=True, slots=True)
class Work:
    """A row to send, and the attempts made for it in this run."""

    row: Row
    history: History


class WorkQueue:
    """The rows to send and to send again, in bounded memory.

    At most ``limit`` rows are taken from the source, and none while more than ``most_retries`` wait to be sent again.
    """

    def __init__(self, source: PendingRows, *, limit: int | None, most_retries: int) -> None:
        self._source = source
        self._left = math.inf if limit is None else limit
        self._most_retries = most_retries
        self._new: deque[Row] = deque()
        self._last = 0
        self._exhausted = False
        self._retries: list[tuple[float, int, Work]] = []
        self._order = count()
        self._first: set[int] = set()

    def put_first(self, rows: list[Row]) -> None:
        """Send some rows before all others."""
        self._first.update(row.number for row in rows)
        self._new.extend(rows)

    def put_back(self, work: Work, *, due: float) -> None:
        """Send a row again, not before a monotonic reading."""
        heapq.heappush(self._retries, (due, next(self._order), work))

    async def refill(self) -> None:
        """Read on when few new rows are left."""
        while len(self._new) < LOW and not self._exhausted:
            rows = await self._source.pending(after=self._last, most=PAGE)
            if not rows:
                self._exhausted = True
                return
            self._last = rows[-1].number
            self._new.extend(row for row in rows if row.number not in self._first)

    @property
    def is_empty(self) -> bool:
        """Whether no row is left, neither new nor waiting."""
        return not self._retries and (self._left <= 0 or (not self._new and self._exhausted))

    def due(self, *, now: float) -> float:
        """Seconds until a row can be sent: 0 now, infinity when none is left."""
        if self._has_new or (self._retries and self._retries[0][0] <= now):
            return 0.0
        return self._retries[0][0] - now if self._retries else math.inf

    def take(self, *, now: float) -> Work:
        """The row that is sent next. Only while ``due`` is 0."""
        if self._retries and self._retries[0][0] <= now:
            return heapq.heappop(self._retries)[2]
        return self._take_new(0)

    def take_untried(self) -> Work:
        """A row for the probe of an outage; only while it ``has_untried``.

        One that was tried may be what fails, and so may its neighbours: sources are sorted. So it is the last one read.
        """
        return self._take_new(max(index for index, row in enumerate(self._new) if not row.in_doubt))

    def _take_new(self, index: int) -> Work:
        self._left -= 1
        row = self._new[index]
        del self._new[index]
        return Work(row, History(in_doubt=row.in_doubt))

    @property
    def has_untried(self) -> bool:
        """Whether a row is left that was never sent, in this run or another."""
        return self._has_new and not all(row.in_doubt for row in self._new)

    def put_back_if_forgiven(self, work: Work) -> bool:
        """Send a row without attempts left again, once it is forgiven; return whether it may be."""
        may_be = work.history.forgiven() is not work.history
        if may_be:
            self.put_back(work, due=0.0)
        return may_be

    def forgive(self) -> None:
        """Let the rows that wait be sent at once, as if no attempt had failed for them."""
        for work in self.drain():
            self.put_back(Work(work.row, work.history.forgiven()), due=0.0)

    def drain(self) -> list[Work]:
        """Remove and return the rows that wait to be sent again."""
        waiting, self._retries = [work for _, _, work in self._retries], []
        return waiting

    @property
    def _has_new(self) -> bool:
        return bool(self._new) and self._left > 0 and len(self._retries) < self._most_retries
