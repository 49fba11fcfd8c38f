"""Which of a data centre's two hosts is in use, for all connections together (pure).

RongCloud's SDKs switch to the other host on a failure to connect, a timeout, a 5xx or a gateway's page, never on a 4xx
or a refusal by the rate limit, and at most once in 30 seconds.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

SWITCH_INTERVAL = 30.0
"""Least seconds between two switches."""


class Hosts:
    """One or two base URLs, the primary first; at least ``interval`` seconds are between two switches."""

    def __init__(self, urls: Sequence[str], *, interval: float = SWITCH_INTERVAL) -> None:
        self.urls = tuple(url.rstrip("/") for url in urls)
        self._interval = interval
        self._index = 0
        self._switched_at: float | None = None
        self.switches = 0

    @property
    def current(self) -> str:
        """The base URL in use."""
        return self.urls[self._index]

    def report_unhealthy(self, url: str, *, now: float) -> bool:
        """Note that a request to a base URL failed; return whether the host was switched.

        A late response of a host that is no longer in use changes nothing.
        """
        if len(self.urls) < 2 or url != self.current:
            return False
        if self._switched_at is not None and now - self._switched_at < self._interval:
            return False
        self._switch(now)
        return True

    def alternate(self, host: str, *, now: float) -> bool:
        """Switch from a host, if it is in use, regardless of the interval: an outage's probes try both in turn."""
        if len(self.urls) < 2 or urlsplit(self.current).netloc != host:
            return False
        self._switch(now)
        return True

    def _switch(self, now: float) -> None:
        self._index = 1 - self._index
        self._switched_at = now
        self.switches += 1
