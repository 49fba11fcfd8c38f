"""What a run has done so far, counted as it happens: totals, each second, latencies, the busiest second."""

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Protocol

from batch_alias.model import Action, Reply, State, Verdict

LATENCY_STEP = 1.05
"""Ratio of two neighbouring bounds of the latency histogram: a percentile is exact to 5 %."""


def latency_bucket(seconds: float) -> int:
    """The histogram's bucket of a latency; bucket ``n`` reaches up to ``1.05 ** n`` milliseconds."""
    return max(0, math.ceil(math.log(max(seconds * 1000, 1e-9), LATENCY_STEP)))


@dataclass(slots=True)
class Second:
    """What happened in one second of the wall clock.

    Attributes:
        at: Whole seconds since the epoch.
        requests: Attempts started.
        retries: Those among them that were not the first for their row in this run.
        refusals: Answers "over the limit".
        settled: Rows that ended, by state.
        codes: Replies by RongCloud's code, ``HTTP nnn`` or the kind of failure.
        latencies: Replies by latency bucket.
    """

    at: int
    requests: int = 0
    retries: int = 0
    refusals: int = 0
    settled: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)


class SecondLog(Protocol):
    """Where finished seconds are kept."""

    def record_second(self, second: Second, *, busiest: int) -> None:
        """Keep a second, and the busiest sliding second of the run so far."""


class Meter:
    """Counts, and hands each second on when it is over.

    Args:
        log: Where finished seconds are kept.
    """

    def __init__(self, log: SecondLog) -> None:
        self._log = log
        self._second: Second | None = None
        self._starts: deque[float] = deque()
        self.requests = 0
        self.settled: Counter[State] = Counter()
        self.busiest = 0

    def started(self, *, retry: bool, wall: float, now: float) -> None:
        """Count an attempt that starts: ``wall`` since the epoch, ``now`` monotonic, both in seconds."""
        second = self._at(wall)
        second.requests += 1
        second.retries += retry
        self.requests += 1
        starts = self._starts
        starts.append(now)
        while starts[0] <= now - 1:
            starts.popleft()
        self.busiest = max(self.busiest, len(starts))

    def replied(self, reply: Reply, verdict: Verdict, *, wall: float) -> None:
        """Count a reply."""
        second = self._at(wall)
        second.codes[describe(reply)] += 1
        second.latencies[latency_bucket(reply.latency)] += 1
        second.refusals += verdict.action is Action.SLOW_DOWN

    def settle(self, state: State, *, wall: float) -> None:
        """Count a row that has ended."""
        self._at(wall).settled[state] += 1
        self.settled[state] += 1

    def recent_rate(self, *, now: float) -> int:
        """Attempts started in the last second."""
        return sum(1 for start in self._starts if start > now - 1)

    def flush(self) -> None:
        """Hand on the second under way."""
        if self._second is not None:
            self._log.record_second(self._second, busiest=self.busiest)
            self._second = None

    def _at(self, wall: float) -> Second:
        at = int(wall)
        if self._second is None or self._second.at != at:
            self.flush()
            self._second = Second(at)
        return self._second


def describe(reply: Reply) -> str:
    """A reply in one word, for counting: the code, the HTTP status where there is none, or what failed."""
    if reply.failure is not None:
        return reply.failure.value
    return str(reply.code) if reply.code is not None else f"HTTP {reply.status}"
