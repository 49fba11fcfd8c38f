"""An HTTP/1.1 connection over asyncio and h11, behind httpx's interface for transports.

httpx's own transport costs several times the CPU of this one, most of it for what a pool of connections and several
async libraries need. Called directly, not through ``httpx.AsyncClient``.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import cast

import h11
import httpx

from batch_alias.model import Failure, Permission
from batch_alias.rongcloud.hosts import Address, Resolver

_END = h11.EndOfMessage()


class Deadlines:
    """Time limits under way; they can be extended together, when this process stood still."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Timeout] = set()

    def limit(self, seconds: float | None) -> "_Limit":
        """A context manager that raises ``TimeoutError`` if its block takes longer."""
        return _Limit(self._under_way, seconds)

    def extend(self, seconds: float) -> None:
        """Give every block so much more time."""
        for deadline in self._under_way:
            if not deadline.expired() and (when := deadline.when()) is not None:
                deadline.reschedule(when + seconds)


class _Limit:
    """A time limit; a generator's context manager would cost as much again, for every attempt."""

    __slots__ = ("_deadline", "_under_way")

    def __init__(self, under_way: set[asyncio.Timeout], seconds: float | None) -> None:
        self._under_way = under_way
        self._deadline = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        self._under_way.add(self._deadline)
        await self._deadline.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._under_way.discard(self._deadline)
        await self._deadline.__aexit__(kind, error, trace)


class StreamTransport(httpx.AsyncBaseTransport):
    """At most one connection, for one request at a time; it is opened when a request needs it.

    A response is read as far as its reader wants: closing it before its end closes the connection, and so does
    whatever goes wrong. ``Connection: close`` is honoured in both directions. Of the extension ``timeout`` only
    ``connect`` is used, for DNS, TCP and TLS together; the caller limits the whole exchange. The extension
    ``permission``, a ``model.Permission``, is given back and renewed where a request waits for its connection, so that
    requests that were permitted one after the other are not sent together. A connection is not used again after
    ``idle`` seconds without a request.
    """

    def __init__(self, tls: ssl.SSLContext, resolver: Resolver, deadlines: Deadlines, *, idle: float) -> None:
        self._tls, self._resolver, self._deadlines, self._idle = tls, resolver, deadlines, idle
        self._connection: _HttpConnection | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and receive the head of its response.

        Raises:
            httpx.ConnectError: There is no connection; its cause is the ``OSError`` behind it.
            httpx.ConnectTimeout: There was none in time.
            httpx.ReadError: The connection broke.
            httpx.RemoteProtocolError: What came is not HTTP.
        """
        body = request.read()
        connection = self._connection
        # A connection that breaks before anything was sent on it is no attempt: another one is opened.
        if (
            connection is None
            or not connection.is_usable(request.url, idle=self._idle)
            or not connection.send(request, body)
        ):
            await self.aclose()
            permission: Permission | None = request.extensions.get("permission")
            if permission is not None:
                permission.give_back()
            connection = self._connection = await self._open(request)
            if permission is not None:
                await permission.renew()
            if not connection.send(request, body):
                raise httpx.WriteError("the connection was closed before the request was sent")
        try:
            head = await connection.receive()
        except BaseException:
            connection.close()
            raise
        head = cast("h11.Response", head)  # h11 lets nothing else be first
        return httpx.Response(head.status_code, headers=head.headers.raw_items(), stream=_Body(connection))

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    async def _open(self, request: httpx.Request) -> "_HttpConnection":
        url = request.url
        is_https = url.scheme == "https"
        limit = request.extensions.get("timeout", {}).get("connect")
        loop = asyncio.get_running_loop()
        addresses: list[Address] = []
        try:
            async with self._deadlines.limit(limit):
                addresses = await self._resolver.resolve(url.host, url.port or (443 if is_https else 80))
                connected = await self._connect(addresses, limit)
                _, connection = await loop.create_connection(
                    lambda: _HttpConnection(url),
                    sock=connected,
                    ssl=self._tls if is_https else None,
                    server_hostname=url.host if is_https else None,
                )
        except TimeoutError as error:
            if not addresses:
                raise httpx.ConnectError("DNS does not respond") from socket.gaierror(socket.EAI_AGAIN, "no response")
            raise httpx.ConnectTimeout(str(error) or "no connection in time") from error
        except OSError as error:  # ssl.SSLError and socket.gaierror among them
            raise httpx.ConnectError(str(error) or type(error).__name__) from error
        return connection

    async def _connect(self, addresses: list[Address], limit: float | None) -> socket.socket:
        """Connect to the first address that accepts; none takes more than its share of the time from those after it."""
        share = None if limit is None else limit / max(len(addresses), 1)
        for number, (family, address) in enumerate(addresses, start=1):
            connecting = socket.socket(family, socket.SOCK_STREAM)
            try:
                connecting.setblocking(False)
                async with self._deadlines.limit(share if number < len(addresses) else None):
                    await asyncio.get_running_loop().sock_connect(connecting, address)
                return connecting
            except BaseException as error:
                connecting.close()
                if not isinstance(error, OSError) or number == len(addresses):  # TimeoutError is one
                    raise
        raise OSError("the host has no address")


def failure_of(error: Exception) -> Failure:
    """Why an attempt has no response, by the exception and what is behind it."""
    if isinstance(error, httpx.ProxyError):
        # httpx's text begins with the proxy's status; with 5xx the proxy could not connect either.
        return Failure.PROXY if str(error).startswith("4") else Failure.CONNECT
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
        for cause in _causes(error):
            if isinstance(cause, socket.gaierror):
                return Failure.UNRESOLVED
            if isinstance(cause, ssl.SSLCertVerificationError):
                return Failure.UNTRUSTED
        return Failure.CONNECT
    if isinstance(error, (TimeoutError, httpx.TimeoutException)):
        return Failure.TIMEOUT
    return Failure.DROPPED


def is_refusal(error: Exception) -> bool:
    """Whether nobody listens at the address that was connected to."""
    return any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class _HttpConnection(asyncio.Protocol):
    """An open connection: what arrives goes into h11 at once, and is taken from it event by event."""

    def __init__(self, url: httpx.URL) -> None:
        self._origin = (url.scheme, url.host, url.port)
        self._http = h11.Connection(h11.CLIENT)
        self._error: Exception | None = None
        self._arrived: asyncio.Future[None] | None = None
        self._used_at = 0.0
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._http.our_state is h11.IDLE:
            # Nothing was asked: the end of a response that was longer than it said, or of the server's time limit.
            self.close()
            return
        self._http.receive_data(data)
        self._wake()

    def eof_received(self) -> None:
        if self._http.their_state is h11.SEND_RESPONSE and not self._http.trailing_data[0]:
            self._error = ConnectionResetError("the server closed the connection without a response")
        else:
            self._http.receive_data(b"")
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._error = self._error or error or ConnectionResetError("the connection was closed")
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def is_usable(self, url: httpx.URL, *, idle: float) -> bool:
        return (
            self._http.our_state is h11.IDLE
            and not self._transport.is_closing()
            and time.monotonic() - self._used_at < idle
            and self._origin == (url.scheme, url.host, url.port)
        )

    def send(self, request: httpx.Request, body: bytes) -> bool:
        """Send a request; whether the connection was there to send it on."""
        http, url = self._http, request.url
        data = http.send(h11.Request(method=request.method, target=url.raw_path, headers=request.headers.raw)) or b""
        data += http.send(h11.Data(data=body)) or b""
        data += http.send(_END) or b""
        self._transport.write(data)
        # asyncio writes at once what the socket takes: a connection that was reset is found out here.
        return not self._transport.is_closing()

    async def receive(self) -> h11.Event:
        """The next event of the response, other than 1xx responses."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise httpx.RemoteProtocolError(str(error)) from error
            if event is h11.NEED_DATA:
                await self._more()
            elif not isinstance(event, h11.InformationalResponse):
                return cast("h11.Event", event)

    async def _more(self) -> None:
        if self._error is not None:
            raise httpx.ReadError(str(self._error)) from self._error
        self._arrived = self._loop.create_future()
        await self._arrived

    def end(self) -> bool:
        """Note that the response is complete; return whether the connection can take another request."""
        http = self._http
        if http.trailing_data[0]:
            raise httpx.RemoteProtocolError("data after the end of the response")
        if not http.our_state is http.their_state is h11.DONE:
            return False
        http.start_next_cycle()
        self._used_at = time.monotonic()
        return True

    def close(self) -> None:
        self._transport.abort()


class _Body(httpx.AsyncByteStream):
    """The body of a response, as it arrives."""

    def __init__(self, connection: _HttpConnection) -> None:
        self._connection = connection
        self._keep = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        event = await self._connection.receive()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        self._keep = self._connection.end()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if not self._keep:
            self._connection.close()
