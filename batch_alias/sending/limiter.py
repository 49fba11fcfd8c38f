"""The promise of the pace: never more than N attempts start in any one second, the first included.

aiolimiter's bucket takes a burst of ``b`` at once and leaks ``r`` per second, so at most ``b + r`` (rounded down) fit
into any second. The obvious ``AsyncLimiter(100, 1)`` is a burst of 100 leaking at 100: it lets 199 through in its first
second. ``AsyncLimiter(1, 0.01)`` has no burst and loses every millisecond that a timer is late: it reaches 86 to 97.

Hence the arithmetic below: the burst forgives a timer that is 3 ms late, and the leak takes the burst back, less one
per cent of a second for attempts that start apart and arrive together:

    b = 1 + 0.003 * N      r = 0.985 * N        b + r = 1 + 0.988 * N, which is below N + 1
"""

from aiolimiter import AsyncLimiter

LATE = 0.003
"""Seconds by which a timer may be late without a loss of pace."""
LEAK = 0.985
"""Share of the rate at which the bucket leaks."""


class RateLimiter:
    """Hands out one token per attempt.

    The promise holds while tokens are used at once: who waits for something else between ``acquire`` and the start of
    the attempt must take a new token.

    Args:
        rate: Attempts per second that are never exceeded.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._limiter = AsyncLimiter(*_bucket(rate))

    @property
    def rate(self) -> float:
        """Attempts per second that are never exceeded."""
        return self._rate

    async def acquire(self) -> None:
        """Wait for a token."""
        await self._limiter.acquire()

    async def change(self, rate: float) -> None:
        """Continue at another rate. Without a gift: the new bucket begins full, so a change brings no burst."""
        if rate == self._rate:
            return
        self._rate = rate
        self._limiter = AsyncLimiter(*_bucket(rate))
        await self._limiter.acquire(self._limiter.max_rate)


def _bucket(rate: float) -> tuple[float, float]:
    """aiolimiter's ``max_rate`` and ``time_period`` that keep the promise."""
    burst = 1 + LATE * rate
    return burst, burst / (LEAK * rate)
