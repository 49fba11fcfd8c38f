"""One connection over asyncio and h11: responses in any pieces, when it is used again, and what ends it.

Both sides are coroutines of one event loop, so that a test decides what has happened before what.
"""

import asyncio
import contextlib
import gc
import itertools
import select
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from batch_alias.model import Failure, Permission
from batch_alias.rongcloud.hosts import Address, Resolver
from batch_alias.rongcloud.transport import Deadlines, StreamTransport, failure_of
from tests.support.http import BODY, OK
from tests.support.processes import DEADLINE

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\n" + BODY[:5] + b"\r\n7;note=1\r\n" + BODY[5:] + b"\r\n0\r\nTrailer: yes\r\n\r\n"
)
INFORMED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 12\r\n\r\n" + BODY
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody, and takes no time to make."""
WITHOUT_LENGTH = b"HTTP/1.0 200 OK\r\n\r\n" + BODY


class Loop(asyncio.SelectorEventLoop):
    """An event loop in which a test waits for what the client has noticed of its connections.

    Attributes:
        received: Bytes that have reached the client.
        opened: The client's connections, with their sockets.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received = 0
        self.opened: list[tuple[asyncio.Transport, socket.socket]] = []

    async def create_connection(self, make_protocol, **more):
        def counting() -> asyncio.Protocol:
            protocol = make_protocol()
            receive = protocol.data_received

            def data_received(data: bytes) -> None:
                self.received += len(data)
                receive(data)

            protocol.data_received = data_received
            return protocol

        transport, protocol = await super().create_connection(counting, **more)
        self.opened.append((transport, transport.get_extra_info("socket")))
        return transport, protocol

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():  # noqa: ASYNC110 - what a connection has noticed is no event
            await asyncio.sleep(0)

    async def until_received(self, count: int) -> None:
        """Wait until the client has received so many bytes, or closes the connection."""
        await self.until(lambda: self.received >= count or self.opened[-1][0].is_closing())

    async def until_closed(self) -> None:
        """Wait until the client's connections are closed and their sockets are released."""
        await self.until(lambda: all(connection.fileno() == -1 for _, connection in self.opened))


def run_in_loop(main: Callable[[Loop], Coroutine]):
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main(runner.get_loop()))


class Peer:
    """The server's side of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._loop: Loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        """Read the head of a request whose body is ``body``."""
        received = b""
        while not received.endswith(b"\r\n\r\nbody"):
            more = await self._loop.sock_recv(self._connection, 65536)
            assert more, "the connection was closed"
            received += more
        return received

    async def write(self, *pieces: bytes) -> None:
        """Write pieces, each of which the client receives by itself."""
        for piece in pieces:
            count = self._loop.received + len(piece)
            await self._loop.sock_sendall(self._connection, piece)
            await self._loop.until_received(count)

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
    """A server whose connections are the test's to read and write."""

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

    return StreamTransport(tls or PLAIN, Fixed(), Deadlines(), idle=idle)


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
    """Run a test with a listener and a transport, within a deadline."""

    async def main(loop: Loop) -> None:
        transport = transport_to(**more)
        with contextlib.ExitStack() as stack:
            async with asyncio.timeout(DEADLINE):
                await scene(Listener(stack), transport)
                await transport.aclose()
                await loop.until_closed()

    run_in_loop(main)


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
@hypothesis_settings(max_examples=min(25, hypothesis_settings().max_examples))
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
        await asyncio.get_running_loop().until_closed()
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
        (await use_once(listener, transport)).close(reset=True)
        # It has arrived, and nothing is awaited before the next request: the event loop has no chance to notice.
        ((_, connection),) = asyncio.get_running_loop().opened
        assert select.select([connection], [], [], DEADLINE)[0]
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
    async def scene(listener: Listener, _transport: StreamTransport) -> None:
        # With the address at hand, the connection is there before the time can be over.
        transport = transport_to((socket.AF_INET, ("127.0.0.1", listener.port)))
        async with posting(transport, "https://localhost/", connect=0.2) as posted:
            peer = await listener.accept()
            with pytest.raises(httpx.ConnectTimeout, match=r".+"):
                await posted
            assert await peer.has_ended()

    run(scene)


@pytest.fixture
def over_tls(scripted, tls_for) -> Callable[..., int]:
    """Send requests to ``localhost`` over TLS; the number of connections it took."""

    def send(trusting: ssl.SSLContext, times: int = 1) -> int:
        async def main(loop: Loop) -> int:
            async with asyncio.timeout(DEADLINE), scripted(lambda _head: OK, tls_for("localhost")) as server:
                port = urlsplit(server.url).port
                transport = transport_to((socket.AF_INET, ("127.0.0.1", port)), tls=trusting)
                try:
                    for _ in range(times):
                        assert await post(transport, f"https://localhost:{port}/") == (200, BODY)
                finally:
                    await transport.aclose()
                    await loop.until_closed()
            return len(server.connections)

        return run_in_loop(main)

    return send


def test_a_trusted_certificate_for_the_host_of_the_url_is_accepted(over_tls, authority):
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    assert over_tls(trusting, times=3) == 1


def test_a_certificate_that_is_not_trusted_is_the_cause_of_a_connect_error(over_tls):
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED") as raised:
        over_tls(PLAIN)
    assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)


def resolver_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "resolver"]


@pytest.fixture
def hanging(monkeypatch) -> Iterator[tuple[threading.Event, list[str]]]:
    """DNS that does not respond until it is released, and then knows one name; the names that were asked for."""
    released, asked = threading.Event(), []

    def getaddrinfo(host, *_arguments, **_more):
        asked.append(host)
        released.wait(DEADLINE)
        if host != "one.example":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield released, asked
    released.set()
    for thread in resolver_threads():
        thread.join(DEADLINE)


def test_a_name_is_resolved_once_at_a_time_and_cancelling_one_request_for_it_leaves_the_others(hanging):
    released, asked = hanging

    async def main() -> None:
        resolver = Resolver()
        cancelled, other = (asyncio.create_task(resolver.resolve("one.example", 80)) for _ in range(2))
        await asyncio.sleep(0)  # both have asked
        cancelled.cancel()
        await asyncio.wait([cancelled])
        released.set()
        assert await other == [(socket.AF_INET, ("192.0.2.1", 80))]
        assert asked == ["one.example"]
        await resolver.resolve("one.example", 80)
        assert asked == ["one.example"] * 2

    asyncio.run(main())


def test_a_name_that_turns_out_not_to_resolve_when_nothing_waits_for_it_any_more_is_not_logged(hanging, caplog):
    released, asked = hanging

    async def main() -> None:
        task = asyncio.create_task(Resolver().resolve("two.example", 80))
        await asyncio.sleep(0)  # it has asked
        task.cancel()
        await asyncio.wait([task])
        released.set()
        for thread in resolver_threads():
            thread.join(DEADLINE)
        # What the thread has scheduled is done before what is scheduled now, and so is what follows from it.
        for _ in range(2):
            await asyncio.sleep(0)

    asyncio.run(main())
    gc.collect()
    assert asked == ["two.example"]
    assert caplog.records == []


def test_a_handshake_that_the_server_breaks_off_is_a_connect_error():
    async def scene(listener: Listener, transport: StreamTransport) -> None:
        async with posting(transport, listener.url.replace("http:", "https:")) as posted:
            (await listener.accept()).close()
            with pytest.raises(httpx.ConnectError, match=r".+"):
                await posted

    run(scene)


def test_dns_that_does_not_respond_does_not_hold_up_the_end_of_the_event_loop(hanging, until):
    released, asked = hanging

    async def give_up() -> None:
        with pytest.raises(httpx.ConnectError) as raised:
            await post(transport_to(), "http://one.example/", connect=0.1)
        assert failure_of(raised.value) is Failure.UNRESOLVED

    asyncio.run(give_up())
    until(lambda: asked == ["one.example"])
    assert not released.is_set()
    (thread,) = resolver_threads()
    assert thread.daemon
