"""The rate controller: how fast to send while the rate limit refuses (pure).

Multiplicative decrease, additive increase. RongCloud counts its limit per App Key, so other services of the same app
share it, and how long a refusal lasts is not documented. A refusal therefore pauses sending for a moment and lowers the
rate to a little below what was granted in the second before, within bounds; each second without one raises it a little,
slowly at first, since the quota that was just refused is probably still in use.
"""

from collections import deque
from dataclasses import dataclass

FLOOR = 0.02
"""Share of the full rate that is always tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerRules:
    """The numbers; times are in seconds."""

    of_granted: float = 0.95  # of the requests granted in the last second, to go on with after a refusal
    least_cut: float = 0.95  # factor by which a single refusal lowers the rate
    deepest_cut: float = 0.3  # factor by which refusals lower the rate at most
    window: float = 1.0  # that the server's limit probably looks back
    pause: float = 0.1  # without any attempt after a refusal that names no time
    longest_pause: float = 300.0  # that a server's Retry-After is honoured
    climb: float = 0.005  # of the full rate, gained per second
    fast_climb: float = 0.02  # the same once `patience` has passed without a refusal
    patience: float = 15.0  # after which the quota is assumed to be free again
    restart: float = 0.1  # of the full rate, at which sending begins again after an outage
    ramp: float = 0.1  # of the full rate, gained per second after an outage


class RateController:
    """The rate now, in attempts per second, between a floor and the full one. Times are monotonic readings."""

    def __init__(self, rate: float, rules: ControllerRules) -> None:
        self._full = rate
        self._rules = rules
        self._now = rate
        self._cut_at: float | None = None
        self._climbed_at = 0.0
        self._ramping = False
        self._granted: deque[float] = deque()
        self.paused_until = 0.0

    @property
    def rate(self) -> float:
        """Attempts per second now."""
        return self._now

    @property
    def lowered(self) -> bool:
        """Whether the rate is below the full one."""
        return self._now < self._full

    def granted(self, *, now: float) -> None:
        """Note a response that the limit did not refuse."""
        self._granted.append(now)
        while self._granted[0] <= now - 1:
            self._granted.popleft()

    def refused(self, *, started: float, now: float, retry_after: float | None) -> bool:
        """Note a refusal by the limit of an attempt that started at a reading; return whether the rate was lowered."""
        rules = self._rules
        pause = rules.pause if retry_after is None else min(retry_after, rules.longest_pause)
        # Attempts that were under way at the cut were sent at the old rate: their refusals ask for no further pause.
        if self._cut_at is None or started > self._cut_at or retry_after is not None:
            self.paused_until = max(self.paused_until, now + pause)
        if self._cut_at is not None and started <= self._cut_at + rules.window:
            return False
        granted = sum(1 for at in self._granted if at > now - 1)
        lower = min(max(rules.of_granted * granted, rules.deepest_cut * self._now), rules.least_cut * self._now)
        self._now = max(self._full * FLOOR, lower)
        self._cut_at = self._climbed_at = now
        self._ramping = False
        return True

    def restart(self, *, now: float) -> None:
        """Begin again at a low rate after an outage."""
        self._now = max(self._full * FLOOR, self._full * self._rules.restart)
        self._climbed_at = now
        self._ramping = True

    def climb(self, *, now: float) -> None:
        """Raise the rate for the whole seconds that have passed since it last changed."""
        if not self.lowered:
            return
        seconds = int(now - max(self._climbed_at, self.paused_until))
        if seconds < 1:
            return
        rules = self._rules
        if self._ramping:
            step = rules.ramp
        elif self._cut_at is not None and now - self._cut_at < rules.patience:
            step = rules.climb
        else:
            step = rules.fast_climb
        self._now = min(self._full, self._now + step * self._full * seconds)
        self._climbed_at = now
        if not self.lowered:
            self._ramping = False
            self._cut_at = None
