"""Sending rows: when an attempt may start, on which connection, and what a response means for its row and the run.

It is given a ledger, a service that executes operations, and a rate limiter, and knows none of their implementations.
"""

from dataclasses import dataclass, field

from batch_alias.sending.controller import BreakerRules, ControllerRules
from batch_alias.sending.retry import Backoff


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
