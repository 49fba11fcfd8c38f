"""One connection over asyncio and h11: responses in any pieces, when it is used again, and what ends it.

Both sides are coroutines of one event loop, so that a test decides what has happened before what.
"""

import asyncio
import contextlib
import gc
import itertools
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine

import httpx
import pytest
import trustme
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from batch_alias.model import Failure, Permission
from batch_alias.rongcloud.hosts import Address, Resolver
from batch_alias.rongcloud.transport import Deadlines, StreamTransport, failure_of

BODY = b'{"code":200}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\n" + BODY[:5] + b"\r\n7;note=1\r\n" + BODY[5:] + b"\r\n0\r\nTrailer: yes\r\n\r\n"
)
INFORMED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 12\r\n\r\n" + BODY
WITHOUT_LENGTH = b"HTTP/1.0 200 OK\r\n\r\n" + BODY
DEADLINE = 60.0


async def settle() -> None:
    """Let the event loop notice what has arrived on its sockets."""
    for _ in range(10):
        await asyncio.sleep(0)


class Peer:
    """The server's side of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        """Read the head of a request whose body is ``body``."""
        received = b""
        while not received.endswith(b"\r\n\r\nbody"):
            more = await self._loop.sock_recv(self._connection, 65536)
            assert more, "the connection was closed"
            received += more
        return received

    async def write(self, *pieces: bytes) -> None:
        for piece in pieces:
            await self._loop.sock_sendall(self._connection, piece)
            await settle()

    async def has_ended(self) -> bool:
        """Wait until the client closes the connection."""
        with contextlib.suppress(ConnectionResetError):
            while await self._loop.sock_recv(self._connection, 65536):
                pass
        return True

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()


class Listener:
    """A server without a mind of its own."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/path"

    async def accept(self) -> Peer:
        connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        connection.setblocking(False)
        self._stack.callback(connection.close)
        return Peer(connection)


def transport_to(*addresses: Address, tls: ssl.SSLContext | None = None, idle: float = DEADLINE) -> StreamTransport:
    """A transport, to the given addresses whatever the host."""

    class Fixed(Resolver):
        async def resolve(self, host: str, port: int) -> list[Address]:
            return list(addresses) or await super().resolve(host, port)

    return StreamTransport(tls or ssl.create_default_context(), Fixed(), Deadlines(), idle=idle)


async def post(
    transport: StreamTransport,
    url: str,
    *,
    connect: float = DEADLINE,
    permission: Permission | None = None,
    **headers: str,
) -> tuple[int, bytes]:
    """The status and the body that a request gets."""
    more = {"Host": "service.example", "Content-Length": "4"} | headers
    extensions = {"timeout": {"connect": connect}, "permission": permission}
    request = httpx.Request("POST", url, headers=more, stream=httpx.ByteStream(b"body"), extensions=extensions)
    response = await transport.handle_async_request(request)
    try:
        return response.status_code, b"".join([chunk async for chunk in response.stream])
    finally:
        await response.stream.aclose()


def run(scene: Callable[[Listener, StreamTransport], Coroutine], **more) -> None:
    """Run a scene of a listener and a transport, within a deadline."""

    async def main() -> None:
        transport = transport_to(**more)
        with contextlib.ExitStack() as stack:
            async with asyncio.timeout(DEADLINE):
                await scene(Listener(stack), transport)
            await transport.aclose()
            await settle()

    asyncio.run(main())


@contextlib.asynccontextmanager
async def posting(transport: StreamTransport, url: str, **more) -> AsyncIterator[asyncio.Task[tuple[int, bytes]]]:
    task = asyncio.create_task(post(transport, url, **more))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize(
    "response", [OK, CHUNKED, INFORMED, CLOSING, WITHOUT_LENGTH], ids=["length", "chunked", "1xx", "close", "no length"]
)
@hypothesis_settings(max_examples=25)
@given(data=st.data())
def test_a_response_is_the_same_in_whatever_pieces_it_arrives(response, data):
    cuts = data.draw(st.lists(st.integers(0, len(response)), max_size=6).map(sorted))
    pieces = [response[begin:end] for begin, end in itertools.pairwise([0, *cuts, len(response)])]

    async def scene(listener: Listener, transport: StreamTransport) -> None:
        async with posting(transport, listener.url) as posted:
            peer = await listener.accept()
            await peer.read()
            await peer.write(*pieces)
            if response is WITHOUT_LENGTH:
                peer.close()
            assert await posted == (200, BODY)

    run(scene)


def test_a_request_is_sent_as_it_was_given():
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        async with posting(transport, listener.url + "?q=%20", Nonce="n") as posted:
            peer = await listener.accept()
            sent = b"POST /path?q=%20 HTTP/1.1\r\nHost: service.example\r\nContent-Length: 4\r\nNonce: n\r\n\r\nbody"
            assert await peer.read() == sent
            await peer.write(OK)
            await posted

    run(scene)


def test_a_connection_is_used_again():
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        peer = None
        for response in (OK, CHUNKED, INFORMED, OK):
            async with posting(transport, listener.url) as posted:
                peer = peer or await listener.accept()
                await peer.read()
                await peer.write(response)
                assert await posted == (200, BODY)

    run(scene)


def test_a_request_that_waited_for_its_connection_renews_its_permission():
    calls = []

    class Recorder:
        def give_back(self) -> None:
            calls.append("given back")

        async def renew(self) -> None:
            calls.append("renewed")

    async def scene(listener: Listener, transport: StreamTransport) -> None:
        peer = None
        for _ in range(2):
            async with posting(transport, listener.url, permission=Recorder()) as posted:
                peer = peer or await listener.accept()
                await peer.read()
                await peer.write(OK)
                assert await posted == (200, BODY)
        assert calls == ["given back", "renewed"]

    run(scene)


@pytest.mark.parametrize(
    ("response", "headers"), [(CLOSING, {}), (OK, {"Connection": "close"})], ids=["server", "client"]
)
def test_a_connection_that_one_side_closes_is_not_used_again(response, headers):
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        for _ in range(2):
            async with posting(transport, listener.url, **headers) as posted:
                peer = await listener.accept()
                await peer.read()
                await peer.write(response)
                assert await posted == (200, BODY)
                assert await peer.has_ended()

    run(scene)


async def use_once(listener: Listener, transport: StreamTransport) -> Peer:
    async with posting(transport, listener.url) as posted:
        peer = await listener.accept()
        await peer.read()
        await peer.write(OK)
        assert await posted == (200, BODY)
    return peer


def test_a_connection_that_was_idle_for_too_long_is_replaced():
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        first = await use_once(listener, transport)
        await use_once(listener, transport)
        assert await first.has_ended()

    run(scene, idle=0.0)


def test_another_host_gets_another_connection():
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        with contextlib.ExitStack() as stack:
            other = Listener(stack)
            first = await use_once(listener, transport)
            await use_once(other, transport)
            assert await first.has_ended()

    run(scene)


END = {
    "closed": lambda peer: peer.close(),
    "reset": lambda peer: peer.close(reset=True),
}


@pytest.mark.parametrize("end", END.values(), ids=END)
def test_an_idle_connection_that_has_ended_is_replaced(end):
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        end(await use_once(listener, transport))
        await settle()
        await use_once(listener, transport)

    run(scene)


def test_an_idle_connection_on_which_something_arrives_is_replaced():
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        peer = await use_once(listener, transport)
        await peer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        assert await peer.has_ended()
        await use_once(listener, transport)

    run(scene)


def test_a_connection_that_is_found_reset_before_anything_was_sent_is_replaced():
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        peer = await use_once(listener, transport)
        # Nothing is awaited between the two: the event loop has no chance to notice.
        peer.close(reset=True)
        await use_once(listener, transport)

    run(scene)


def test_a_request_that_was_sent_before_the_connection_ended_is_not_sent_again():
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        (await use_once(listener, transport)).close()
        with pytest.raises(httpx.ReadError):
            await post(transport, listener.url)
        await use_once(listener, transport)

    run(scene)


BROKEN = {
    "status line": b"not HTTP at all\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x28 this is not HTTP\r\n\r\n",
    "header line": b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: minus one\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Length: 13\r\n\r\n" + BODY,
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "data after the end": OK + b"garbage",
    "a second response": OK + OK,
}


@pytest.mark.parametrize("response", BROKEN.values(), ids=BROKEN)
def test_what_is_not_http_is_a_protocol_error_and_closes_the_connection(response):
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        async with posting(transport, listener.url) as posted:
            peer = await listener.accept()
            await peer.read()
            with contextlib.suppress(ConnectionError):
                await peer.write(response)
            with pytest.raises(httpx.RemoteProtocolError, match=r".+"):
                await posted
            assert await peer.has_ended()
        await use_once(listener, transport)

    run(scene)


@pytest.mark.parametrize("end", END.values(), ids=END)
@pytest.mark.parametrize("sent", [b"", OK[:20], OK[:-1], CHUNKED[:-7]], ids=["nothing", "head", "length", "chunked"])
def test_a_connection_that_breaks_is_an_error_of_httpx(sent, end):
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        async with posting(transport, listener.url) as posted:
            peer = await listener.accept()
            await peer.read()
            await peer.write(sent)
            end(peer)
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError), match=r".+"):
                await posted
        await use_once(listener, transport)

    run(scene)


@pytest.mark.parametrize("sent", [b"", OK[:20], OK[:-1]], ids=["nothing", "head", "body"])
def test_a_cancelled_request_closes_the_connection(sent):
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        async with posting(transport, listener.url) as posted:
            peer = await listener.accept()
            await peer.read()
            await peer.write(sent)
            posted.cancel()
            with pytest.raises(asyncio.CancelledError):
                await posted
            assert await peer.has_ended()
        await use_once(listener, transport)

    run(scene)


def test_a_body_that_is_not_read_to_its_end_closes_the_connection():
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        request = httpx.Request(
            "POST", listener.url, headers={"Host": "a", "Content-Length": "4"}, stream=httpx.ByteStream(b"body")
        )
        head = asyncio.create_task(transport.handle_async_request(request))
        peer = await listener.accept()
        await peer.read()
        await peer.write(OK.replace(b"12", b"1000000"))
        response = await head
        assert response.headers["Content-Length"] == "1000000"
        await response.stream.aclose()
        assert await peer.has_ended()
        await use_once(listener, transport)

    run(scene)


def refusing() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return socket.AF_INET, closed.getsockname()


def test_a_port_without_a_server_is_a_connect_error_with_its_cause():
    async def scene(_listener: Listener, _transport: StreamTransport) -> None:
        with pytest.raises(httpx.ConnectError, match=r".+") as raised:
            await post(transport_to(), f"http://127.0.0.1:{refusing()[1][1]}/")
        assert isinstance(raised.value.__cause__, ConnectionRefusedError)

    run(scene)


def test_the_next_address_is_tried_when_one_refuses():
    async def scene(listener: Listener, _transport: StreamTransport) -> None:
        transport = transport_to(refusing(), refusing(), (socket.AF_INET, ("127.0.0.1", listener.port)))
        await use_once(listener, transport)
        await transport.aclose()

    run(scene)


@pytest.mark.parametrize("host", ["service.invalid", "a" * 64 + ".example"], ids=["unknown", "no name"])
def test_a_name_that_does_not_resolve_is_a_connect_error_with_its_cause(host):
    async def scene(_listener: Listener, _transport: StreamTransport) -> None:
        with pytest.raises(httpx.ConnectError, match=r".+") as raised:
            await post(transport_to(), f"http://{host}/")
        assert isinstance(raised.value.__cause__, socket.gaierror)

    run(scene)


def test_a_handshake_that_is_not_answered_ends_after_the_time_to_connect():
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        async with posting(transport, listener.url.replace("http:", "https:"), connect=0.2) as posted:
            peer = await listener.accept()
            with pytest.raises(httpx.ConnectTimeout, match=r".+"):
                await posted
            assert await peer.has_ended()

    run(scene)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def over_tls(authority: trustme.CA, tls: ssl.SSLContext, times: int = 1) -> int:
    """Send requests to ``localhost`` over TLS; the number of connections it took."""
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\nbody"):
                writer.write(OK)
        writer.close()

    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        address = server.sockets[0].getsockname()
        transport = transport_to((socket.AF_INET, address), tls=tls)
        try:
            async with asyncio.timeout(DEADLINE):
                for _ in range(times):
                    assert await post(transport, f"https://localhost:{address[1]}/") == (200, BODY)
        finally:
            await transport.aclose()
            server.close()
            await settle()

    asyncio.run(main())
    return len(connections)


def test_a_trusted_certificate_for_the_host_of_the_url_is_accepted(authority):
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    assert over_tls(authority, trusting, times=3) == 1


def test_a_certificate_that_is_not_trusted_is_the_cause_of_a_connect_error(authority):
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED") as raised:
        over_tls(authority, ssl.create_default_context())
    assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)


@pytest.fixture
def hanging(monkeypatch):
    """DNS that does not respond until it is released; the names that were asked for."""
    released, asked = threading.Event(), []

    def getaddrinfo(host, *_arguments, **_more):
        asked.append(host)
        released.wait(DEADLINE)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield released, asked
    released.set()


def test_a_name_is_resolved_once_at_a_time_and_whoever_gives_up_does_not_stop_the_others(hanging):
    released, asked = hanging

    async def main() -> None:
        resolver = Resolver()
        impatient, patient = (asyncio.create_task(resolver.resolve("one.example", 80)) for _ in range(2))
        await settle()
        impatient.cancel()
        await asyncio.wait([impatient])
        released.set()
        assert await patient == [(socket.AF_INET, ("192.0.2.1", 80))]
        assert asked == ["one.example"]
        await resolver.resolve("one.example", 80)
        assert asked == ["one.example"] * 2

    asyncio.run(main())


def test_a_name_that_turns_out_not_to_resolve_when_all_have_given_up_is_not_logged(monkeypatch, caplog):
    released = threading.Event()

    def getaddrinfo(*_arguments, **_more):
        released.wait(DEADLINE)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    async def main() -> None:
        task = asyncio.create_task(Resolver().resolve("one.example", 80))
        await settle()
        task.cancel()
        await asyncio.wait([task])
        released.set()
        for thread in threading.enumerate():
            if thread.name == "resolver":
                thread.join(DEADLINE)
        await settle()

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    asyncio.run(main())
    gc.collect()
    assert caplog.records == []


def test_a_handshake_that_the_server_breaks_off_is_a_connect_error():
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        async with posting(transport, listener.url.replace("http:", "https:")) as posted:
            (await listener.accept()).close()
            with pytest.raises(httpx.ConnectError, match=r".+"):
                await posted

    run(scene)


def test_dns_that_does_not_respond_does_not_hold_up_the_end_of_the_event_loop(hanging):
    released, asked = hanging

    async def give_up() -> None:
        with pytest.raises(httpx.ConnectError) as raised:
            await post(transport_to(), "http://one.example/", connect=0.1)
        assert failure_of(raised.value) is Failure.UNRESOLVED

    asyncio.run(give_up())
    assert asked == ["one.example"]
    assert not released.is_set()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "resolver"]
    assert thread.daemon
    assert thread.is_alive()
    released.set()
    thread.join(DEADLINE)
