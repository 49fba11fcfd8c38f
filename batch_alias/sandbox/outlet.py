"""What leaves the server for a request: RongCloud's answer, a spoilt one, or something in its place."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from batch_alias.sandbox.exchange import (
    INTERNAL_ERROR,
    INTERNAL_TIMEOUT,
    OVER_LIMIT,
    SUCCESS,
    Answer,
    Request,
    common_headers,
    page,
    refusal,
)
from batch_alias.sandbox.faults import Fate, Forced, Trouble

HUGE = 8 * 2**20
"""Bytes of a huge body."""
BOMB = 64 * 2**20
"""Bytes that a gzip bomb unpacks to; about a thousandth of it on the wire."""
ELSEWHERE = "http://elsewhere.invalid"
"""Where a redirect points: a name that never resolves (RFC 2606)."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes for the connection as they are, after which it is closed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Endless:
    """An answer whose body goes on for as long as the client stays."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Drop:
    """No answer, and the end of the connection: by a TCP reset, or in order."""

    reset: bool


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer for as long as the client stays."""


Outlet = Answer | Raw | Endless | Drop | Hang


def outlet(request: Request, drawn: Fate, carry_out: Callable[[Request], Answer]) -> Outlet:
    """Let a request meet its fate.

    Args:
        request: The request.
        drawn: What happens to it.
        carry_out: RongCloud; called at most once, and not at all where the fate keeps the request from reaching it.

    Returns:
        What leaves the server. An answer is spoilt only when it reports success: no spoilt answer says 200 for a
        request that RongCloud refused.
    """
    mishap = drawn.mishap
    if mishap is None:
        return carry_out(request)
    if isinstance(mishap, Forced):
        return _forced(request, mishap)
    if mishap in BEFORE:
        return BEFORE[mishap](request, drawn.coin)
    answer = carry_out(request)
    return AFTER[mishap](request, answer, drawn.coin) if answer.code == SUCCESS else answer


def _forced(request: Request, forced: Forced) -> Answer:
    if forced.code == 404:
        return page(request, 404, "Not Found")
    return refusal(request, forced.code, status=forced.status)


def _bare(request: Request, status: int) -> Answer:
    return Answer(status=status, body=b"", headers=common_headers(request, "text/plain"))


def _redirect(request: Request) -> Answer:
    moved = page(request, 307, "Temporary Redirect")
    return replace(moved, headers=(*moved.headers, ("location", ELSEWHERE + request.path)))


BEFORE: Mapping[Trouble, Callable[[Request, bool], Outlet]] = {
    Trouble.INTERNAL_ERROR: lambda request, _: refusal(request, INTERNAL_ERROR),
    Trouble.BAD_GATEWAY: lambda request, _: _bare(request, 502),
    Trouble.UNAVAILABLE: lambda request, _: _bare(request, 503),
    Trouble.GATEWAY_PAGE: lambda request, _: page(request, 502, "Bad Gateway"),
    Trouble.GATEWAY_PAGE_OK: lambda request, _: page(request, 200, "Welcome"),
    Trouble.GATEWAY_LIMIT: lambda request, _: page(request, 429, "Too Many Requests"),
    Trouble.REFUSAL: lambda request, _: refusal(request, OVER_LIMIT),
    Trouble.DROP_BEFORE: lambda _, coin: Drop(reset=coin),
    Trouble.HANG_BEFORE: lambda _, __: Hang(),
    Trouble.REDIRECT: lambda request, _: _redirect(request),
    Trouble.NOT_HTTP: lambda _, __: Raw(b"\x15\x03\x01\x00\x02\x02\x28 this is not HTTP\r\n\r\n"),
}
"""The troubles that keep a request from being carried out."""


def _with_body(answer: Answer, body: bytes) -> Answer:
    return replace(answer, body=body)


def _with_length(answer: Answer, claimed: int) -> Raw:
    head = [f"HTTP/1.1 {answer.status} OK", *(f"{name}: {value}" for name, value in answer.headers)]
    lines = "\r\n".join([*head, f"content-length: {claimed}", "", ""])
    return Raw(lines.encode("latin-1") + answer.body)


@cache
def _huge() -> bytes:
    return b'{"code":200,"padding":"' + b"x" * HUGE + b'"}'


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
    spaces = b" " * 2**20
    chunks = [packer.compress(b'{"code":200'), *(packer.compress(spaces) for _ in range(BOMB // len(spaces)))]
    return b"".join([*chunks, packer.compress(b"}"), packer.flush()])


def _gzipped(answer: Answer) -> Answer:
    return replace(answer, body=_bomb(), headers=(*answer.headers, ("content-encoding", "gzip")))


AFTER: Mapping[Trouble, Callable[[Request, Answer, bool], Outlet]] = {
    Trouble.INTERNAL_TIMEOUT: lambda request, *_: refusal(request, INTERNAL_TIMEOUT),
    Trouble.DROP_AFTER: lambda _, __, coin: Drop(reset=coin),
    Trouble.HANG_AFTER: lambda *_: Hang(),
    Trouble.HUGE_BODY: lambda _, answer, __: _with_body(answer, _huge()),
    Trouble.ENDLESS_BODY: lambda _, answer, __: Endless(_with_body(answer, b'{"code":200,"padding":"')),
    Trouble.SHORT_BODY: lambda _, answer, __: _with_length(answer, 1000),
    Trouble.LONG_BODY: lambda _, answer, __: _with_length(answer, 4),
    Trouble.BROKEN_JSON: lambda _, answer, __: _with_body(answer, answer.body[: len(answer.body) // 2]),
    Trouble.INVALID_UTF8: lambda _, answer, __: _with_body(answer, b'{"code":200,"note":"\xff\xfe\xc3("}'),
    Trouble.GZIP_BOMB: lambda _, answer, __: _gzipped(answer),
}
"""The troubles that spoil the answer to a request that was carried out."""
