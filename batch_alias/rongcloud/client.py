"""The HTTP client: every attempt signed, every response read within bounds, at most 79 requests on a connection.

One shared ``httpx.AsyncClient`` falls from 700 requests/s at 8 in flight to 200 at 32 and 4 at 512, since its pool is
quadratic. So each connection is a transport of its own, called directly, and all share one TLS context, which takes 25
to 40 ms to make.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httpx

from batch_alias.model import Action, Call, Failure, Operation, Permission, PermissionWithdrawn, Response
from batch_alias.rongcloud.codes import FAILURES, UNREADABLE, classify
from batch_alias.rongcloud.hosts import SWITCH_INTERVAL, Hosts, Resolver, proxy_of, proxy_transport, tls_context
from batch_alias.rongcloud.transport import Deadlines, StreamTransport, failure_of, is_refusal
from batch_alias.rongcloud.wire import (
    FORM,
    NONCE_LENGTH,
    PATHS,
    alias_in,
    clock_skew,
    decode,
    encode,
    inflate,
    members_in,
    one_line,
    retry_after,
    signed_headers,
)
from batch_alias.settings.target import Target
from batch_alias.text import _

REQUESTS_PER_CONNECTION = 79
"""RongCloud asks for under 80 requests on one connection: the 79th closes it."""
IDLE_SECONDS = 50.0
"""RongCloud asks for under 55 idle seconds on a connection."""
FIRST_SECONDS = 5.0
"""Most seconds for a row's first attempt: RongCloud advises to go to the other host after 5 s without a response."""
CONNECT_SHARE = 0.9
"""Share of the shortest attempt for DNS, TCP and TLS together.

Less than all of it, so that a host that cannot be reached is not taken for one that does not respond.
"""
CONNECT_SECONDS = CONNECT_SHARE * FIRST_SECONDS
"""Most seconds to connect unless attempts are shorter; RongCloud's SDKs allow 3 to 5."""
BODY_BYTES = 64 * 1024
"""Most bytes of a response body that are read; RongCloud's have under 200,"""
MEMBERS_BYTES = 1024 * 1024
"""but for the members of a group, of which there are up to 3,000."""

_HEADERS = {
    "User-Agent": "batch-alias",
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # without encodings the bound on bytes read is a bound on memory
    "Content-Type": FORM,
}


@dataclass(slots=True)
class _Attempt:
    """A request on its way, and what must not be shown of it."""

    call: Call
    request: httpx.Request
    request_id: str
    hidden: tuple[bytes, ...]
    started: float

    @property
    def most(self) -> int:
        return MEMBERS_BYTES if self.call is Call.MEMBERS else BODY_BYTES

    def redact(self, text: bytes) -> bytes:
        # A server that echoes the signature or the nonce must not get them into a report.
        for word in self.hidden:
            text = text.replace(word, b"***")
        return text


class Client:
    """What all connections to a target share: TLS context, proxies, hosts, time limits.

    Args:
        target: Where to send, and as which app.
        timeout: Seconds for a whole attempt.
        first_timeout: The same for a row's first attempt, if that is shorter.
        switch_interval: Least seconds between two switches of hosts.
        on_switch: Called with the new host when all connections move to the other host.
        transport: Makes the transport of a connection, instead of our own one or one through a proxy.

    Raises:
        UsageError: The CA bundle, ``SSL_CERT_FILE`` or a proxy of the environment cannot be used.
    """

    def __init__(
        self,
        target: Target,
        *,
        timeout: float,
        first_timeout: float = FIRST_SECONDS,
        switch_interval: float = SWITCH_INTERVAL,
        on_switch: Callable[[str], None] = lambda _host: None,
        transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self.target = target
        self.timeout = timeout
        self.first_timeout = min(first_timeout, timeout)
        self.hosts = Hosts(target.urls, interval=switch_interval)
        self.tls = tls_context(target.ca_bundle)
        self.resolver = Resolver()
        self.deadlines = Deadlines()  # of the attempts under way
        self._on_switch = on_switch
        self._transport = transport
        # The environment is read once; this raises if it names a proxy that cannot be used.
        self.proxies = {url: None if target.no_proxy else proxy_of(url) for url in self.hosts.urls}
        for url in self.hosts.urls:
            self.transport(url)

    def connect(self) -> "Connection":
        """A new connection; it is opened on first use."""
        return Connection(self)

    def leave(self, host: str) -> None:
        """Move all connections from a host to the other one, if there is one and the host is still in use."""
        if self.hosts.alternate(host, now=time.monotonic()):
            self._on_switch(urlsplit(self.hosts.current).netloc)

    def report_unhealthy(self, url: str) -> None:
        """Report a failed request; all connections move to the other host, unless they did so lately."""
        if self.hosts.report_unhealthy(url, now=time.monotonic()):
            self._on_switch(urlsplit(self.hosts.current).netloc)

    def extend(self, seconds: float) -> None:
        """Give all attempts under way so much more time."""
        self.deadlines.extend(seconds)

    def transport(self, url: str) -> httpx.AsyncBaseTransport:
        """A new transport to a base URL, of one connection at most."""
        if self._transport is not None:
            return self._transport()
        if (proxy := self.proxies[url]) is not None:
            return proxy_transport(proxy, self.tls, idle=IDLE_SECONDS)
        return StreamTransport(self.tls, self.resolver, self.deadlines, idle=IDLE_SECONDS)


class Connection:
    """One connection, for one attempt at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._transport: httpx.AsyncBaseTransport | None = None
        self._url = self._host = ""
        self._urls: dict[Call, httpx.URL] = {}
        self._requests = 0

    async def execute(
        self, operation: Operation, *, first: bool = False, permission: Permission | None = None
    ) -> Response:
        """Make one signed attempt. A failure on the way is in the response; nothing is raised for it.

        Args:
            first: Whether it is the first one for its row, which may have less time.
            permission: Renewed before an attempt that had to wait for its connection, except through a proxy.
        """
        client = self._client
        limit = client.first_timeout if first else client.timeout
        url = client.hosts.current
        transport = self._transport
        if transport is None or url != self._url:
            transport = await self._move(url)
        attempt = self._attempt(operation, permission)
        try:
            async with client.deadlines.limit(limit):
                received, body = await _exchange(transport, attempt.request, attempt.most)
        except PermissionWithdrawn:
            await self.aclose()
            raise
        except (httpx.TransportError, httpx.StreamError, OSError) as error:  # TimeoutError is an OSError
            # No transport promises to be usable after a cancelled or broken request.
            await self.aclose()
            response = self._failed(attempt, error)
        else:
            response = self._responded(attempt, received, body)
        if response.classification.unhealthy and not response.classification.congestion:
            client.report_unhealthy(url)
        return response

    async def aclose(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    async def _move(self, url: str) -> httpx.AsyncBaseTransport:
        await self.aclose()
        if url != self._url:
            self._url, self._host = url, urlsplit(url).netloc
            self._urls = {call: httpx.URL(url + path) for call, path in PATHS.items()}
        self._requests = 0
        self._transport = transport = self._client.transport(url)
        return transport

    def _attempt(self, operation: Operation, permission: Permission | None) -> _Attempt:
        target, body = self._client.target, encode(operation)
        signed = signed_headers(
            target.app_key,
            target.app_secret,
            nonce=secrets.token_hex(NONCE_LENGTH // 2),
            timestamp_ms=time.time_ns() // 1_000_000,
        )
        request_id = secrets.token_hex(16)  # RongCloud takes at most 36 characters
        headers = {
            "Host": self._host,
            **signed,
            "X-Request-ID": request_id,
            **_HEADERS,
            "Content-Length": str(len(body)),
        }
        self._requests += 1
        if self._requests >= REQUESTS_PER_CONNECTION:
            headers["Connection"] = "close"
            self._requests = 0
        # ``execute`` limits the whole attempt; only the time to connect has a limit of its own.
        seconds = {"connect": CONNECT_SHARE * self._client.first_timeout}
        # With the headers complete and the body as a stream, httpx has nothing left to work out.
        request = httpx.Request(
            "POST",
            self._urls[operation.call],
            headers=headers,
            stream=httpx.ByteStream(body),
            extensions={"timeout": seconds, "permission": permission},
        )
        hidden = (signed["Signature"].encode(), signed["Nonce"].encode())
        return _Attempt(operation.call, request, request_id, hidden, time.monotonic())

    def _responded(self, attempt: _Attempt, received: httpx.Response, body: bytes) -> Response:
        status, headers, now = received.status_code, received.headers, time.time()
        body = inflate(body, headers.get("Content-Encoding", ""), most=attempt.most)
        code, message, fields = decode(attempt.redact(body))
        if received.is_redirect and not message:
            location = attempt.redact(headers.get("Location", "").encode()).decode()
            message = _("redirect to {location}", location=one_line(location)) if location else _("redirect to nowhere")
        classification, remark, members = classify(status=status, code=code), None, None
        if classification.action is Action.ACCEPT and attempt.call in {Call.READ, Call.MEMBERS}:
            remark = alias_in(fields) if attempt.call is Call.READ else None
            members = members_in(fields) if attempt.call is Call.MEMBERS else None
            if remark is None and members is None:
                classification = UNREADABLE
        return Response(
            request_id=attempt.request_id,
            host=self._host,
            latency=time.monotonic() - attempt.started,
            classification=classification,
            status=status,
            code=code,
            message=message,
            retry_after=retry_after(headers.get("Retry-After"), now=now),
            clock_skew=clock_skew(headers.get("Date"), now=now),
            remark=remark,
            members=members,
        )

    def _failed(self, attempt: _Attempt, error: Exception) -> Response:
        failure = failure_of(error)
        if failure is Failure.CONNECT and is_refusal(error) and self._client.proxies[self._url]:
            failure = Failure.PROXY  # nothing else is connected to
        # Without a text of its own the error's name says no more than the failure does.
        text = f"{type(error).__name__}: {error}".encode(errors="replace") if str(error) else b""
        return Response(
            request_id=attempt.request_id,
            host=self._host,
            latency=time.monotonic() - attempt.started,
            classification=FAILURES[failure],
            message=one_line(attempt.redact(text).decode()),
            failure=failure,
        )


async def _exchange(
    transport: httpx.AsyncBaseTransport, request: httpx.Request, most: int
) -> tuple[httpx.Response, bytes]:
    """The head of a response, and the beginning of its body as it was sent, of so many bytes at most."""
    response = await transport.handle_async_request(request)
    stream, body = cast("httpx.AsyncByteStream", response.stream), bytearray()
    try:
        async for chunk in stream:
            body += chunk
            if len(body) >= most:
                break
    finally:
        await stream.aclose()
    return response, bytes(body[:most])
