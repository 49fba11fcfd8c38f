"""A plan of misbehaviour that can be repeated: the same seed gives the same fate to the same request of a run.

Every draw depends on the seed and the request's number alone, never on the clock or on what was drawn before, so a
story told in a test goes the same way each time.
"""

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from batch_alias.errors import UsageError


class Trouble(StrEnum):
    """One way in which a request can go wrong at the server's end."""

    INTERNAL_ERROR = "internal-error"
    """HTTP 500 with RongCloud's 1000; not carried out."""
    INTERNAL_TIMEOUT = "internal-timeout"
    """HTTP 504 with RongCloud's 1050; carried out all the same."""
    BAD_GATEWAY = "bad-gateway"
    """A bare HTTP 502; not carried out."""
    UNAVAILABLE = "unavailable"
    """A bare HTTP 503; not carried out."""
    GATEWAY_PAGE = "gateway-page"
    """HTTP 502 with an HTML page; not carried out."""
    GATEWAY_PAGE_OK = "gateway-page-ok"
    """HTTP 200 with an HTML page; not carried out."""
    GATEWAY_LIMIT = "gateway-limit"
    """HTTP 429 from the gateway, without a code; not carried out."""
    REFUSAL = "refusal"
    """HTTP 429 with RongCloud's 1008 although the limit is not reached; not carried out."""
    DROP_BEFORE = "drop-before"
    """The connection is dropped; not carried out."""
    DROP_AFTER = "drop-after"
    """The connection is dropped without an answer; carried out."""
    HANG_BEFORE = "hang-before"
    """No answer for as long as the client stays; not carried out."""
    HANG_AFTER = "hang-after"
    """No answer for as long as the client stays; carried out."""
    HUGE_BODY = "huge-body"
    """HTTP 200 and megabytes of JSON; carried out."""
    ENDLESS_BODY = "endless-body"
    """HTTP 200 and a body that does not end for as long as the client stays; carried out."""
    SHORT_BODY = "short-body"
    """HTTP 200 and less body than ``Content-Length`` says, then the end of the connection; carried out."""
    LONG_BODY = "long-body"
    """HTTP 200 and more body than ``Content-Length`` says, then the end of the connection; carried out."""
    BROKEN_JSON = "broken-json"
    """HTTP 200 and half a JSON object; carried out."""
    INVALID_UTF8 = "invalid-utf8"
    """HTTP 200 and JSON with bytes that are not UTF-8; carried out."""
    GZIP_BOMB = "gzip-bomb"
    """HTTP 200 and kilobytes that unpack to tens of megabytes; carried out."""
    REDIRECT = "redirect"
    """HTTP 307 to another host; not carried out."""
    NOT_HTTP = "not-http"
    """Bytes that are not HTTP; not carried out."""


SERVER_ERRORS = (Trouble.INTERNAL_ERROR, Trouble.INTERNAL_TIMEOUT, Trouble.BAD_GATEWAY, Trouble.UNAVAILABLE)
DROPS = (Trouble.DROP_BEFORE, Trouble.DROP_AFTER)
HANGS = (Trouble.HANG_BEFORE, Trouble.HANG_AFTER)
PAGES = (Trouble.GATEWAY_PAGE, Trouble.GATEWAY_PAGE_OK)
REFUSALS = (Trouble.REFUSAL,)
HOSTILE = (
    Trouble.HUGE_BODY,
    Trouble.ENDLESS_BODY,
    Trouble.SHORT_BODY,
    Trouble.LONG_BODY,
    Trouble.BROKEN_JSON,
    Trouble.INVALID_UTF8,
    Trouble.GZIP_BOMB,
    Trouble.REDIRECT,
    Trouble.NOT_HTTP,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A time in which every request fails in the same way.

    Attributes:
        start: Seconds after the first request that met the plan.
        end: Seconds after the first request that met the plan.
        trouble: How every request fails.
    """

    start: float
    end: float
    trouble: Trouble = Trouble.UNAVAILABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """A code of RongCloud's that answers requests, whatever they ask; nothing is carried out.

    Attributes:
        code: The code. 404 answers with the gateway's page instead, as a wrong path does.
        status: The HTTP status; ``None`` takes the one of the table, 400 for a code that is not in it.
        share: Share of the requests, 0 to 1.
    """

    code: int
    status: int | None = None
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How the sandbox misbehaves.

    Attributes:
        latency: Mean seconds from a request to its answer.
        jitter: Share of the latency, 0 to 1, by which it varies evenly to both sides.
        shares: Share of the requests, 0 to 1, that meet each trouble; at most 1 together.
        outages: Times in which everything fails; the first that fits counts, and comes before all else.
        forced: A code that answers requests; comes before ``shares``.
        clock_offset: Seconds by which the server's clock is ahead of this machine's: its ``Date`` header, and what
            timestamps are compared with.
        seed: Of the draws.

    Raises:
        UsageError: A value is out of its range.
    """

    latency: float = 0.0
    jitter: float = 0.0
    shares: Mapping[Trouble, float] = field(default_factory=lambda: MappingProxyType({}))
    outages: tuple[Outage, ...] = ()
    forced: Forced | None = None
    clock_offset: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.latency) and self.latency >= 0):
            raise UsageError(f"The latency is {self.latency}.", "Give seconds, 0 or more.")
        _share("jitter", self.jitter)
        for trouble, share in self.shares.items():
            _share(trouble, share)
        # A hair above 1 is what eight shares of an eighth can add up to.
        if math.fsum(self.shares.values()) > 1 + 1e-9:
            raise UsageError("The shares of the faults are more than all requests.", "Give less than 100% together.")
        if self.forced is not None:
            _share("share of the forced code", self.forced.share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What happens to one request.

    Attributes:
        latency: Seconds until its answer.
        mishap: What goes wrong, if anything does.
        coin: An even chance, for what a trouble leaves open.
    """

    latency: float
    mishap: Trouble | Forced | None
    coin: bool


def mixed(
    *,
    latency: float = 0.0,
    jitter: float = 0.0,
    errors: float = 0.0,
    drops: float = 0.0,
    hangs: float = 0.0,
    pages: float = 0.0,
    refusals: float = 0.0,
    hostile: float = 0.0,
    seed: int = 0,
) -> Faults:
    """Faults by kind: each share is split evenly over the troubles of its kind.

    Args:
        latency: Mean seconds from a request to its answer.
        jitter: Share of the latency by which it varies.
        errors: Share of 5xx, with RongCloud's code and bare.
        drops: Share of dropped connections, half of them after the write.
        hangs: Share of requests never answered, half of them carried out.
        pages: Share of HTML pages from a gateway, half of them with HTTP 200.
        refusals: Share refused for the limit although it is not reached.
        hostile: Share of answers made to harm: huge, endless, broken, not HTTP.
        seed: Of the draws.

    Raises:
        UsageError: A value is out of its range.
    """
    kinds = (
        (SERVER_ERRORS, errors),
        (DROPS, drops),
        (HANGS, hangs),
        (PAGES, pages),
        (REFUSALS, refusals),
        (HOSTILE, hostile),
    )
    shares = {trouble: share / len(kind) for kind, share in kinds if share for trouble in kind}
    return Faults(latency=latency, jitter=jitter, shares=shares, seed=seed)


def fate(faults: Faults, number: int, elapsed: float) -> Fate:
    """What happens to a request.

    Args:
        faults: The plan.
        number: Which request it is, counted from 0.
        elapsed: Seconds since the first request.
    """
    spread, picked, forced, coin = _draws(faults.seed, number)
    return Fate(
        latency=faults.latency * (1 + faults.jitter * (2 * spread - 1)),
        mishap=_mishap(faults, picked, forced, elapsed),
        coin=coin < 0.5,
    )


def _mishap(faults: Faults, picked: float, forced: float, elapsed: float) -> Trouble | Forced | None:
    for outage in faults.outages:
        if outage.start <= elapsed < outage.end:
            return outage.trouble
    if faults.forced is not None and forced < faults.forced.share:
        return faults.forced
    for trouble, share in faults.shares.items():
        if picked < share:
            return trouble
        picked -= share
    return None


def _draws(seed: int, number: int) -> tuple[float, float, float, float]:
    """Four even draws from 0 up to 1."""
    digest = hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=32).digest()
    # 53 bits are what a float can hold: the quotient never rounds up to 1.
    first, second, third, fourth = (part >> 11 for part in struct.unpack("<4Q", digest))
    return first / 2**53, second / 2**53, third / 2**53, fourth / 2**53


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"The {name} is {value:.0%}.", "Give a share from 0% to 100%.")
