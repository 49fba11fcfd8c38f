"""Short waits."""

from dataclasses import replace

from batch_alias.sending import Timing
from batch_alias.sending.controller import BreakerRules, ControllerRules
from batch_alias.sending.retry import Backoff
from tests.support.processes import DEADLINE

FAST = Timing(
    backoff=Backoff(base=0.02, cap=0.2),
    controller=ControllerRules(fast_climb=9.0),
    breaker=BreakerRules(first_interval=0.05, longest_interval=0.4),
    first_timeout=DEADLINE,
    switch_interval=0.5,
    grace=2.0,
    tick=0.1,
)
"""Waits of seconds instead of minutes, and no attempt that a machine that stands still could end."""
QUICK = replace(FAST, heartbeat=0.5, stalled=3.0, sweep=0.5, outage=1.0, rest=2.0)
"""The same, and workers that are taken for dead after seconds."""
