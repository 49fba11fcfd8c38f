"""Sending rows: when an attempt may start, on which connection, and what a response means for its row and the run.

It is given a ledger, a service that executes operations, and a rate limiter, and knows none of their implementations.
"""

from dataclasses import dataclass, field

from batch_alias.sending.breaker import BreakerRules
from batch_alias.sending.controller import ControllerRules
from batch_alias.sending.retry import Backoff


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long sending waits for what; in seconds.

    Attributes:
        backoff: Waits between the attempts of a row.
        controller: Reaction to refusals by the rate limit.
        breaker: Reaction to an outage.
        switch_interval: Least time between two switches of hosts.
        grace: Most time for the attempts under way once the run stops: under the ten seconds after which
            ``docker stop`` kills, with time left to write the reports.
        idle: Time after which an unused connection is closed. RongCloud asks for under 55.
        tick: Most time between two looks at the clock.
        most_retries: Most rows (not seconds) waiting to be sent again; beyond it no new rows are taken.
    """

    backoff: Backoff = field(default_factory=Backoff)
    controller: ControllerRules = field(default_factory=ControllerRules)
    breaker: BreakerRules = field(default_factory=BreakerRules)
    switch_interval: float = 30.0
    grace: float = 5.0
    idle: float = 45.0
    tick: float = 1.0
    most_retries: int = 10_000
