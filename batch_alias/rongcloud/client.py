"""The HTTP client: one connection per lane, every attempt signed, every answer read within bounds.

Why no shared pool: one ``httpx.AsyncClient`` falls from 700 requests/s at 8 in flight to 200 at 32 and 4 at 512,
because its pool is quadratic. So each lane owns a client with exactly one connection, and all share one TLS context,
which is nearly all of the 25 to 40 ms that a client costs.
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
from batch_alias.model import Failure, Response, Row, Classification
from batch_alias.rongcloud.codes import classify
from batch_alias.rongcloud.hosts import SWITCH_INTERVAL, Hosts
from batch_alias.rongcloud.signing import NONCE_LENGTH, signed_headers
from batch_alias.rongcloud.wire import FORM, GET_PATH, SET_PATH, decode, encode, encode_query, excerpt
from batch_alias.settings import Service

REQUESTS_PER_CONNECTION = 79
"""RongCloud asks for under 80 requests on one connection: the 79th closes it."""
IDLE_SECONDS = 50.0
"""RongCloud asks for under 55 idle seconds on a connection."""
CONNECT_SECONDS = 5.0
"""Most seconds for DNS, TCP and TLS together; RongCloud's SDKs take 3 to 5."""
BODY_BYTES = 64 * 1024
"""Most bytes of an answer that are read; RongCloud's are under 200."""


class Client:
    """Opens connections to a service and keeps what they share: TLS context, hosts, time limits.

    Args:
        service: Where and as whom.
        timeout: Seconds for a whole attempt.
        ca_bundle: A PEM file of the authorities to trust instead of the public ones.
        proxies: Honour the proxy environment variables.
        switch_interval: Least seconds between two switches of hosts.
        on_switch: Called with the new host when all lanes move to it.

    Raises:
        UsageError: The CA bundle cannot be read.
    """

    def __init__(
        self,
        service: Service,
        *,
        timeout: float,
        ca_bundle: Path | None = None,
        proxies: bool = True,
        switch_interval: float = SWITCH_INTERVAL,
        on_switch: Callable[[str], None] = lambda _host: None,
    ) -> None:
        self.service = service
        self.timeout = timeout
        self.hosts = Hosts(service.urls, interval=switch_interval)
        self.tls = _tls_context(ca_bundle)
        self._proxies = proxies
        self._on_switch = on_switch

    def connect(self) -> "Connection":
        """A connection of its own for one lane; open_job on first use."""
        return Connection(self)

    def leave(self, host: str) -> None:
        """Move from a host to the other one of the data centre, if it has one and that has not happened yet."""
        if self.hosts.alternate(host, now=time.monotonic()):
            self._on_switch(self.hosts.current)

    def note(self, url: str, verdict: Classification) -> None:
        """Take note of a verdict on a host."""
        if verdict.unwell and self.hosts.report_unwell(url, now=time.monotonic()):
            self._on_switch(self.hosts.current)

    def open_httpx(self) -> httpx.AsyncClient:
        """An httpx client of exactly one connection. It follows no redirect: a signed request goes to no other host."""
        return httpx.AsyncClient(
            verify=self.tls,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=IDLE_SECONDS),
            timeout=httpx.Timeout(self.timeout, connect=min(CONNECT_SECONDS, self.timeout)),
            follow_redirects=False,
            trust_env=self._proxies,
            # An attempt owes nothing to the one before: cookies would tie a lane to one server and grow with it.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            # An encoded answer could be a bomb; without encodings the bound on bytes read is a bound on memory.
            headers={"User-Agent": "batch-alias", "Accept": "application/json", "Accept-Encoding": "identity"},
        )


class Connection:
    """One connection of one lane. Attempts on it follow each other; two at once are a mistake."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._httpx = client.open_httpx()
        self._url = ""
        self._requests = 0

    async def set_alias(self, row: Row) -> tuple[Response, Classification]:
        """Make one signed attempt to set a row's alias; whatever happens on the way is in the reply."""
        return await self._call(SET_PATH, encode(row))

    async def read_alias(self, user_id: str, group_id: str) -> tuple[Response, Classification]:
        """Make one signed attempt to read an alias; it changes nothing."""
        return await self._call(GET_PATH, encode_query(user_id, group_id))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._httpx.aclose()

    async def _call(self, path: str, form: bytes) -> tuple[Response, Classification]:
        url = self._client.hosts.current
        started = time.monotonic()
        request_id = str(uuid.uuid4())
        request = self._request(url, path, form, request_id)
        reply = Response(request_id=request_id, host=urlsplit(url).netloc, latency=0.0)
        try:
            async with asyncio.timeout(self._client.timeout):
                reply = await self._exchange(request, reply)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.PoolTimeout) as error:
            reply = await self._broken(request, reply, Failure.CONNECT, error)
        except (TimeoutError, httpx.TimeoutException) as error:
            reply = await self._broken(request, reply, Failure.TIMEOUT, error)
        except (httpx.TransportError, httpx.StreamError, OSError) as error:
            reply = await self._broken(request, reply, Failure.DROPPED, error)
        reply = replace(reply, latency=time.monotonic() - started)
        verdict = classify(reply)
        self._client.note(url, verdict)
        return reply, verdict

    def _request(self, url: str, path: str, form: bytes, request_id: str) -> httpx.Request:
        service = self._client.service
        headers = signed_headers(
            service.app_key,
            service.app_secret,
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
        return self._httpx.build_request("POST", url + path, content=form, headers=headers)

    async def _exchange(self, request: httpx.Request, reply: Response) -> Response:
        response = await self._httpx.send(request, stream=True)
        try:
            body = await _read(response)
        finally:
            await response.aclose()
        code, message = decode(_hide(body, request))
        if response.is_redirect and not message:
            target = _hide(response.headers.get("Location", "nowhere").encode(), request)
            message = excerpt(f"redirect to {target.decode()}")
        return replace(
            reply,
            status=response.status_code,
            code=code,
            message=message,
            retry_after=_retry_after(response.headers.get("Retry-After")),
            clock_skew=_clock_skew(response.headers.get("Date")),
        )

    async def _broken(self, request: httpx.Request, reply: Response, failure: Failure, error: Exception) -> Response:
        # httpcore does not promise a usable pool after a cancelled or broken request: begin a new one.
        await self.aclose()
        self._httpx = self._client.open_httpx()
        self._requests = 0
        # Without a text of its own the error's name says no more than the failure does.
        said = f"{type(error).__name__}: {error}".encode(errors="replace") if str(error) else b""
        return replace(reply, failure=failure, message=excerpt(_hide(said, request).decode()))


def _hide(text: bytes, request: httpx.Request) -> bytes:
    """A text without the request's signature: a server that echoes it must not get it into a report."""
    for header in ("Signature", "Nonce"):
        text = text.replace(request.headers[header].encode(), b"***")
    return text


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw(BODY_BYTES):
        body += chunk
        if len(body) >= BODY_BYTES:
            break
    return bytes(body[:BODY_BYTES])


def _retry_after(value: str | None) -> float | None:
    """``Retry-After`` in seconds; its other form, a date, is taken against our clock."""
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
        raise UsageError(f"The CA bundle {ca_bundle} cannot be used: {error}.") from error
