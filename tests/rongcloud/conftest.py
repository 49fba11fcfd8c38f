"""The service and the row of all these tests, one attempt, and a server that answers as it is told."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable

import pytest

from batch_alias.model import Row
from batch_alias.rongcloud.client import Client
from batch_alias.settings import Secret, Service

SECRET = "7pQ-only-the-signature-may-know"


@pytest.fixture(scope="session")
def row() -> Row:
    return Row(number=7, user_id="user7", group_id="group1", remark="R&D 50%+ =老王")


@pytest.fixture(scope="session")
def service() -> Callable[..., Service]:
    """A service at some URLs, by default a primary and its backup."""

    def at(*urls: str, **more) -> Service:
        urls = urls or ("https://one.example", "https://two.example")
        return Service(urls=urls, app_key="an-app-key", app_secret=Secret(SECRET), **more)

    return at


@pytest.fixture(scope="session")
def attempt(row) -> Callable:
    """Make attempts on one connection of a client; the last one's reply and verdict."""

    def make(client: Client, times: int = 1):
        async def attempts():
            connection = client.connect()
            try:
                for _ in range(times):
                    last = await connection.set_alias(row)
            finally:
                await connection.aclose()
            return last

        return asyncio.run(attempts())

    return make


class Scripted:
    """A server on this machine: what it answers is given, what it was sent is kept.

    Args:
        answer: Bytes sent for each request; ``None`` closes the connection without a word.
    """

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self.connections: list[list[bytes]] = []
        self.url = ""
        self._tasks: set[asyncio.Task] = set()
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def requests(self) -> list[bytes]:
        """The heads of all requests."""
        return [head for heads in self.connections for head in heads]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        self._writers.append(writer)
        heads: list[bytes] = []
        self.connections.append(heads)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
                heads.append(head)
                answer = self._answer(head)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)


@pytest.fixture(scope="session")
def scripted() -> Callable:
    """Run a scripted server for the length of a block."""

    @contextlib.asynccontextmanager
    async def running(answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
        scripted = Scripted(answer)
        server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        scripted.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        try:
            yield scripted
        finally:
            server.close()
            await scripted.hang_up()
            await server.wait_closed()

    return running
