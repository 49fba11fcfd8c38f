"""What the service bears: the rate controller while it is congested, the circuit breaker while it is down (pure).

A lone refusal says little; their share says much. As DCTCP does with marked packets, the rate controller takes the
share of *signals* (refusals by the rate limit, 503, 504, timeouts) among the responses of a window and lowers the rate
in proportion to it, once per window. It climbs back fast while windows are clean, and slowly near the rate that was
refused. A queue in front of the service gives no signal until it is full, so the requests in flight are bounded too, by
what the rate needs at the latency of a service without a queue.
"""

import math
from dataclasses import dataclass

NOTABLE_PAUSE = 1.0
"""Seconds that a server must ask to wait to be notable,"""
NOTABLE_INTERVAL = 60.0
"""and seconds to the one before: a limit may ask to wait every other second, for hours."""
STOOD_STILL = 5.0
"""Seconds between two checks of the patience that show that this process stood still."""
LEAST_RESTART = 2.0
"""Attempts per second after an outage, unless the full rate is lower: slower, a window would take minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerRules:
    """The numbers: times in seconds, the others shares of the rate or of the responses."""

    window: float = 1.0  # over which the share of signals is taken,
    responses: int = 10  # or longer, until there are so many
    tolerated: float = 0.08  # signals that do not lower the rate,
    stray: int = 2  # nor do so few: in ten responses two are often noise
    deepest_cut: float = 0.7
    near: float = 0.2  # how far from the rate that was refused is near, to both sides
    slow_climb: float = 0.01  # for a clean window near the rate that was refused
    fast_climb: float = 0.2  # and elsewhere
    used: float = 0.75  # of the rate: if less was, nothing is known about a higher one
    floor: float = 0.02  # of the full rate: always tried
    restart: float = 0.1  # of the full rate: after an outage
    longest_pause: float = 300.0  # that a server's Retry-After is honoured
    most_in_flight: float = 5.0  # requests, as a multiple of the rate times the latency without a queue
    least_in_flight: int = 10
    remeasure: float = 5.0  # least time between two measurements of the latency without a queue


class RateController:
    """The rate now, between a floor and the full one. All times are monotonic readings in seconds."""

    def __init__(self, rate: float, rules: ControllerRules) -> None:
        self._full = rate
        self._rules = rules
        self.rate = rate  # attempts per second
        self.paused_until = 0.0  # the server has asked for it
        self._noted_at = -math.inf  # the last notable pause
        self._next_start = 0.0
        self._refused: float | None = None  # the rate that was lowered last
        self._clean = 0.0  # the rate in the window before, if it had no more signals than tolerated
        self._since = 0.0  # responses to attempts that started before say nothing about the rate now
        self._opened_at = 0.0
        self._signals = self._responses = 0
        self._latency = UnqueuedLatency(rules.remeasure)

    @property
    def lowered(self) -> bool:
        """Whether the rate is below the full one."""
        return self.rate < self._full

    @property
    def next_start(self) -> float:
        """When the next attempt may start. At the full rate the rate limiter alone spaces attempts."""
        return max(self.paused_until, self._next_start) if self.lowered else self.paused_until

    def started(self, *, now: float) -> None:
        """Note an attempt that starts."""
        # A timer that was late is made up for, within 20 ms: more would be a burst.
        self._next_start = max(self._next_start + 1 / self.rate, now - 0.02)

    def may_start(self, in_flight: int, *, now: float) -> bool:
        """Whether one more request may be in flight."""
        most = self._latency.most_in_flight(in_flight, now=now)
        if most is None and self._latency.value is not None:
            needed = self._rules.most_in_flight * self.rate * self._latency.value
            most = max(self._rules.least_in_flight, math.ceil(needed))
        return most is None or in_flight < most

    def responded(self, *, signal: bool, started: float, now: float, latency: float | None) -> tuple[int, int] | None:
        """Note a response to an attempt that started at a reading; ``latency`` only if the service has worked on it.

        Returns:
            If the rate was lowered, how many signals among how many responses it was lowered for.
        """
        if latency is not None:
            self._latency.note(latency, started=started, now=now)
        if started < self._since:
            return None
        if not self._responses:
            self._opened_at = now
        self._responses += 1
        self._signals += signal
        if now - self._opened_at < self._rules.window or self._responses < self._rules.responses:
            return None
        return self._close_window(now)

    def asked_to_wait(self, seconds: float, *, now: float) -> bool:
        """Pause as the server has asked; return whether that is notable."""
        is_new = now >= self.paused_until and now - self._noted_at >= NOTABLE_INTERVAL and seconds >= NOTABLE_PAUSE
        if is_new:
            self._noted_at = now
        self.paused_until = max(self.paused_until, now + min(seconds, self._rules.longest_pause))
        return is_new

    def forget_refusals(self) -> None:
        """Climb fast again: what was refused beside other requests may be granted without them."""
        self._refused = None

    def restart(self, *, now: float) -> None:
        """Begin again at a low rate after an outage."""
        rules = self._rules
        self.rate = min(self._full, max(self._full * rules.restart, LEAST_RESTART))
        self._next_start = now
        self._refused, self._clean, self._since = None, 0.0, now
        self._signals = self._responses = 0
        self._latency = UnqueuedLatency(rules.remeasure)

    def _close_window(self, now: float) -> tuple[int, int] | None:
        rules, signals, responses = self._rules, self._signals, self._responses
        share, granted = signals / responses, (responses - signals) / (now - self._opened_at)
        self._signals = self._responses = 0
        if share <= rules.tolerated or signals <= rules.stray:
            # Only if the rate was used: the first responses of a run come to a window that is nearly empty.
            self._clean, self._since = self.rate if granted > self.rate / 2 else 0.0, now
            if granted > self.rate * rules.used:
                self._climb()
            return None
        lower = min(self.rate * (1 - share), 0.95 * granted)
        lower = max(lower, self.rate * (1 - rules.deepest_cut))
        lower = max(lower, self._clean * (1 - rules.tolerated))
        self._refused, self._clean = self.rate, 0.0
        self.rate = max(self._full * rules.floor, lower)
        # A limiter that looks back over a second goes on refusing for as long.
        self._since = now + rules.window
        return signals, responses

    def _climb(self) -> None:
        rules, refused = self._rules, self._refused
        fast = self.rate * (1 + rules.fast_climb)
        if refused is None:
            higher = fast
        elif refused * (1 - rules.near) <= self.rate < refused * (1 + rules.near):
            higher = self.rate * (1 + rules.slow_climb)
        elif self.rate < refused:
            higher = min(fast, refused * (1 - rules.near))
        else:
            higher = fast
        self.rate = min(self._full, higher)


class UnqueuedLatency:
    """The latency of a service without a queue in front of it: the least mean that was seen.

    When the mean is twice as high, there is a queue, or the service has become slower. To know which, the requests in
    flight are let end, and the next three responses show the latency. Neither is waited for longer than a few times the
    mean: a request may hang.
    """

    def __init__(self, remeasure: float) -> None:
        self._remeasure = remeasure
        self.value: float | None = None
        self._mean = 0.0
        self._measured_at = 0.0
        self._draining_since = 0.0
        self._drained_at: float | None = None  # infinity while requests are let end
        self._hanging = 0  # requests that did not end
        self._samples: list[float] = []

    def note(self, latency: float, *, started: float, now: float) -> None:
        """Note the latency of a response to an attempt that started at a reading."""
        if self._drained_at is not None:
            if started >= self._drained_at:
                self._samples.append(latency)
            if len(self._samples) == 3:
                self._measured(sum(self._samples) / 3, now=now)
        elif self.value is None:
            self.value, self._mean, self._measured_at = latency, latency, now
        else:
            self._mean += (latency - self._mean) * 0.05
            self.value = min(self.value, self._mean)

    def most_in_flight(self, in_flight: int, *, now: float) -> int | None:
        """Most requests in flight while the latency is measured; ``None`` while it is not."""
        if self._drained_at is None:
            if self.value is None or self._mean <= 2 * self.value or now - self._measured_at <= self._remeasure:
                return None
            self._draining_since, self._drained_at = now, math.inf
        if now - self._draining_since > 8 * self._mean:
            self._measured(self._mean, now=now)
            return None
        if self._drained_at == math.inf:
            if in_flight and now - self._draining_since <= 4 * self._mean:
                return 0
            self._drained_at, self._hanging = now, in_flight
        return self._hanging + 3

    def _measured(self, latency: float, *, now: float) -> None:
        self.value = self._mean = latency
        self._measured_at, self._drained_at, self._samples = now, None, []


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
    """Whether the service is down: closed while it works, open during an outage. Times are monotonic readings.

    A run of attempts in which the service failed, over several rows and without one success in between, is suspected to
    be an outage: nothing is sent but one probe, at once. If it fails, it is one, and more follow at growing intervals
    until one succeeds.
    """

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._failures = 0
        self._rows: set[int] = set()
        self._interval = 0.0
        self.is_open = False
        self.opened_at: float | None = None  # when the outage was confirmed
        self.next_probe_at = 0.0

    def success(self) -> bool:
        """Note a response that shows a working service; return whether it ended an outage."""
        ended = self.opened_at is not None
        self._failures, self._interval = 0, 0.0
        self._rows.clear()
        self.is_open, self.opened_at = False, None
        return ended

    def failure(self, row: int) -> bool:
        """Note a failure of the service for the row of a number; return whether an outage is to be suspected."""
        self._failures += 1
        self._rows.add(row)
        return self._failures >= self._rules.failures and len(self._rows) >= self._rules.rows

    def suspect(self, *, now: float) -> None:
        """Open, unless it is open already: the first probe follows at once."""
        if not self.is_open:
            self.is_open, self.next_probe_at = True, now

    def probe_failed(self, *, now: float) -> bool:
        """Note a probe without success; return whether it was the first: the outage is confirmed."""
        rules, is_first = self._rules, self.opened_at is None
        self._interval = min(rules.longest_interval, self._interval * 2) or rules.first_interval
        self.next_probe_at = now + self._interval
        if is_first:
            self.opened_at = now
        return is_first


class Patience:
    """For how many seconds nothing may make progress, 0 for ever. Times are monotonic readings.

    Time in which this process stood still does not count.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds or math.inf
        self._since: float | None = None
        self._checked_at = 0.0

    def renew(self, *, now: float) -> None:
        """Note progress."""
        self._since = now

    def is_used_up(self, *, now: float) -> bool:
        """Whether it is; counted from the first call or the last progress on."""
        if self._since is None:
            self._since = self._checked_at = now
        if now - self._checked_at > STOOD_STILL:
            self._since += now - self._checked_at
        self._checked_at = now
        return now - self._since >= self._seconds
