"""The values that flow through a job: what a row is, what came back for it, what that means, how it ended."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a row stands. Every row of the source is in exactly one state; the counts add up to the rows read."""

    REJECTED = "rejected"
    """May not be sent: something is wrong with the row itself."""
    SUPERSEDED = "superseded"
    """A later row sets the same (group, user); only the last one is sent."""
    PENDING = "pending"
    """Waits to be sent."""
    ACCEPTED = "accepted"
    """RongCloud answered HTTP 200 with code 200. It does not say that the user or the group exists."""
    FAILED = "failed"
    """Refused for good, or out of attempts none of which can have reached the server."""
    UNKNOWN = "unknown"
    """Out of attempts, and at least one of them may have reached the server."""


DONE_STATES = frozenset({State.ACCEPTED, State.SUPERSEDED})
"""The states that need nothing further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One alias to set.

    Attributes:
        number: The row's number as a spreadsheet shows it: the header is row 1.
        user_id: Whose name; at most 64 bytes.
        group_id: In which group; at most 64 characters.
        remark: The name the push notification shows.
    """

    number: int
    user_id: str
    group_id: str
    remark: str

    @property
    def key(self) -> tuple[str, str]:
        """What the alias belongs to: ``(group_id, user_id)``."""
        return self.group_id, self.user_id


class Failure(StrEnum):
    """Why an attempt has no answer."""

    CONNECT = "connect"
    """DNS, TCP or TLS failed: nothing of the request can have reached the server."""
    TIMEOUT = "timeout"
    """No complete answer in time: the request may have been carried out."""
    DROPPED = "dropped"
    """The connection broke, or what came was not HTTP: the request may have been carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back for one attempt.

    Attributes:
        request_id: The ``X-Request-ID`` sent with the attempt; what the vendor's support asks for.
        host: The host the attempt went to.
        latency: Seconds from the start of the attempt to its end.
        status: The HTTP status; ``None`` when there was no complete answer.
        code: RongCloud's code; ``None`` when the body was not its JSON.
        message: RongCloud's message, an excerpt of a foreign body, or what failed; for people, never branched on.
        failure: Why there is no answer; ``None`` when there is one.
        retry_after: Seconds the server asked to wait, when it did.
        clock_skew: Seconds by which the server's ``Date`` is ahead of our clock, when it sent one.
    """

    request_id: str
    host: str
    latency: float
    status: int | None = None
    code: int | None = None
    message: str = ""
    failure: Failure | None = None
    retry_after: float | None = None
    clock_skew: float | None = None


class Action(StrEnum):
    """What a run does about a reply."""

    ACCEPT = "accept"
    """The row is done."""
    FAIL = "fail"
    """This row is refused for good; others may not be."""
    RETRY = "retry"
    """May heal: send the row again later."""
    SLOW_DOWN = "slow-down"
    """Over the rate limit: pause, send slower, and send the row again; it costs the row none of its attempts."""
    SIGN_AGAIN = "sign-again"
    """Sign afresh once; if that is refused too, stop."""
    STOP = "stop"
    """Every other request would be refused as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """What a reply means for its row and for the run.

    Attributes:
        action: What to do.
        meaning: What the reply says, in plain words.
        in_doubt: The write may have happened although it was not confirmed.
        unwell: The service (or the way to it) looks ill: counts towards an outage and a switch of hosts.
        systematic: When all of the first rows are answered so, it is a setting and not the rows that is wrong.
        advice: Which setting to look at when the run stops.
    """

    action: Action
    meaning: str
    in_doubt: bool = False
    unwell: bool = False
    systematic: bool = False
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a row ended.

    Attributes:
        row: The row's number in the source.
        state: ``ACCEPTED``, ``FAILED`` or ``UNKNOWN``.
        code: RongCloud's code of the last reply, if it had one.
        message: The last reply in words.
        attempts: HTTP requests made for the row in this run, refusals by the limit included.
        request_id: The ``X-Request-ID`` of the last attempt.
        finished_at: Seconds since the epoch.
    """

    row: int
    state: State
    code: int | None
    message: str
    attempts: int
    request_id: str
    finished_at: float
