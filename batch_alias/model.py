"""The values that the parts share: a row, what is sent for it, what came back, what that means, what is counted."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from enum import StrEnum
from typing import Protocol

from batch_alias.text import Message

SUCCESS = 200
"""RongCloud's code for a call that was accepted."""
LATENCY_STEP = 1.05
"""Ratio of two neighbouring bounds of the latency histogram: a percentile is exact to 5 %."""


class State(StrEnum):
    """Where a row stands, by the word that is shown. Every row read is in one state; the counts add up to all."""

    REJECTED = "rejected"
    """Not sent: something is wrong with the row itself."""
    SUPERSEDED = "superseded"
    """A later row sets the same (group, user); only the last one is sent."""
    PENDING = "pending"
    """Not sent yet."""
    UNCHANGED = "unchanged"
    """Not sent: it was read, and is what the row wants."""
    ACCEPTED = "accepted"
    """RongCloud answered HTTP 200 with code 200, which does not say that the user or the group exists."""
    CONFLICT = "conflict"
    """Not sent: it was read, and is not what the row may replace."""
    FAILED = "failed"
    """Refused for good, or out of attempts of which none can have reached the server."""
    UNKNOWN = "unknown"
    """Out of attempts, at least one of which may have reached the server, and none was confirmed."""


class Call(StrEnum):
    """One of RongCloud's calls; each has a path, and by all signs a rate limit, of its own."""

    SET = "set"
    """Set the alias of a user in a group."""
    CLEAR = "clear"
    """Remove it."""
    READ = "read"
    """Read it."""
    MEMBERS = "members"
    """List the members of a group."""


class RequestKind(StrEnum):
    """What requests are for, as far as they are counted and paced apart."""

    WRITE = "write"
    """Setting and clearing aliases: two paths, which are paced as one."""
    READ = "read"
    MEMBERS = "members"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A call with its parameters, of which some are ``None`` for a call that does not take them."""

    call: Call
    group_id: str
    user_id: str | None = None
    remark: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the source that may be sent, numbered as a spreadsheet shows it: the header is row 1.

    An alias of "" is none at all: to want it is to clear the alias, to have read it is that there was none.
    """

    number: int
    user_id: str
    group_id: str
    remark: str
    in_doubt: bool = False  # an earlier run has sent it without a confirmation
    before: str | None = None  # the alias when it was first read; None: it was not
    expected: str | None = None  # the alias that must be set when the row is sent; None: the source does not say

    @property
    def write(self) -> Operation:
        """What is sent for the row."""
        call = Call.SET if self.remark else Call.CLEAR
        return Operation(call=call, group_id=self.group_id, user_id=self.user_id, remark=self.remark or None)

    @property
    def read(self) -> Operation:
        """What is asked about it."""
        return Operation(call=Call.READ, group_id=self.group_id, user_id=self.user_id)


class PermissionWithdrawn(Exception):  # noqa: N818 - no error
    """An attempt that waited for its permission to be renewed must not be made: its row may be another process's."""


class Permission(Protocol):
    """Permission for one attempt to start now, from a rate limiter; an attempt that is delayed gives it back."""

    def give_back(self) -> None:
        """Let another attempt start instead."""

    async def renew(self) -> None:
        """Wait until the attempt may start after all. Raises ``PermissionWithdrawn`` if it must not."""


class Failure(StrEnum):
    """Why an attempt has no response."""

    CONNECT = "connect"
    """TCP or TLS failed: nothing of the request can have reached the server."""
    UNRESOLVED = "dns"
    """The host name does not resolve."""
    UNTRUSTED = "certificate"
    """The server's certificate is not trusted, so nothing was sent."""
    PROXY = "proxy"
    """The proxy cannot be reached, or refuses to connect to the server."""
    TIMEOUT = "timeout"
    """No complete response in time: the request may have been carried out."""
    DROPPED = "dropped"
    """The connection broke, or what came was not HTTP: the request may have been carried out."""


class Action(StrEnum):
    """What a run does about a response."""

    ACCEPT = "accept"
    """The row is done."""
    FAIL = "fail"
    """This row is refused for good; others may not be."""
    RETRY = "retry"
    """Send the row again later."""
    SLOW_DOWN = "slow-down"
    """Over the rate limit: slow down and send the row again; it costs the row none of its attempts."""
    SIGN_AGAIN = "sign-again"
    """Sign afresh once; if that is refused too, stop."""
    STOP = "stop"
    """Every other request would be refused as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """What a response means for its row and for the run."""

    action: Action
    meaning: str  # in plain English words, with the names of values in braces
    values: Mapping[str, object] = field(default_factory=dict)
    in_doubt: bool = False  # the operation may have been carried out although it was not confirmed
    unhealthy: bool = False  # the service, or the way to it, does not work: counts towards an outage
    congestion: bool = False  # it may be asked too much at once: counts towards a lower rate
    systematic: bool = False  # when all of the first rows are answered so, a setting is wrong and not the rows
    misconfigured: bool = False  # at the first request of a run it shows a wrong setting, later an outage
    advice: str = ""  # which setting to check when the run stops
    row_advice: str = ""  # what to do about a row that failed with it
    status: int = 0  # the HTTP status that RongCloud sends with the code; 0 where there is no code

    @property
    def is_documented(self) -> bool:
        """Whether it is one of RongCloud's own codes, and no page of a gateway or unknown code."""
        return bool(self.status)

    @property
    def text(self) -> Message:
        """The meaning for people."""
        return Message(self.meaning, **self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back for one attempt. Times are in seconds."""

    request_id: str  # sent as X-Request-ID; RongCloud's support asks for it
    host: str
    latency: float
    classification: Classification
    status: int | None = None  # of HTTP; None when there was no complete response
    code: int | None = None  # RongCloud's; None when the body was not its JSON
    message: str = ""  # RongCloud's, an excerpt of another body, or what failed; to be shown, never branched on
    failure: Failure | None = None
    retry_after: float | None = None  # that the server asked to wait
    clock_skew: float | None = None  # by which the server's Date is ahead of this machine's clock
    remark: str | None = None  # the alias that was read, "" for none; None unless a call to read it was accepted
    members: frozenset[str] | None = None  # the user ids of a group; None unless a call to list them was accepted

    @property
    def label(self) -> str:
        """In one word, for counting: the code, the HTTP status where there is none, or the failure."""
        without_code = f"HTTP {self.status}" if self.failure is None else self.failure.value
        return without_code if self.code is None else str(self.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A row's final state in a run and why, mostly by its last response; or that of a call about a row or group."""

    row: int
    state: State
    code: int | None
    message: str
    attempts: int  # HTTP requests made for the row in this run, refusals by the rate limit included
    request_id: str
    finished_at: float  # seconds since the epoch
    response: Response | None = None  # the last one


class EventKind(StrEnum):
    """What an event is about."""

    OUTAGE_BEGAN = "outage-began"
    OUTAGE_ENDED = "outage-ended"
    RATE_LOWERED = "rate-lowered"
    ASKED_TO_WAIT = "asked-to-wait"
    HOST_SWITCHED = "host-switched"
    WAITING = "waiting"
    NOT_LOCKED = "not-locked"
    DATABASE_AWAY = "database-away"


EVENT_SENTENCES: Mapping[EventKind, str] = {
    EventKind.OUTAGE_BEGAN: "The service does not work ({detail}). Sending is on hold; one row at a time is tried.",
    EventKind.OUTAGE_ENDED: "The service works again; the rate rises to its full value step by step.",
    EventKind.RATE_LOWERED: "{signals} of {responses} responses were refusals or came too late;"
    " the rate is lowered to {rate:g} requests per second.",
    EventKind.ASKED_TO_WAIT: "The server asks to wait {seconds:.0f} s.",
    EventKind.HOST_SWITCHED: "All connections move to {host}.",
    EventKind.WAITING: "The job {job} is sending for this App Key (pid {pid}); waiting for it.",
    EventKind.NOT_LOCKED: "Nothing can be locked ({reason}): jobs of this App Key do not wait for each other.",
    EventKind.DATABASE_AWAY: "The database does not answer in time; no row is sent until it does.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a run, at so many seconds since the epoch; its sentence names the values."""

    at: float
    kind: EventKind
    values: Mapping[str, str | float]

    @property
    def text(self) -> Message:
        """The event in a sentence."""
        return Message(EVENT_SENTENCES[self.kind], **self.values)


@dataclass(slots=True, kw_only=True)
class Second:
    """What happened in one second of the wall clock to requests of a kind; counted up while it lasts."""

    at: int  # whole seconds since the epoch
    kind: RequestKind = RequestKind.WRITE
    requests: int = 0  # attempts started
    retries: int = 0  # those that were not the first for their row in this run
    checks: int = 0  # those that are about no row, and change nothing
    refusals: int = 0  # responses "over the rate limit"
    settled: Counter[str] = field(default_factory=Counter)  # rows that ended, by state
    codes: Counter[str] = field(default_factory=Counter)  # responses by label
    latencies: Counter[int] = field(default_factory=Counter)  # bucket n reaches up to LATENCY_STEP ** n milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCounts:
    """How many rows are in each state."""

    rejected: int = 0
    superseded: int = 0
    pending: int = 0
    unchanged: int = 0
    accepted: int = 0
    conflict: int = 0
    failed: int = 0
    unknown: int = 0

    @property
    def rows(self) -> int:
        """All rows of the source."""
        return sum(astuple(self))

    @property
    def unfinished(self) -> int:
        """Rows that the next run sends: pending or unknown."""
        return self.pending + self.unknown

    @property
    def all_done(self) -> bool:
        """Whether nothing is left to do for any row."""
        return self.accepted + self.unchanged + self.superseded == self.rows

    @property
    def begun(self) -> bool:
        """Whether a row has been sent, as far as that is known."""
        return bool(self.accepted + self.failed + self.unknown)

    def too_many_rejected(self, share: float, *, notes: int = 0) -> bool:
        """Whether more than a share of the rows is rejected, or all of them; so many are no rows but notes."""
        return self.rejected - notes > share * (self.rows - notes) or self.rejected == self.rows
