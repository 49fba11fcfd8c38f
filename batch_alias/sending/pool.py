"""Lanes: connections that are open_job as the latency demands, and closed when they stand idle.

At 100 attempts per second and a latency of 50 ms five lanes are enough; at 2 s it takes 200. The lane that was used
last is used next, so that the others fall idle and can be closed.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from batch_alias.model import Response, Row, Classification


class Connection(Protocol):
    """Something that sets one alias at a time."""

    async def set_alias(self, row: Row) -> tuple[Response, Classification]:
        """Make one attempt."""

    async def aclose(self) -> None:
        """Close the connection."""


@dataclass(slots=True)
class PooledConnection:
    """One connection and when it was last used (a monotonic reading)."""

    connection: Connection
    used_at: float


class ConnectionPool:
    """The pool of lanes.

    Args:
        connect: Opens one more connection.
        most: Most lanes at once.
    """

    def __init__(self, connect: Callable[[], Connection], *, most: int) -> None:
        self._connect = connect
        self._most = most
        self._idle: deque[PooledConnection] = deque()
        self.busy = 0

    @property
    def is_full(self) -> bool:
        """Whether every permitted lane is busy."""
        return self.busy >= self._most

    def take(self, *, now: float) -> PooledConnection:
        """The idle lane used last, or a new one. Only while the pool is not full."""
        self.busy += 1
        return self._idle.pop() if self._idle else PooledConnection(self._connect(), now)

    def give_back(self, lane: PooledConnection, *, now: float) -> None:
        """Return a lane whose attempt has ended."""
        self.busy -= 1
        lane.used_at = now
        self._idle.append(lane)

    async def close_idle(self, *, before: float) -> None:
        """Close the lanes that were last used before a monotonic reading."""
        while self._idle and self._idle[0].used_at < before:
            await self._idle.popleft().connection.aclose()

    async def aclose(self) -> None:
        """Close all idle lanes."""
        while self._idle:
            await self._idle.popleft().connection.aclose()
