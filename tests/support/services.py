"""Services that bear less than the full rate.

Each is called with a monotonic reading when a request arrives, and returns how it responds, ``accepted`` or a code or
status that refuses, and the seconds until then. They can be pickled.
"""

import math
import random
from collections import deque
from dataclasses import dataclass, field


@dataclass
class Sliding:
    """Grants so many requests in any second."""

    grant: int
    latency: float
    count_refused: bool = True
    refuses_at_once: bool = False
    jitter: float = 0.0  # share by which the latency varies to both sides
    recent: deque[float] = field(default_factory=deque)
    draw: random.Random = field(default_factory=lambda: random.Random(1))

    def __call__(self, now: float) -> tuple[str, float]:
        while self.recent and now - self.recent[0] >= 1:
            self.recent.popleft()
        over = len(self.recent) >= self.grant
        if not over or self.count_refused:
            self.recent.append(now)
        latency = self.latency * self.draw.uniform(1 - self.jitter, 1 + self.jitter)
        return "1008" if over else "accepted", 0.0 if over and self.refuses_at_once else latency


@dataclass
class Gap:
    """Takes no two requests within 10 ms, as nginx does with ``limit_req`` of 100r/s and no burst."""

    refusal: str
    last: float = -math.inf

    def __call__(self, now: float) -> tuple[str, float]:
        if now - self.last < 0.01:
            return self.refusal, 0.0
        self.last = now
        return "accepted", 0.02


@dataclass
class Connections:
    """Works on 10 requests at once, 200 ms on each, and refuses the others: at most 50 a second."""

    refusal: str
    ends: list[float] = field(default_factory=list)

    def __call__(self, now: float) -> tuple[str, float]:
        self.ends = [end for end in self.ends if end > now]
        if len(self.ends) >= 10:
            return self.refusal, 0.0
        self.ends.append(now + 0.2)
        return "accepted", 0.2


@dataclass
class Queue:
    """Works on 25 requests a second, one after the other; lets 30 s of them wait, whether or not the client does."""

    free_at: float = 0.0

    def __call__(self, now: float) -> tuple[str, float]:
        if self.free_at - now > 30:
            return "503", 0.0
        self.free_at = max(self.free_at, now) + 1 / 25
        return "accepted", self.free_at - now
