"""The rate limiter: never more than N attempts start in any one second, the first included.

Two things are kept apart. The promise is an exact guard over the last N starts. Below it aiolimiter's bucket spaces the
starts evenly: it leaks a little less than N per second, and its burst forgives a timer that is late. Alone it could not
keep the promise: a bucket that takes a burst of ``b`` and leaks ``r`` per second lets ``b + r`` through in its first
second, ``AsyncLimiter(100, 1)`` 199; and without a burst it loses every millisecond that a timer is late.
"""

import asyncio
from collections import deque

from aiolimiter import AsyncLimiter

LATE = 0.05
"""Seconds by which timers may be late without a loss of rate."""
LEAK = 0.985
"""Share of the rate at which the bucket leaks."""
WINDOW = 1.01
"""Seconds in which at most N attempts start: more than one, for attempts that start apart and arrive together."""


def sending_seconds(rows: int, rate: float) -> float:
    """How long sending takes when every row is accepted at once."""
    return rows / (rate * LEAK)


class RateLimiter:
    """Permits one attempt at a time.

    The promise holds while permissions are used at once: after waiting for something else between ``acquire`` and the
    start of the attempt a new one must be acquired.

    Args:
        rate: Attempts per second that are never exceeded.
    """

    def __init__(self, rate: int) -> None:
        burst = 1 + LATE * rate
        self._bucket = AsyncLimiter(burst, burst / (LEAK * rate))
        self._starts: deque[float] = deque(maxlen=rate)

    async def acquire(self) -> None:
        """Wait until an attempt may start."""
        await self._bucket.acquire()
        now = asyncio.get_running_loop().time()
        while len(self._starts) == self._starts.maxlen and (wait := self._starts[0] + WINDOW - now) > 0:
            await asyncio.sleep(wait)
            now = asyncio.get_running_loop().time()
        self._starts.append(now)
