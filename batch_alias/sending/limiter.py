"""The rate limiter: never more than N attempts start in any one second, the first included.

Two things are kept apart. The promise is an exact guard over the last N starts. Below it aiolimiter's bucket spaces the
starts evenly: it leaks a little less than N per second, and its burst forgives a timer that is late. Alone it could not
keep the promise: a bucket that takes a burst of ``b`` and leaks ``r`` per second lets ``b + r`` through in its first
second, ``AsyncLimiter(100, 1)`` 199; and without a burst it loses every millisecond that a timer is late.
"""

import asyncio
from collections import deque
from contextlib import suppress

from aiolimiter import AsyncLimiter

from batch_alias.model import Permission
from batch_alias.sending.controller import ControllerRules, RateController

LATE = 0.05
"""Seconds by which timers may be late without a loss of rate."""
LEAK = 0.985
"""Share of the rate at which the bucket leaks."""
WINDOW = 1.01
"""Seconds in which at most N attempts start: more than one, for attempts that start apart and arrive together."""


def sending_seconds(rows: int, rate: float) -> float:
    """How long sending takes when every row is accepted at once."""
    return rows / (rate * LEAK)


class LastSecond:
    """The starts of the last second.

    Attributes:
        busiest: Most starts within any sliding second.
    """

    def __init__(self) -> None:
        self._starts: deque[float] = deque()
        self.busiest = 0

    def add(self, start: float) -> None:
        """Note a start that happens now."""
        self._starts.append(start)
        while self._starts[0] <= start - 1:
            self._starts.popleft()
        self.busiest = max(self.busiest, len(self._starts))

    def remove(self, start: float) -> None:
        """Note that one has not happened after all; ``busiest`` stays."""
        with suppress(ValueError):  # it was long ago
            self._starts.remove(start)


class RateLimiter:
    """Permits one attempt at a time.

    Args:
        rate: Attempts per second that are never exceeded.
    """

    def __init__(self, rate: int) -> None:
        burst = 1 + LATE * rate
        self._bucket = AsyncLimiter(burst, burst / (LEAK * rate))
        self.last_starts: deque[float] = deque(maxlen=rate)
        self.last_second = LastSecond()

    @property
    def busiest(self) -> int:
        """Most starts within any sliding second."""
        return self.last_second.busiest

    def controller(self, rate: float, rules: ControllerRules) -> RateController:
        """What lowers the rate while the service refuses requests."""
        return RateController(rate, rules)

    async def acquire(self) -> Permission:
        """Wait until an attempt may start: at once, or else the permission must be given back and renewed."""
        await self._bucket.acquire()
        permission = _Permission(self)
        await permission.renew()
        return permission


class _Permission:
    """A start, noted among the last ones."""

    __slots__ = ("_limiter", "_start")

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self._start = 0.0

    def give_back(self) -> None:
        with suppress(ValueError):  # it was long ago
            self._limiter.last_starts.remove(self._start)
        self._limiter.last_second.remove(self._start)

    async def renew(self) -> None:
        # The bucket is not asked again: it has spaced this attempt already.
        starts = self._limiter.last_starts
        now = asyncio.get_running_loop().time()
        while len(starts) == starts.maxlen and (wait := starts[0] + WINDOW - now) > 0:
            await asyncio.sleep(wait)
            now = asyncio.get_running_loop().time()
        self._start = now
        starts.append(now)
        self._limiter.last_second.add(now)
