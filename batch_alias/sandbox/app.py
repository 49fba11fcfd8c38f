"""The ASGI application: the emulator, its faults and its statistics behind HTTP."""

import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from itertools import islice
from typing import assert_never

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from batch_alias.sandbox.connection import Link
from batch_alias.sandbox.emulator import Emulator, Rules, Write
from batch_alias.sandbox.exchange import Answer, Key, Request
from batch_alias.sandbox.faults import Fate, Faults, fate
from batch_alias.sandbox.forms import key_of
from batch_alias.sandbox.outlet import Drop, Endless, Hang, Outlet, Raw, outlet
from batch_alias.sandbox.traffic import NO_ANSWER, Stats, Traffic
from batch_alias.settings import Secret

_PAGE = 1000
_DRIBBLE = b"x" * 16_384
_DRIBBLE_EVERY = 0.01  # seconds


class _Plan:
    """Faults, and how far along they are."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._met = 0
        self._began: float | None = None

    def next(self, at: float) -> Fate:
        """The fate of the next request, which arrived at a monotonic reading."""
        if self._began is None:
            self._began = at
        number, self._met = self._met, self._met + 1
        return fate(self.faults, number, at - self._began)


class Sandbox:
    """One emulated app of RongCloud's: its aliases, its rules, its faults, and what it saw.

    It outlives the server: served again, also on the same port, it still holds its aliases. Reading it and setting its
    faults is safe from any thread.

    Args:
        rules: What it enforces.
        faults: How it misbehaves.
        app_key: Its App Key; ``None`` makes one.
        app_secret: Its App Secret; ``None`` makes one.
        uses_per_connection: Requests it answers on one connection; the next one is dropped with the connection.
            ``None`` answers any number.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        faults: Faults | None = None,
        *,
        app_key: str | None = None,
        app_secret: Secret | None = None,
        uses_per_connection: int | None = None,
    ) -> None:
        self.app_key = app_key or secrets.token_hex(7)
        self.app_secret = app_secret or Secret(secrets.token_hex(10))
        self.traffic = Traffic()
        self._emulator = Emulator(self.app_key, self.app_secret, rules or Rules())
        self._plan = _Plan(faults or Faults())
        self._uses_per_connection = uses_per_connection

    @property
    def faults(self) -> Faults:
        """How it misbehaves. Set them at any time: the plan begins anew, its clock with the next request."""
        return self._plan.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._plan = _Plan(faults)

    def stats(self) -> Stats:
        """What it saw up to now."""
        return self.traffic.stats(self._emulator)

    def aliases(self) -> dict[Key, str]:
        """A copy of the aliases held: ``(group_id, user_id)`` to remark."""
        return dict(self._emulator.aliases)

    def writes(self) -> list[Write]:
        """Every accepted set and clear in order; empty unless the rules say ``keep_writes``."""
        return list(self._emulator.writes)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """RongCloud's side of one HTTP request, as an ASGI application."""
        body = await _whole_body(receive)
        if body is None:
            return
        link: Link = scope.get("state", {}).get("link") or Link()
        at = time.monotonic()
        plan = self._plan
        request = _request(scope, body, now=time.time() + plan.faults.clock_offset, at=at)
        key = key_of(request)
        self.traffic.arrived(at, key)
        try:
            await self._play(request, plan.next(at), link, send)
        finally:
            self.traffic.left(key)
            link.answered_at = time.monotonic()

    async def _play(self, request: Request, drawn: Fate, link: Link, send: Send) -> None:
        # A write lands when its request arrives and is answered after the latency, so a client that gives up in
        # between is in doubt, as it is in earnest.
        leaving = self._outlet(request, drawn, link)
        if await link.lost_within(drawn.latency):
            self.traffic.answered(NO_ANSWER)
            return
        self.traffic.answered(_name(leaving))
        match leaving:
            case Answer():
                await _send(leaving, send)
            case Raw(data):
                await link.finish(data)
            case Endless(answer):
                await _dribble(answer, link, send)
            case Drop(reset):
                await link.drop(reset=reset)
            case Hang():
                await link.lost.wait()
            case _:
                assert_never(leaving)

    def _outlet(self, request: Request, drawn: Fate, link: Link) -> Outlet:
        if link.connected:
            idle = 0.0 if link.answered_at is None else request.at - link.answered_at
            link.requests += 1
            self.traffic.used(link.requests, idle)
            if self._uses_per_connection is not None and link.requests > self._uses_per_connection:
                return Drop(reset=False)
        return outlet(request, drawn, self._emulator.handle)


def app(sandbox: Sandbox) -> Starlette:
    """The sandbox as an ASGI application, for a server or for httpx's ``ASGITransport``.

    In-process there is no connection: what needs one (drops, raw bytes, endless bodies) raises
    ``ConnectionResetError``, and a hang lasts until the caller cancels it.
    """

    async def stats(_: HttpRequest) -> Response:
        return JSONResponse(asdict(sandbox.stats()))

    async def aliases(_: HttpRequest) -> Response:
        return StreamingResponse(_lines(sandbox.aliases()), media_type="application/x-ndjson")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Traffic]]:
        yield {"traffic": sandbox.traffic}

    routes = [
        Route("/sandbox/stats", stats),
        Route("/sandbox/aliases", aliases),
        Mount("/", sandbox.answer),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def _lines(aliases: dict[Key, str]) -> Iterator[str]:
    """The aliases as JSON lines ``{"groupId", "userId", "remark"}``, a thousand at a time."""
    items = iter(aliases.items())
    while page := list(islice(items, _PAGE)):
        yield "".join(
            json.dumps({"groupId": group_id, "userId": user_id, "remark": remark}, ensure_ascii=False) + "\n"
            for (group_id, user_id), remark in page
        )


async def _whole_body(receive: Receive) -> bytes | None:
    """The body; ``None`` when the client went away before its end."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _request(scope: Scope, body: bytes, *, now: float, at: float) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(method=scope["method"], path=scope["path"], headers=headers, body=body, now=now, at=at)


def _name(leaving: Outlet) -> str:
    """How the statistics call what leaves."""
    match leaving:
        case Answer(code=None):
            return f"http-{leaving.status}"
        case Answer():
            return str(leaving.code)
        case _:
            return NO_ANSWER


async def _send(answer: Answer, send: Send) -> None:
    length = ("content-length", str(len(answer.body)))
    await send(_start(answer, length))
    await send({"type": "http.response.body", "body": answer.body})


def _start(answer: Answer, *more: tuple[str, str]) -> dict[str, object]:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*answer.headers, *more)]
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _dribble(answer: Answer, link: Link, send: Send) -> None:
    """Send a body that never ends, at a pace that leaves the server able to do other things."""
    link.require()
    await send(_start(answer))
    chunk = answer.body
    while not await link.lost_within(_DRIBBLE_EVERY):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        chunk = _DRIBBLE
