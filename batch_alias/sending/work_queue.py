"""Which row goes next: retries that are due, then pending rows streamed from the ledger."""

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from batch_alias.model import Row
from batch_alias.sending.retry import History

PAGE = 1000
"""Rows read from the ledger at once: 0.7 ms, and under 1 MB."""


class PendingRows(Protocol):
    """Where the rows come from."""

    def pending(self, *, after: int, most: int) -> list[Row]:
        """The next rows to send whose number is above ``after``, in their order."""


@dataclass(frozen=True, slots=True)
class Work:
    """A row on its way and what it has been through."""

    row: Row
    history: History = field(default_factory=History)


class WorkQueue:
    """The rows that wait, in bounded memory.

    Args:
        source: Where the rows come from.
        limit: Most rows to take from it; ``None`` takes all.
        most_retries: Most rows waiting to be sent again; beyond it no new rows are taken.
    """

    def __init__(self, source: PendingRows, *, limit: int | None, most_retries: int) -> None:
        self._source = source
        self._left = math.inf if limit is None else limit
        self._most_retries = most_retries
        self._page: deque[Row] = deque()
        self._last = 0
        self._retries: list[tuple[float, int, Work]] = []
        self._order = count()
        self._first: set[int] = set()

    def put_first(self, rows: list[Row]) -> None:
        """Let some rows go before all others; one of them that is sent again goes before the rest of them."""
        self._first.update(row.number for row in rows)
        self._page.extend(rows)

    def put_back(self, work: Work, *, due: float) -> None:
        """Let a row wait until a monotonic reading, then go again."""
        heapq.heappush(self._retries, (due, next(self._order), work))

    @property
    def waiting(self) -> int:
        """How many rows wait to be sent again."""
        return len(self._retries)

    @property
    def is_empty(self) -> bool:
        """Whether no row is left, waiting or new."""
        return not self._retries and not self._has_new()

    def due(self, *, now: float) -> float:
        """Seconds until a row can go: 0 at once, infinity when none is left."""
        if self._retries and self._retries[0][0] <= now:
            return 0.0
        if self._has_new():
            return 0.0
        return self._retries[0][0] - now if self._retries else math.inf

    def take(self, *, now: float, new_first: bool = False) -> Work:
        """The row that goes next. Only while ``due`` is 0.

        Args:
            now: A monotonic reading in seconds.
            new_first: Take a new row if there is one: the probe of an outage, for which a row that has been sent may be
                the very one that the service chokes on.
        """
        retry_is_due = self._retries and self._retries[0][0] <= now
        if retry_is_due and not (new_first and self._has_new()):
            return heapq.heappop(self._retries)[2]
        self._left -= 1
        return Work(self._page.popleft())

    def _has_new(self) -> bool:
        if self._left <= 0 or len(self._retries) >= self._most_retries:
            return False
        while not self._page:
            rows = self._source.pending(after=self._last, most=PAGE)
            if not rows:
                self._left = 0
                return False
            self._last = rows[-1].number
            self._page.extend(row for row in rows if row.number not in self._first)
        return True
