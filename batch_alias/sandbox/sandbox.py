"""The sandbox as its users hold it: one emulated app of RongCloud's, its faults and its statistics."""

import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from batch_alias.sandbox.emulator import Emulator, Rules, Write, in_last_second
from batch_alias.sandbox.faults import Effect, FaultPlan, Faults, apply
from batch_alias.sandbox.messages import Key, Request
from batch_alias.settings import Secret

MAX_USES = 79  # RongCloud asks for less than 80 requests on one connection
NO_ANSWER = "none"


@dataclass(slots=True, kw_only=True)
class Stats:
    """Exact counts since the sandbox was created; what ``GET /sandbox/stats`` answers.

    Attributes:
        requests: Requests that arrived whole, without those for the sandbox's own pages.
        refusals: Responses over the limit: RongCloud's 1008 and the gateway's 429.
        answers: Responses by RongCloud's code, ``http-502`` and the like where there is none, and ``none`` for requests
            that got no whole response.
        busiest_second: Most requests that arrived in any sliding second, all paths together.
        in_flight: Requests that were neither answered nor lost with their connection so far.
        most_in_flight_for_one_key: Most requests in flight for one (group, user).
        keys_set_again: Keys set again while an alias was held for them.
        connections_over_79: Connections that carried 80 requests or more.
        longest_idle: Longest time in seconds from a response to the next request on its connection; RongCloud asks for
            less than 55.
        long_nonces: Requests with a nonce longer than RongCloud documents.
    """

    requests: int = 0
    refusals: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    busiest_second: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    most_in_flight_for_one_key: int = 0
    aliases: int = 0
    sets: int = 0
    keys_set_again: int = 0
    connections_opened: int = 0
    connections_open: int = 0
    most_requests_on_a_connection: int = 0
    connections_over_79: int = 0
    longest_idle: float = 0.0
    long_nonces: int = 0


class Counters:
    """Counts requests in ``stats``; the server itself counts connections there."""

    def __init__(self) -> None:
        self.stats = Stats()
        self._arrivals: deque[float] = deque()
        self._by_key: Counter[Key] = Counter()

    def arrived(self, at: float, key: Key | None, *, uses: int = 1, idle: float = 0.0) -> None:
        """A request arrived, which is number ``uses`` on its connection, ``idle`` seconds after the last response."""
        stats = self.stats
        stats.requests += 1
        stats.in_flight += 1
        stats.most_in_flight = max(stats.most_in_flight, stats.in_flight)
        self._arrivals.append(at)
        stats.busiest_second = max(stats.busiest_second, in_last_second(self._arrivals, at))
        if key is not None:
            self._by_key[key] += 1
            stats.most_in_flight_for_one_key = max(stats.most_in_flight_for_one_key, self._by_key[key])
        stats.most_requests_on_a_connection = max(stats.most_requests_on_a_connection, uses)
        stats.connections_over_79 += uses == MAX_USES + 1
        stats.longest_idle = max(stats.longest_idle, idle)

    def answered(self, answer: str) -> None:
        """A request is answered, or is not going to be; ``answer`` is as in ``Stats.answers``."""
        self.stats.answers[answer] = self.stats.answers.get(answer, 0) + 1
        self.stats.refusals += answer in {"1008", "http-429"}

    def left(self, key: Key | None) -> None:
        """A request is not in flight any more."""
        self.stats.in_flight -= 1
        if key is not None:
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]


@dataclass(slots=True)
class _Progress:
    plan: FaultPlan
    requests: int = 0
    began: float | None = None


class Sandbox:
    """One emulated app of RongCloud's. Reading it and setting its faults is safe from any thread.

    It outlives its server: served again, it still holds its aliases.

    Args:
        rules: What it enforces.
        faults: How it fails.
        app_key: Its App Key; ``None`` generates one.
        app_secret: Its App Secret; ``None`` generates one.
        now: Its clock, in seconds since the epoch: for ``Date`` and ``Rules.max_skew``.
        on_write: Called with every accepted change, in order, in the server's thread.

    Attributes:
        url: Where it is served, or was last, without a path; empty before.
        emulator: The service without its faults.
        counters: Where the server reports requests and connections.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        faults: FaultPlan | None = None,
        *,
        app_key: str | None = None,
        app_secret: Secret | None = None,
        now: Callable[[], float] = time.time,
        on_write: Callable[[Write], None] | None = None,
    ) -> None:
        self.app_key = app_key or secrets.token_hex(7)
        self.app_secret = app_secret or Secret(secrets.token_hex(10))
        self.now = now
        self.url = ""
        self.counters = Counters()
        self.emulator = Emulator(self.app_key, self.app_secret, rules or Rules(), on_write)
        self._progress = _Progress(faults or Faults())

    @property
    def faults(self) -> FaultPlan:
        """How it fails. May be set at any time: the plan starts anew with the next request."""
        return self._progress.plan

    @faults.setter
    def faults(self, plan: FaultPlan) -> None:
        self._progress = _Progress(plan)

    def stats(self) -> Stats:
        """A copy of the counts as they are now."""
        emulator, stats = self.emulator, self.counters.stats
        return replace(
            stats,
            answers=dict(stats.answers),
            aliases=len(emulator.aliases),
            sets=emulator.sets,
            keys_set_again=len(emulator.repeated),
            long_nonces=emulator.long_nonces,
        )

    def aliases(self) -> dict[Key, str]:
        """A copy of the aliases held: ``(group_id, user_id)`` to remark."""
        return dict(self.emulator.aliases)

    def handle(self, request: Request) -> tuple[float, Effect]:
        """Draw the fault of a request and carry it out; returns the latency, and what the server does after it."""
        progress = self._progress
        if progress.began is None:
            progress.began = request.at
        draw = progress.plan.draw(progress.requests, request.at - progress.began)
        progress.requests += 1
        return draw.latency, apply(draw.fault, request, self.emulator.handle)
