"""What a response means for its row: pure decisions, and their sentences."""

from dataclasses import dataclass, replace
from typing import assert_never

from batch_alias.errors import StoppedByService
from batch_alias.model import Action, Classification, Outcome, Response, Row, State
from batch_alias.text import N_, Message, _

LONGEST_REFUSAL = 2.0
"""Most seconds until a row that the rate limit has refused is sent again."""
MOST_OUTAGES = 5
"""Outages that give a row the attempts back that were lost to them."""
CLOCK_TOLERANCE = 60.0
"""Seconds of difference between the server's clock and this machine's that are worth naming."""


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
    outages: int = 0  # that have given attempts back

    def after(self, classification: Classification) -> "History":
        """The history with one more request, whether or not it counts against the row."""
        return replace(self, requests=self.requests + 1, in_doubt=self.in_doubt or classification.in_doubt)

    def forgiven(self) -> "History":
        """The history with its attempts given back; not for ever: the row may be what brings the service down."""
        return self if self.outages >= MOST_OUTAGES else replace(self, failures=0, outages=self.outages + 1)


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
        case Action.SLOW_DOWN:
            refusals = after.requests - after.failures
            return Retry(wait=min(LONGEST_REFUSAL, backoff.wait(refusals, draw)), history=after)
        case Action.SIGN_AGAIN:
            return Stop() if before.signed_again else Retry(wait=0.0, history=replace(after, signed_again=True))
        case Action.STOP:
            return Stop()
    assert_never(classification.action)


def may_concern_every_row(classification: Classification, *, opening: bool, proven: bool) -> bool:
    """Whether a refusal may say more about a setting than about its row.

    Args:
        opening: No row has been accepted or refused in this run.
        proven: A row of the job has been accepted.
    """
    if classification.is_documented:
        return classification.systematic and opening and not proven
    is_page = classification.action is Action.STOP
    return is_page or (classification.action is Action.FAIL and (opening or not proven))


def outcome_of(row: Row, history: History, state: State, response: Response | None, *, at: float) -> Outcome:
    """How a row has ended, at seconds since the epoch; without a response if the run ended before there was one."""
    if response is None:
        message = _("not confirmed before the run ended")
    else:
        message = response.classification.text if state is State.ACCEPTED else described(response)
    return Outcome(
        row=row.number,
        state=state,
        code=None if response is None else response.code,
        message=message,
        attempts=history.requests,
        request_id="" if response is None else response.request_id,
        finished_at=at,
        response=response,
    )


def refusal(response: Response) -> StoppedByService:
    """Why a response ends the run."""
    advice, skew = response.classification.advice, response.clock_skew
    values: dict[str, object] = {"host": response.host, "code": response.code, "meaning": described(response)}
    if skew is not None and abs(skew) > CLOCK_TOLERANCE:
        values |= {"advice": _(advice), "seconds": abs(skew)}
        advice = N_("{advice} This machine's clock is {seconds:.0f} s ahead of the server's: set it.")
        if skew > 0:
            advice = N_("{advice} This machine's clock is {seconds:.0f} s behind the server's: set it.")
    problem = N_("{host} refuses the run: code {code}, {meaning}.")
    if response.code is None:
        problem = N_("{host} cannot be used: {meaning}.")
    return StoppedByService(problem, advice, **values)


def described(response: Response) -> Message:
    """What a response means, with its message."""
    meaning = response.classification.text
    return _("{meaning}: {message}", meaning=meaning, message=response.message) if response.message else meaning
