"""The connection pool: connections are opened as the latency demands, and closed when they are idle.

At 100 attempts per second and a latency of 50 ms five connections are enough; at 2 s it takes 200. The one used last is
used next, so that the others become idle and can be closed.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from batch_alias.model import Operation, Response


class Connection(Protocol):
    """Executes one operation at a time."""

    async def execute(self, operation: Operation) -> Response:
        """Make one attempt; whatever goes wrong is in the response."""

    async def aclose(self) -> None:
        """Close the connection."""


class ConnectionPool:
    """At most so many connections in use at once, made by ``connect``, and idle ones."""

    def __init__(self, connect: Callable[[], Connection], *, most: int) -> None:
        self._connect = connect
        self._most = most
        self._idle: deque[tuple[float, Connection]] = deque()
        self.in_use = 0

    @property
    def is_full(self) -> bool:
        """Whether every permitted connection is in use."""
        return self.in_use >= self._most

    def acquire(self) -> Connection:
        """The idle connection that was used last, or a new one. Only while the pool is not full."""
        self.in_use += 1
        return self._idle.pop()[1] if self._idle else self._connect()

    def release(self, connection: Connection, *, now: float) -> None:
        """Return a connection whose attempt has ended at a monotonic reading."""
        self.in_use -= 1
        self._idle.append((now, connection))

    async def close_idle(self, *, before: float) -> None:
        """Close the connections that were last used before a monotonic reading; infinity closes all."""
        while self._idle and self._idle[0][0] < before:
            await self._idle.popleft()[1].aclose()
