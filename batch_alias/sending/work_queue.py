"""Which row is sent next: retries that are due, then new rows, streamed from the ledger."""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable
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

    more_to_come: bool
    """Whether rows may be there later although there is none now."""

    def is_withdrawn(self, row: Row) -> bool:
        """Whether a row that was given is not to be sent any more: it was given to another process."""

    async def opening_rows(self, most: int) -> list[Row]:
        """A few rows to send, from the beginning, the end and the middle of the source."""

    async def pending(self, *, after: int, most: int) -> list[Row]:
        """The next rows to send whose number is above ``after``, in order."""


class Feeder:
    """Takes rows from the ledger in pages, at most ``limit`` of them, and hands each to where it is sent or read."""

    def __init__(self, source: PendingRows, route: Callable[[Row], None], *, limit: int | None) -> None:
        self._source = source
        self._route = route
        self._left = math.inf if limit is None else limit
        self._last = 0
        self._first: set[int] = set()
        self._feeding = False
        self.is_exhausted = False

    async def feed_first(self, most: int) -> None:
        """Hand over a few rows before all others."""
        rows = await self._source.opening_rows(most)
        self._hand_over(rows)
        self._first.update(row.number for row in rows)

    async def feed(self) -> bool:
        """Hand over the next page, unless another task does so; return whether there may be another one now."""
        if self.is_exhausted or self._feeding:
            return False
        self._feeding = True
        try:
            rows = await self._source.pending(after=self._last, most=PAGE)
        finally:
            self._feeding = False
        if rows:
            self._last = rows[-1].number
        self._hand_over(row for row in rows if row.number not in self._first)
        self.is_exhausted = (not rows and not self._source.more_to_come) or self._left <= 0
        return bool(rows)

    def _hand_over(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if self._left > 0:
                self._left -= 1
                self._route(row)


@dataclass(frozen=True, slots=True)
class Work:
    """A row to send, and the attempts made for it in this run."""

    row: Row
    history: History


class WorkQueue:
    """The rows to send and to send again.

    Args:
        most_retries: No new row is taken while more rows wait to be sent again.
        expects_more: Whether new rows may be added later.
        may_take_new: Whether a new row may be taken now.
        awaits_new: Whether new rows are about to be added, so that a probe waits for them.
        in_turn: Whether new rows and those that are due again are taken in turn; otherwise those come first.
        take_away: Called with a row that could be sent now; returns whether it took it, for it is not to be sent yet.
    """

    def __init__(
        self,
        *,
        most_retries: int,
        expects_more: Callable[[], bool],
        may_take_new: Callable[[], bool] = lambda: True,
        awaits_new: Callable[[], bool] = lambda: False,
        in_turn: bool = False,
        take_away: Callable[[Work, float], bool] = lambda _work, _now: False,
    ) -> None:
        self._most_retries = most_retries
        self._expects_more = expects_more
        self._may_take_new = may_take_new
        self._awaits_new = awaits_new
        self._in_turn = in_turn
        self._is_turn_of_new = False
        self._take_away = take_away
        self._new: deque[Work] = deque()
        self._retries: list[tuple[float, int, Work]] = []
        self._order = count()

    @property
    def new(self) -> int:
        """How many rows wait to be sent for the first time."""
        return len(self._new)

    def add(self, row: Row) -> None:
        """Send a row after the other new ones."""
        self._new.append(Work(row, History(in_doubt=row.in_doubt)))

    def put_back(self, work: Work, *, due: float) -> None:
        """Send a row again, not before a monotonic reading."""
        heapq.heappush(self._retries, (due, next(self._order), work))

    @property
    def is_empty(self) -> bool:
        """Whether no row is left, neither new nor waiting, and none will be added."""
        return not self._retries and not self._new and not self._expects_more()

    def due(self, *, now: float) -> float:
        """Seconds until a row can be sent: 0 now, infinity when none is left."""
        while self._retries and self._retries[0][0] <= now:
            if not self._take_away(self._retries[0][2], now):
                return 0.0
            heapq.heappop(self._retries)
        while self._has_new:
            if not self._take_away(self._new[0], now):
                return 0.0
            self._new.popleft()
        return self._retries[0][0] - now if self._retries else math.inf

    def take(self, *, now: float) -> Work:
        """The row that is sent next. Only while ``due`` is 0."""
        if not self._retries or self._retries[0][0] > now or (self._is_turn_of_new and self._has_new):
            self._is_turn_of_new = False
            return self._new.popleft()
        self._is_turn_of_new = self._in_turn
        return heapq.heappop(self._retries)[2]

    def due_untried(self, *, now: float) -> float:
        """Seconds until a row can be sent that was never sent: 0 now, infinity while there is none."""
        while self.has_untried:
            if not self._take_away(self._new[self._last_untried], now):
                return 0.0
            del self._new[self._last_untried]
        return math.inf

    def take_untried(self) -> Work:
        """A row for the probe of an outage. Only while ``due_untried`` is 0.

        One that was tried may be what fails, and so may its neighbours: sources are sorted. So it is the last one read.
        """
        index = self._last_untried
        work = self._new[index]
        del self._new[index]
        return work

    @property
    def has_untried(self) -> bool:
        """Whether a row is left that was never sent, in this run or another."""
        return self._has_new and not all(work.row.in_doubt for work in self._new)

    @property
    def expects_untried(self) -> bool:
        """Whether there is such a row, or may be soon."""
        return self.has_untried or self._awaits_new()

    @property
    def _last_untried(self) -> int:
        return max(index for index, work in enumerate(self._new) if not work.row.in_doubt)

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
        return bool(self._new) and len(self._retries) < self._most_retries and self._may_take_new()
