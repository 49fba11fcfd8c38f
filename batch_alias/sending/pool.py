"""The connection pool: connections are opened as the latency demands, and closed when they are idle.

At 100 attempts per second and a latency of 50 ms five connections are enough; at 2 s it takes 200. The one used last is
used next, so that the others become idle and can be closed.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from batch_alias.model import Operation, Response


class Connection(Protocol):
    """Executes one operation at a time."""

    async def execute(self, operation: Operation) -> Response:
        """Make one attempt; whatever goes wrong is in the response."""

    async def aclose(self) -> None:
        """Close the connection."""


@dataclass(slots=True)
class PooledConnection:
    """A connection and when it was last used (a monotonic reading)."""

    connection: Connection
    used_at: float


class ConnectionPool:
    """Connections that are in use or idle.

    Args:
        connect: Makes one more connection.
        most: Most connections in use at once.
    """

    def __init__(self, connect: Callable[[], Connection], *, most: int) -> None:
        self._connect = connect
        self._most = most
        self._idle: deque[PooledConnection] = deque()
        self.in_use = 0

    @property
    def is_full(self) -> bool:
        """Whether every permitted connection is in use."""
        return self.in_use >= self._most

    def acquire(self, *, now: float) -> PooledConnection:
        """The idle connection that was used last, or a new one. Only while the pool is not full."""
        self.in_use += 1
        return self._idle.pop() if self._idle else PooledConnection(self._connect(), now)

    def release(self, pooled: PooledConnection, *, now: float) -> None:
        """Return a connection whose attempt has ended."""
        self.in_use -= 1
        pooled.used_at = now
        self._idle.append(pooled)

    async def close_idle(self, *, before: float) -> None:
        """Close the connections that were last used before a monotonic reading."""
        while self._idle and self._idle[0].used_at < before:
            await self._idle.popleft().connection.aclose()

    async def aclose(self) -> None:
        """Close all idle connections."""
        while self._idle:
            await self._idle.popleft().connection.aclose()
