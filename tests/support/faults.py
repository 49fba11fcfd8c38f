"""Faults that no flag asks for, and plans that say exactly which request fails; both for ``Sandbox.faults``."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, count, repeat

from batch_alias.sandbox import Draw, Fault, FaultPlan, Faults
from batch_alias.sandbox.emulator import READ, SET, Request, Response, page, refusal, success
from batch_alias.sandbox.faults import Effect, uniform

HUGE = 8 * 2**20
"""Bytes of a huge body."""
BOMB = 32 * 2**20
"""Bytes that a gzip bomb inflates to; about a thousandth of them are sent."""
PADDED = b'{"code":200,"padding":"'
ELSEWHERE = "http://elsewhere.invalid"
"""Where a redirect points: a name that never resolves (RFC 2606)."""


def _accepted(body: bytes, *headers: tuple[str, str]) -> Response:
    response = success()
    return replace(response, body=body, headers=(*response.headers, *headers))


def _raw(body: bytes, *more: bytes) -> list[bytes]:
    """A response with further header lines, which need not be true of its body."""
    head = (b"HTTP/1.1 200 OK", b"content-type: application/json", *more)
    return [b"\r\n".join((*head, b"", body))]


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
    spaces = b" " * 2**20
    chunks = [packer.compress(b'{"code":200'), *(packer.compress(spaces) for _ in range(BOMB // len(spaces)))]
    return b"".join([*chunks, packer.compress(b"}"), packer.flush()])


def _redirect(request: Request) -> Effect:
    moved = page(307, "Temporary Redirect")
    return replace(moved, headers=(*moved.headers, ("location", ELSEWHERE + request.path)))


def _endless(_: Request) -> Effect:
    return chain(_raw(PADDED), repeat(b"x" * 16_384))


HUGE_BODY = Fault("huge-body", lambda _: _accepted(PADDED + b"x" * HUGE + b'"}'), carried_out=True)
ENDLESS_BODY = Fault("endless-body", _endless, carried_out=True)
SHORT_BODY = Fault("short-body", lambda _: _raw(success().body, b"content-length: 1000"), carried_out=True)
LONG_BODY = Fault("long-body", lambda _: _raw(success().body, b"content-length: 4"), carried_out=True)
BROKEN_JSON = Fault("broken-json", lambda _: _accepted(b'{"code'), carried_out=True)
INVALID_UTF8 = Fault("invalid-utf8", lambda _: _accepted(b'{"code":200,"note":"\xff\xfe\xc3("}'), carried_out=True)
GZIP_BOMB = Fault("gzip-bomb", lambda _: _accepted(_bomb(), ("content-encoding", "gzip")), carried_out=True)
REDIRECT = Fault("redirect", _redirect)
NOT_HTTP = Fault("not-http", lambda _: [b"\x15\x03\x01\x00\x02\x02\x28 this is not HTTP\r\n\r\n"])
HOSTILE = (
    HUGE_BODY,
    ENDLESS_BODY,
    SHORT_BODY,
    LONG_BODY,
    BROKEN_JSON,
    INVALID_UTF8,
    GZIP_BOMB,
    REDIRECT,
    NOT_HTTP,
)

GATEWAY_LIMIT = Fault("gateway-limit", lambda _: page(429, "Too Many Requests"))


def coded(code: int, status: int | None = None) -> Fault:
    """RongCloud's refusal by a code, whatever is asked; for 404 the gateway's page, as for a wrong path.

    Args:
        code: The code.
        status: The HTTP status; ``None`` takes the one of the table, and 400 for a code that is not in it.
    """
    if code == 404:
        return Fault("404", lambda _: page(404, "Not Found"))
    return Fault(str(code), lambda request: refusal(code, request.path, status=status))


NO_FAULTS = Faults()


@dataclass(frozen=True)
class Shares:
    """Each fault for a share of the requests, drawn from a seed.

    This and the other plans take the latency of a request, and what happens to it otherwise, from ``others``.
    """

    shares: Mapping[Fault, float]
    others: FaultPlan = NO_FAULTS
    seed: int = 0

    def __post_init__(self) -> None:
        assert sum(self.shares.values()) < 1 + 1e-9, "more than all requests"

    def draw(self, number: int, elapsed: float, path: str) -> Draw:
        """See ``FaultPlan``."""
        draw = self.others.draw(number, elapsed, path)
        picked = uniform(self.seed, number, "shares")
        for fault, share in self.shares.items():
            if picked < share:
                return replace(draw, fault=fault)
            picked -= share
        return draw


@dataclass(frozen=True)
class Script:
    """A fault by the number of the request, counted from 0 since the plan was set."""

    script: Callable[[int], Fault | None]
    others: FaultPlan = NO_FAULTS

    def draw(self, number: int, elapsed: float, path: str) -> Draw:
        """See ``FaultPlan``."""
        draw, fault = self.others.draw(number, elapsed, path), self.script(number)
        return draw if fault is None else replace(draw, fault=fault)


def on_writes(script: Callable[[int], Fault | None], reading: Fault | None = None) -> FaultPlan:
    """A fault by the number of the request to set an alias, counted from 0, and one for all reads."""
    numbers = count()
    writing = Script(lambda _number: script(next(numbers)))
    return OnPath(SET, writing, OnPath(READ, Script(lambda _number: reading)))


@dataclass(frozen=True)
class While:
    """A fault for every request while a condition holds; it is evaluated in the server's thread."""

    condition: Callable[[], bool]
    fault: Fault
    others: FaultPlan = NO_FAULTS

    def draw(self, number: int, elapsed: float, path: str) -> Draw:
        """See ``FaultPlan``."""
        draw = self.others.draw(number, elapsed, path)
        return replace(draw, fault=self.fault) if self.condition() else draw


@dataclass(frozen=True)
class During:
    """A fault for every request from and to so many seconds after the first one; for benchmarks."""

    start: float
    end: float
    fault: Fault
    others: FaultPlan = NO_FAULTS

    def draw(self, number: int, elapsed: float, path: str) -> Draw:
        """See ``FaultPlan``."""
        draw = self.others.draw(number, elapsed, path)
        return replace(draw, fault=self.fault) if self.start <= elapsed < self.end else draw


@dataclass(frozen=True)
class OnPath:
    """A plan for the requests for one path; those for the others are left to ``others``."""

    path: str
    plan: FaultPlan
    others: FaultPlan = NO_FAULTS

    def draw(self, number: int, elapsed: float, path: str) -> Draw:
        """See ``FaultPlan``."""
        return (self.plan if path == self.path else self.others).draw(number, elapsed, path)
