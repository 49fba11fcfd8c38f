"""Faults, and plans that decide which request has one."""

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Annotated, Protocol

from batch_alias.errors import UsageError
from batch_alias.sandbox.emulator import READ, Request, Response, page, refusal
from batch_alias.settings.options import Option, Unit, validate
from batch_alias.text import N_


class NoResponse(Enum):
    """What can happen to a connection instead of a response."""

    RESET = auto()
    HANG = auto()  # for as long as the client keeps it open


Raw = Iterable[bytes]
"""What is sent as it is, HTTP or not, before the connection is closed; may be empty or endless."""
Effect = Response | NoResponse | Raw
"""What the server does in response to a request."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which the service can fail.

    If a fault is ``carried_out``, the request reaches the service. If it is refused there, the refusal is sent after
    all: no fault turns a refusal into something that looks like a success.
    """

    name: str  # for test ids
    effect: Callable[[Request], Effect]  # instead of the service's response
    carried_out: bool = False


INTERNAL_ERROR = Fault("internal-error", lambda request: refusal(1000, request.path))
INTERNAL_TIMEOUT = Fault("internal-timeout", lambda request: refusal(1050, request.path), carried_out=True)
BAD_GATEWAY = Fault("bad-gateway", lambda _: Response(status=502))
UNAVAILABLE = Fault("unavailable", lambda _: Response(status=503))
GATEWAY_PAGE = Fault("gateway-page", lambda _: page(502, "Bad Gateway"))
GATEWAY_PAGE_OK = Fault("gateway-page-ok", lambda _: page(200, "Welcome"))
REFUSAL = Fault("refusal", lambda request: refusal(1008, request.path))
DROP_BEFORE = Fault("drop-before", lambda _: ())
DROP_AFTER = Fault("drop-after", lambda _: (), carried_out=True)
RESET_BEFORE = Fault("reset-before", lambda _: NoResponse.RESET)
RESET_AFTER = Fault("reset-after", lambda _: NoResponse.RESET, carried_out=True)
HANG_BEFORE = Fault("hang-before", lambda _: NoResponse.HANG)
HANG_AFTER = Fault("hang-after", lambda _: NoResponse.HANG, carried_out=True)

ERRORS = (INTERNAL_ERROR, INTERNAL_TIMEOUT, BAD_GATEWAY, UNAVAILABLE)
DROPS = (DROP_BEFORE, DROP_AFTER, RESET_BEFORE, RESET_AFTER)
HANGS = (HANG_BEFORE, HANG_AFTER)
PAGES = (GATEWAY_PAGE, GATEWAY_PAGE_OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What happens to one request."""

    latency: float = 0.0  # seconds until its response
    fault: Fault | None = None
    other_writer: bool = False  # changes the alias that the request names, once it was carried out


class FaultPlan(Protocol):
    """Decides which request has which fault."""

    def draw(self, number: int, elapsed: float, path: str) -> Draw:
        """What happens to a request.

        Args:
            number: Its number among those for all paths, from 0.
            elapsed: Seconds since request 0 arrived.
            path: What it asks for.
        """
        ...


_share = partial(Option, unit=Unit.SHARE, least=0, most=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """A plan by shares of the requests, drawn from a seed.

    Each share is split evenly over the faults of its kind; an outage comes before them. What is drawn depends on the
    seed and on number, path and time of the request only, so that a run can be repeated. Raises
    ``UsageError`` if a value is out of its range, or the shares are more than 100 % together.
    """

    latency: Annotated[float, Option("Mean time to a response.", unit=Unit.SECONDS, least=0)] = 0.0
    jitter: Annotated[float, _share("How much the latency varies to both sides.")] = 0.0
    errors: Annotated[float, _share("HTTP 500 to 504, with and without a code.")] = 0.0
    drops: Annotated[float, _share("Connections dropped, before and after the write.")] = 0.0
    hangs: Annotated[float, _share("No response, before and after the write.")] = 0.0
    pages: Annotated[float, _share("HTML pages of a gateway.")] = 0.0
    refusals: Annotated[float, _share("Code 1008 although under the limit.")] = 0.0
    outage: Annotated[
        tuple[float, float] | None,
        Option("Everything fails, from and to so many seconds after the first request.", "FROM TO"),
    ] = None
    other_writer: Annotated[float, _share("Reads after which another writer changes that alias.")] = 0.0
    seed: Annotated[int, Option("Seed of the draws.")] = 0

    def __post_init__(self) -> None:
        validate(self)
        # A rounding error above 1 is permitted.
        if math.fsum((self.errors, self.drops, self.hangs, self.pages, self.refusals)) > 1 + 1e-9:
            raise UsageError("The shares of the faults are more than 100% together.", "Give smaller ones.")
        start, end = self.outage or (0, 1)
        if not 0 <= start < end:
            advice = N_("It must begin at 0 or later, and end after that.")
            raise UsageError("--outage is from {start:g} to {end:g}.", advice, start=start, end=end)

    def draw(self, number: int, elapsed: float, path: str) -> Draw:
        """See ``FaultPlan``."""
        deviation = self.jitter * (2 * uniform(self.seed, number, "latency") - 1)
        return Draw(
            latency=self.latency * (1 + deviation),
            fault=self._fault(number, elapsed),
            other_writer=path == READ and uniform(self.seed, number, "other writer") < self.other_writer,
        )

    def _fault(self, number: int, elapsed: float) -> Fault | None:
        if self.outage is not None and self.outage[0] <= elapsed < self.outage[1]:
            return UNAVAILABLE
        picked = uniform(self.seed, number, "fault")
        shares = (self.errors, self.drops, self.hangs, self.pages, self.refusals)
        for faults, share in zip((ERRORS, DROPS, HANGS, PAGES, (REFUSAL,)), shares, strict=True):
            if picked < share:
                return faults[int(picked / share * len(faults))]
            picked -= share
        return None


def uniform(*key: object) -> float:
    """An evenly distributed number from 0 up to 1 that depends on nothing but the key."""
    digest = hashlib.blake2b(":".join(map(str, key)).encode(), digest_size=8).digest()
    # 53 bits are what a float holds: the quotient is never rounded up to 1.
    return (int.from_bytes(digest) >> 11) / 2**53
