"""Sending rows: when an attempt may start, on which connection, and what a response means for its row and the run.

It is given a ledger, a service that executes operations, and a rate limiter, and knows none of their implementations.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from batch_alias.model import Call, Event, Operation, Permission, Response
from batch_alias.sending.controller import BreakerRules, ControllerRules, RateController
from batch_alias.sending.retry import Backoff

Observer = Callable[[Event], None]
"""Called with each event of a run, from the event loop's thread."""
HARMLESS = Operation(call=Call.READ, group_id="batch-alias", user_id="batch-alias")
"""Well-formed, and changes nothing: when it is refused, a setting is wrong."""


def ignore(_event: Event) -> None:
    """Observe nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long sending waits for what; in seconds."""

    backoff: Backoff = field(default_factory=Backoff)
    controller: ControllerRules = field(default_factory=ControllerRules)
    breaker: BreakerRules = field(default_factory=BreakerRules)
    first_timeout: float = 5.0  # most for a row's first attempt, see rongcloud.client.FIRST_SECONDS
    switch_interval: float = 30.0  # least between two switches of hosts
    # Most for the attempts under way once the run stops: `docker stop` kills after ten, and reports are to be written.
    grace: float = 5.0
    idle: float = 45.0  # until an unused connection is closed; RongCloud asks for under 55
    tick: float = 1.0  # most between two looks at the clock
    most_retries: int = 10_000  # rows waiting to be sent again; beyond it no new rows are taken
    heartbeat: float = 5.0  # between two signs of life of a worker
    stalled: float = 25.0  # without one until a worker's rows are given to others
    sweep: float = 3.0  # between two looks for such workers
    # A worker that helps gives its rows back in an outage of so many seconds: it may be that only it cannot reach the
    # service. It takes some again after a rest.
    outage: float = 10.0
    rest: float = 30.0


class Connection(Protocol):
    """Executes one operation at a time."""

    async def execute(
        self, operation: Operation, *, first: bool = False, permission: Permission | None = None
    ) -> Response:
        """Make one attempt, the first one for its row or a later one; whatever goes wrong is in the response.

        The permission is renewed before it is sent if it had to wait for its connection.
        """

    async def aclose(self) -> None:
        """Close the connection."""


class Service(Protocol):
    """What sending needs of the client."""

    def connect(self) -> Connection:
        """One more connection."""

    def leave(self, host: str) -> None:
        """Move from a host to the other one, if there is one and that has not happened yet."""

    def extend(self, seconds: float) -> None:
        """Give all attempts under way so much more time."""


class RateLimiter(Protocol):
    """The promise of the rate."""

    @property
    def busiest(self) -> int:
        """Most attempts that started within any sliding second."""

    def controller(self, rate: float, rules: ControllerRules) -> RateController:
        """What lowers the rate, at most so many attempts per second, while the service refuses requests."""

    async def acquire(self) -> Permission | None:
        """Wait until an attempt may start: about a second at most, since a stop waits as long; ``None`` if none may."""
