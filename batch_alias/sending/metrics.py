"""What a run has done so far, counted as it happens: totals, each second, latencies, the busiest second."""

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Protocol

from batch_alias.model import Action, Response, State, Classification
from batch_alias.records import LATENCY_STEP, Second


def latency_bucket(seconds: float) -> int:
    """The histogram's bucket of a latency."""
    return max(0, math.ceil(math.log(max(seconds * 1000, 1e-9), LATENCY_STEP)))


class SecondLog(Protocol):
    """Where finished seconds are kept."""

    def record_second(self, second: Second, *, busiest: int) -> None:
        """Keep a second, and the busiest sliding second of the run so far."""


@dataclass(slots=True)
class _Counts:
    """The second under way."""

    at: int
    requests: int = 0
    retries: int = 0
    refusals: int = 0
    settled: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)


class Metrics:
    """Counts, and hands each second on when it is over.

    Args:
        log: Where finished seconds are kept.
    """

    def __init__(self, log: SecondLog) -> None:
        self._log = log
        self._counts: _Counts | None = None
        self._starts: deque[float] = deque()
        self.requests = 0
        self.settled: Counter[State] = Counter()
        self.busiest = 0

    def started(self, *, retry: bool, wall: float, now: float) -> None:
        """Count an attempt that starts: ``wall`` since the epoch, ``now`` monotonic, both in seconds."""
        counts = self._at(wall)
        counts.requests += 1
        counts.retries += retry
        self.requests += 1
        starts = self._starts
        starts.append(now)
        while starts[0] <= now - 1:
            starts.popleft()
        self.busiest = max(self.busiest, len(starts))

    def replied(self, reply: Response, verdict: Classification, *, wall: float) -> None:
        """Count a reply."""
        counts = self._at(wall)
        counts.codes[describe(reply)] += 1
        counts.latencies[latency_bucket(reply.latency)] += 1
        counts.refusals += verdict.action is Action.SLOW_DOWN

    def settle(self, state: State, *, wall: float) -> None:
        """Count a row that has ended."""
        self._at(wall).settled[state] += 1
        self.settled[state] += 1

    def recent_rate(self, *, now: float) -> int:
        """Attempts started in the last second."""
        return sum(1 for start in self._starts if start > now - 1)

    def flush(self) -> None:
        """Hand on the second under way."""
        counts, self._counts = self._counts, None
        if counts is None:
            return
        second = Second(
            at=counts.at,
            requests=counts.requests,
            retries=counts.retries,
            refusals=counts.refusals,
            settled=counts.settled,
            codes=counts.codes,
            latencies=counts.latencies,
        )
        self._log.record_second(second, busiest=self.busiest)

    def _at(self, wall: float) -> _Counts:
        at = int(wall)
        if self._counts is None or self._counts.at != at:
            self.flush()
            self._counts = _Counts(at)
        return self._counts


def describe(reply: Response) -> str:
    """A reply in one word, for counting: the code, the HTTP status where there is none, or what failed."""
    if reply.failure is not None:
        return reply.failure.value
    return str(reply.code) if reply.code is not None else f"HTTP {reply.status}"
