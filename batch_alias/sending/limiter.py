"""The rate limiter: never more than N attempts start in any one second, the first included.

aiolimiter's bucket takes a burst of ``b`` at once and leaks ``r`` per second, so at most ``b + r`` (rounded down) fit
into any second. The obvious ``AsyncLimiter(100, 1)`` is a burst of 100 leaking at 100: it lets 199 through in its first
second. ``AsyncLimiter(1, 0.01)`` has no burst and loses every millisecond that a timer is late: it reaches 86 to 97.

Hence the arithmetic below: the burst forgives a timer that is 3 ms late, and the leak takes the burst back, less one
per cent of a second for attempts that start apart and arrive together:

    b = 1 + 0.003 * N      r = 0.985 * N        b + r = 1 + 0.988 * N, which is below N + 1
"""

from aiolimiter import AsyncLimiter

LATE = 0.003
"""Seconds by which a timer may be late without a loss of rate."""
LEAK = 0.985
"""Share of the rate at which the bucket leaks."""


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

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._limiter = AsyncLimiter(*_bucket(rate))

    async def acquire(self) -> None:
        """Wait until an attempt may start."""
        await self._limiter.acquire()

    async def change(self, rate: float) -> None:
        """Continue at another rate. The new bucket begins full, so that a change allows no burst."""
        if rate == self.rate:
            return
        self.rate = rate
        self._limiter = AsyncLimiter(*_bucket(rate))
        await self._limiter.acquire(self._limiter.max_rate)


def _bucket(rate: float) -> tuple[float, float]:
    """aiolimiter's ``max_rate`` and ``time_period`` that keep the promise."""
    burst = 1 + LATE * rate
    return burst, burst / (LEAK * rate)
