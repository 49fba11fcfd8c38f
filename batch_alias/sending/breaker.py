"""The circuit breaker: whether the service is down (pure).

A run of attempts in which the service failed, over several rows and without one success in between, is an outage:
nothing is sent but one probe at a time, at growing intervals, until one succeeds. A single row that the service cannot
process must not look like an outage, hence several rows.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """How many failures in a row, of how many different rows, make an outage; and how many seconds to each probe.

    Each interval is twice the one before.
    """

    failures: int = 20
    rows: int = 10
    first_interval: float = 1.0
    longest_interval: float = 30.0


class CircuitBreaker:
    """Closed while the service works, open during an outage. All times are monotonic readings in seconds."""

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._failures = 0
        self._rows: set[int] = set()
        self._interval = rules.first_interval
        self.opened_at: float | None = None
        self.next_probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is an outage."""
        return self.opened_at is not None

    def success(self) -> bool:
        """Note a response that shows a working service; return whether it ended an outage."""
        ended = self.is_open
        self._failures = 0
        self._rows.clear()
        self._interval = self._rules.first_interval
        self.opened_at = None
        return ended

    def failure(self, row: int, *, now: float) -> bool:
        """Note a failure of the service for the row of a number; return whether it began an outage."""
        if self.is_open:
            return False
        self._failures += 1
        self._rows.add(row)
        if self._failures < self._rules.failures or len(self._rows) < self._rules.rows:
            return False
        self.open(now=now)
        return True

    def open(self, *, now: float) -> None:
        """Begin an outage: the first probe follows after the first interval."""
        self.opened_at = now
        self.next_probe_at = now + self._interval

    def probe_failed(self, *, now: float) -> None:
        """Note a probe without success: the next one comes later."""
        self._interval = min(self._rules.longest_interval, self._interval * 2)
        self.next_probe_at = now + self._interval
