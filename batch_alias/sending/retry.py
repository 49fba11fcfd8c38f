"""What to do with a row after a response: a pure decision."""

from dataclasses import dataclass, replace
from typing import assert_never

from batch_alias.model import Action, Classification, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential backoff with full jitter: wait a uniform share of ``min(cap, base * 2 ** failures)`` seconds.

    Full jitter spreads the retries of a burst of failures widest for the same mean wait.
    """

    base: float = 0.5
    cap: float = 30.0

    def wait(self, failures: int, draw: float) -> float:
        """Seconds to wait after the n-th failure (from 1), for a uniform ``draw`` from [0, 1)."""
        return draw * min(self.cap, self.base * 2.0 ** min(failures - 1, 60))


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The attempts made for a row in this run."""

    requests: int = 0
    failures: int = 0  # attempts that count against the row
    in_doubt: bool = False  # any attempt may have reached the server unconfirmed
    signed_again: bool = False  # a refused signature has been tried afresh

    def after(self, classification: Classification) -> "History":
        """The history with one more request, whether or not it counts against the row."""
        return replace(self, requests=self.requests + 1, in_doubt=self.in_doubt or classification.in_doubt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Send the row again in ``wait`` seconds."""

    wait: float
    history: History


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """The row has ended in ``state``."""

    state: State
    history: History


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The run must stop; the row stays pending."""


Decision = Retry | Settle | Stop


def decide(
    classification: Classification, before: History, *, attempts: int, backoff: Backoff, draw: float
) -> Decision:
    """What to do with a row after one more request than ``before``; ``draw`` is a random number from [0, 1)."""
    after = before.after(classification)
    match classification.action:
        case Action.ACCEPT:
            return Settle(state=State.ACCEPTED, history=after)
        case Action.FAIL:
            return Settle(state=State.FAILED, history=after)
        case Action.RETRY:
            after = replace(after, failures=after.failures + 1)
            if after.failures >= attempts:
                return Settle(state=State.UNKNOWN if after.in_doubt else State.FAILED, history=after)
            return Retry(wait=backoff.wait(after.failures, draw), history=after)
        case Action.SLOW_DOWN:  # as soon as the rate permits
            return Retry(wait=0.0, history=after)
        case Action.SIGN_AGAIN:
            return Stop() if before.signed_again else Retry(wait=0.0, history=replace(after, signed_again=True))
        case Action.STOP:
            return Stop()
    assert_never(classification.action)
