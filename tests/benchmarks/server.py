"""A small HTTP server in a process of its own: what it answers to each request is a benchmark's to decide.

Its log says when each request arrived, exactly. It stands for another machine, so it has priority over the client where
that is permitted.
"""

import asyncio
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import NamedTuple

import httpx

Service = Callable[[float], tuple[str, float]]
"""From a monotonic reading to a key of ``RESPONSES`` and the seconds until that is sent; it can be pickled."""


class Arrival(NamedTuple):
    """A request that has arrived whole."""

    at: float  # a monotonic reading, the same in all processes
    row: str
    kind: str  # a key of RESPONSES
    latency: float


def response(status: str, body: bytes, content_type: str = "text/html") -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, f"Date: {formatdate(usegmt=True)}", "", "")).encode() + body


RESPONSES = MappingProxyType(
    {
        "accepted": response("200 OK", b'{"code":200}', "application/json"),
        "1008": response("429 Too Many Requests", b'{"code":1008}', "application/json"),
        **{
            status[:3]: response(status, f"<html>{status}</html>".encode())
            for status in (
                "429 Too Many Requests",
                "500 Internal Server Error",
                "503 Service Unavailable",
                "504 Gateway Timeout",
            )
        },
        "page": response("200 OK", b"<html>Welcome</html>"),
        "dropped": b"",  # the connection is closed
        "lost": b"",  # the same, but the row was written
        "hang": None,
    }
)
WRITTEN = frozenset({"accepted", "lost"})


class Answering(asyncio.Protocol):
    """A connection. Every POST is answered by the service; ``GET /count`` and ``GET /log`` read the log."""

    def __init__(self, service: Service, log: list[Arrival]) -> None:
        self.service, self.log, self.received = service, log, b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, _, body = self.received.partition(b"\r\n\r\n")
        if head.startswith(b"GET"):
            self.received = b""
            found = self.log if head.startswith(b"GET /log") else len(self.log)
            self.transport.write(response("200 OK", json.dumps(found).encode()))
            return
        length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        if not length or len(body) < int(length):
            return
        self.received = b""
        now = time.monotonic()
        kind, latency = self.service(now)
        self.log.append(Arrival(now, body.partition(b"&")[0].decode(), kind, latency))
        asyncio.get_running_loop().call_later(latency, self.respond, RESPONSES[kind])

    def respond(self, whole: bytes | None) -> None:
        if whole:
            self.transport.write(whole)
        elif whole is not None:
            self.transport.close()


def serve(service: Service, ready: Connection) -> None:
    """Serve until the process ends; the port is sent to ``ready``."""
    with suppress(OSError):
        os.nice(-10)
    asyncio.run(_serve(service, ready))


async def _serve(service: Service, ready: Connection) -> None:
    connection = partial(Answering, service, [])
    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0, backlog=4096)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    url: str
    _client: httpx.Client

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which ``batch-alias`` sends to it."""
        return {"RONGCLOUD_URL": self.url, "RONGCLOUD_APP_KEY": "the-key", "RONGCLOUD_APP_SECRET": "the-secret"}

    def count(self) -> int:
        """How many requests have arrived."""
        return self._client.get("/count").json()

    def log(self) -> list[Arrival]:
        """All of them, in order."""
        return [Arrival(*arrival) for arrival in self._client.get("/log").json()]


@contextmanager
def server_process(service: Service) -> Iterator[Server]:
    """Serve for the length of a block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(service, theirs), daemon=True)
    process.start()
    try:
        url = f"http://127.0.0.1:{ours.recv()}"
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            yield Server(url, client)
    finally:
        process.terminate()
        process.join()
