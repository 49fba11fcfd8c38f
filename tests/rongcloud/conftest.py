"""An operation, attempts on a connection, a mocked service, and a server that responds from a script."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

import httpx
import pytest
import respx

from batch_alias.model import Call, Operation, Response
from batch_alias.rongcloud.client import Client
from tests.support.http import SET
from tests.support.processes import DEADLINE

ONE, TWO = "https://one.example", "https://two.example"
"""A primary and its backup."""


@pytest.fixture(scope="session")
def operation() -> Operation:
    return Operation(call=Call.SET, user_id="user7", group_id="group1", remark="R&D 50%+ =老王")


@pytest.fixture(scope="session")
def attempts_on(operation) -> Callable[..., Coroutine[None, None, Response]]:
    """Make attempts on one connection of a client; the last one's response."""

    async def make(client: Client, times: int = 1) -> Response:
        connection = client.connect()
        try:
            for _ in range(times):
                last = await connection.execute(operation)
        finally:
            await connection.aclose()
        return last

    return make


@pytest.fixture(scope="session")
def attempt(attempts_on) -> Callable[..., Response]:
    """The same, from outside an event loop."""
    return lambda client, times=1: asyncio.run(attempts_on(client, times))


@pytest.fixture
def router() -> Iterator[respx.MockRouter]:
    """The service that the clients of ``mocked`` reach."""
    router = respx.MockRouter()
    yield router
    router.assert_all_called()


@pytest.fixture
def mocked(router, target) -> Callable[..., Client]:
    """A client of the mocked service, which has two hosts."""

    def make(*, timeout: float = DEADLINE, **more) -> Client:
        more["transport"] = lambda: httpx.MockTransport(router.async_handler)
        return Client(target(f"{ONE},{TWO}"), timeout=timeout, **more)

    return make


@pytest.fixture
def received(router, mocked, attempt) -> Callable[..., Response]:
    """What the client makes of an HTTP response, or of an exception instead of one; ``body`` is bytes or JSON."""

    def receive(status: int = 200, body: object = b"", *, failure: Exception | None = None, **headers: str) -> Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = httpx.Response(status, content=content, headers=named)
        router.post(f"{ONE}{SET}").mock(return_value=response, side_effect=failure)
        return attempt(mocked())

    return receive


class ScriptedServer:
    """A server on this machine that keeps what it receives.

    Args:
        respond: From the head of a request to the bytes of the response; ``None`` closes the connection.
    """

    def __init__(self, respond: Callable[[bytes], bytes | None]) -> None:
        self._respond = respond
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
                fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
                await reader.readexactly(int(fields.get(b"content-length", 0)))
                heads.append(head)
                response = self._respond(head)
                if response is None:
                    break
                writer.write(response)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)


@pytest.fixture(scope="session")
def scripted() -> Callable:
    """Run a scripted server for the length of a block."""

    @contextlib.asynccontextmanager
    async def running(
        respond: Callable[[bytes], bytes | None], tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[ScriptedServer]:
        scripted = ScriptedServer(respond)
        server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        scripted.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        try:
            yield scripted
        finally:
            server.close()
            await scripted.close()
            await server.wait_closed()

    return running
