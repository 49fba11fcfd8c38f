"""The HTTP client: every attempt signed, every response read within bounds, at most 79 requests on a connection.

One shared ``httpx.AsyncClient`` falls from 700 requests/s at 8 in flight to 200 at 32 and 4 at 512, since its pool is
quadratic. So each connection is a client of its own with a pool of one, and all share one TLS context, which is nearly
all of the 25 to 40 ms that a client costs.
"""

import asyncio
import secrets
import ssl
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from batch_alias.errors import UsageError
from batch_alias.model import Failure, Operation, Response
from batch_alias.rongcloud.codes import FAILURES, classify
from batch_alias.rongcloud.hosts import SWITCH_INTERVAL, Hosts
from batch_alias.rongcloud.wire import FORM, NONCE_LENGTH, PATHS, decode, encode, one_line, signed_headers
from batch_alias.settings.target import Target

REQUESTS_PER_CONNECTION = 79
"""RongCloud asks for under 80 requests on one connection: the 79th closes it."""
IDLE_SECONDS = 50.0
"""RongCloud asks for under 55 idle seconds on a connection."""
CONNECT_SECONDS = 5.0
"""Most seconds for DNS, TCP and TLS together; RongCloud's SDKs allow 3 to 5."""
BODY_BYTES = 64 * 1024
"""Most bytes of a response body that are read; RongCloud's have under 200."""


class Client:
    """What all connections to a target share: TLS context, hosts, time limits.

    Args:
        target: Where to send, and as which app.
        timeout: Seconds for a whole attempt.
        switch_interval: Least seconds between two switches of hosts.
        on_switch: Called with the new host when all connections move to the other host.

    Raises:
        UsageError: The CA bundle cannot be read.
    """

    def __init__(
        self,
        target: Target,
        *,
        timeout: float,
        switch_interval: float = SWITCH_INTERVAL,
        on_switch: Callable[[str], None] = lambda _host: None,
    ) -> None:
        self.target = target
        self.timeout = timeout
        self.hosts = Hosts(target.urls, interval=switch_interval)
        self.tls = _tls_context(target.ca_bundle)
        self._on_switch = on_switch

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

    def open_httpx(self) -> httpx.AsyncClient:
        """An httpx client of exactly one connection. It follows no redirect: a signed request goes to no other host."""
        return httpx.AsyncClient(
            verify=self.tls,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=IDLE_SECONDS),
            timeout=httpx.Timeout(self.timeout, connect=min(CONNECT_SECONDS, self.timeout)),
            follow_redirects=False,
            trust_env=not self.target.no_proxy,
            # Cookies would tie a connection to one server, and grow.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            # An encoded body could be a bomb; without encodings the bound on bytes read is a bound on memory.
            headers={"User-Agent": "batch-alias", "Accept": "application/json", "Accept-Encoding": "identity"},
        )


class Connection:
    """One connection, for one attempt at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._httpx = client.open_httpx()
        self._url = ""
        self._requests = 0

    async def execute(self, operation: Operation) -> Response:
        """Make one signed attempt. A failure on the way is in the response; nothing is raised for it."""
        url = self._client.hosts.current
        started = time.monotonic()
        request_id = str(uuid.uuid4())
        request = self._request(url, operation, request_id)
        response = Response(
            request_id=request_id,
            host=urlsplit(url).netloc,
            latency=0.0,
            classification=FAILURES[Failure.TIMEOUT],  # until it is known
        )
        try:
            async with asyncio.timeout(self._client.timeout):
                response = await self._exchange(request, response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.PoolTimeout) as error:
            response = await self._failed(request, response, Failure.CONNECT, error)
        except (TimeoutError, httpx.TimeoutException) as error:
            response = await self._failed(request, response, Failure.TIMEOUT, error)
        except (httpx.TransportError, httpx.StreamError, OSError) as error:
            response = await self._failed(request, response, Failure.DROPPED, error)
        if response.classification.unhealthy:
            self._client.report_unhealthy(url)
        return replace(response, latency=time.monotonic() - started)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._httpx.aclose()

    def _request(self, url: str, operation: Operation, request_id: str) -> httpx.Request:
        target = self._client.target
        headers = signed_headers(
            target.app_key,
            target.app_secret,
            nonce=secrets.token_hex(NONCE_LENGTH // 2),
            timestamp_ms=time.time_ns() // 1_000_000,
        )
        headers["Content-Type"] = FORM
        headers["X-Request-ID"] = request_id
        if url != self._url:
            self._url, self._requests = url, 0
        self._requests += 1
        if self._requests >= REQUESTS_PER_CONNECTION:
            headers["Connection"] = "close"
            self._requests = 0
        return self._httpx.build_request(
            "POST", url + PATHS[operation.call], content=encode(operation), headers=headers
        )

    async def _exchange(self, request: httpx.Request, response: Response) -> Response:
        received = await self._httpx.send(request, stream=True)
        try:
            body = await _read(received)
        finally:
            await received.aclose()
        code, message = decode(_redact(body, request))
        if received.is_redirect and not message:
            location = _redact(received.headers.get("Location", "nowhere").encode(), request)
            message = one_line(f"redirect to {location.decode()}")
        return replace(
            response,
            classification=classify(status=received.status_code, code=code),
            status=received.status_code,
            code=code,
            message=message,
            retry_after=_retry_after(received.headers.get("Retry-After")),
            clock_skew=_clock_skew(received.headers.get("Date")),
        )

    async def _failed(self, request: httpx.Request, response: Response, failure: Failure, error: Exception) -> Response:
        # httpcore does not promise a usable pool after a cancelled or broken request.
        await self.aclose()
        self._httpx = self._client.open_httpx()
        self._requests = 0
        # Without a text of its own the error's name says no more than the failure does.
        text = f"{type(error).__name__}: {error}".encode(errors="replace") if str(error) else b""
        message = one_line(_redact(text, request).decode())
        return replace(response, classification=FAILURES[failure], failure=failure, message=message)


def _redact(text: bytes, request: httpx.Request) -> bytes:
    """Remove the request's signature and nonce: a server that echoes them must not get them into a report."""
    for header in ("Signature", "Nonce"):
        text = text.replace(request.headers[header].encode(), b"***")
    return text


async def _read(received: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in received.aiter_raw(BODY_BYTES):
        body += chunk
        if len(body) >= BODY_BYTES:
            break
    return bytes(body[:BODY_BYTES])


def _retry_after(value: str | None) -> float | None:
    """``Retry-After`` in seconds; its other form, a date, is compared with this machine's clock."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    date = _parse_date(value)
    return None if date is None else max(0.0, date - time.time())


def _clock_skew(value: str | None) -> float | None:
    date = None if value is None else _parse_date(value)
    return None if date is None else date - time.time()


def _parse_date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    if ca_bundle is None:
        return httpx.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=str(ca_bundle))
    except (OSError, ssl.SSLError) as error:
        raise UsageError("The CA bundle {path} cannot be used: {error}.", path=ca_bundle, error=error) from error
