"""The hosts of a data centre: which one is in use for all connections together, its addresses, proxy and certificate.

Like RongCloud's SDKs the client switches on a failure to connect, a 5xx or a gateway's page, never on a 4xx or a
refusal by the rate limit, and at most once in 30 seconds; unlike them on 503, 504 and timeouts only where an outage is
suspected.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from batch_alias.errors import UsageError
from batch_alias.settings.target import is_loopback
from batch_alias.text import N_

SWITCH_INTERVAL = 30.0
"""Least seconds between two switches."""

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


class Hosts:
    """One or two base URLs, the primary first; at least ``interval`` seconds are between two switches."""

    def __init__(self, urls: Sequence[str], *, interval: float = SWITCH_INTERVAL) -> None:
        self.urls = tuple(url.rstrip("/") for url in urls)
        self._interval = interval
        self._index = 0
        self._switched_at: float | None = None
        self.switches = 0

    @property
    def current(self) -> str:
        """The base URL in use."""
        return self.urls[self._index]

    def report_unhealthy(self, url: str, *, now: float) -> bool:
        """Note that a request to a base URL failed; return whether the host was switched.

        A late response of a host that is no longer in use changes nothing.
        """
        if len(self.urls) < 2 or url != self.current:
            return False
        if self._switched_at is not None and now - self._switched_at < self._interval:
            return False
        self._switch(now)
        return True

    def alternate(self, host: str, *, now: float) -> bool:
        """Switch from a host, if it is in use, regardless of the interval: an outage's probes try both in turn."""
        if len(self.urls) < 2 or urlsplit(self.current).netloc != host:
            return False
        self._switch(now)
        return True

    def _switch(self, now: float) -> None:
        self._index = 1 - self._index
        self._switched_at = now
        self.switches += 1


class Resolver:
    """Resolves host names in daemon threads, one at a time for a name.

    The event loop's own ``getaddrinfo`` runs in an executor whose threads are waited for when the process ends: a DNS
    server that does not respond would hold it up for half a minute.
    """

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """All addresses of a host. Raises ``OSError`` if there are none, or DNS does not work."""
        loop, key = asyncio.get_running_loop(), (host, port)
        future = self._under_way.get(key)
        if future is None or future.get_loop() is not loop:  # one of a loop that was closed never ends
            future = self._under_way[key] = loop.create_future()
            threading.Thread(target=_resolve, args=(host, port, loop, future), name="resolver", daemon=True).start()
            future.add_done_callback(lambda ended: self._ended(key, ended))
        return await asyncio.shield(future)

    def _ended(self, key: tuple[str, int], future: "asyncio.Future[list[Address]]") -> None:
        self._under_way.pop(key, None)
        # asyncio logs an exception that is never retrieved, as after a timeout.
        future.exception()


def _resolve(host: str, port: int, loop: asyncio.AbstractEventLoop, future: "asyncio.Future[list[Address]]") -> None:
    settle: Callable[[], None]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        settle = partial(future.set_result, [(entry[0], entry[4]) for entry in found])
    except OSError as error:
        settle = partial(future.set_exception, error)
    except UnicodeError as error:  # a label that is empty or too long
        settle = partial(future.set_exception, socket.gaierror(socket.EAI_NONAME, str(error)))
    # The loop may have been closed meanwhile.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)


def proxy_of(url: str) -> str | None:
    """The proxy that ``HTTPS_PROXY``, ``HTTP_PROXY`` or ``ALL_PROXY`` names for a URL.

    There is none for the hosts of ``NO_PROXY``, and never one for this machine's own.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def proxy_transport(proxy: str, tls: ssl.SSLContext, *, idle: float) -> httpx.AsyncHTTPTransport:
    """A transport of one connection through a proxy, which is not used again after ``idle`` seconds without a request.

    Raises:
        UsageError: The address of the proxy cannot be used; its password is not shown.
    """
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=idle)
    try:
        return httpx.AsyncHTTPTransport(verify=tls, limits=limits, proxy=proxy)
    except ImportError as error:
        problem = N_("The environment names a SOCKS proxy, for which a package is missing.")
        raise UsageError(problem, "Install httpx[socks], or pass --no-proxy.") from error
    except (ValueError, httpx.InvalidURL) as error:
        raise UsageError(
            "A proxy that the environment names is not a URL.",
            "Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or pass --no-proxy.",
        ) from error


def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """What certificates are trusted: the public authorities, those the environment names, or those of a bundle.

    Raises:
        UsageError: They cannot be used.
    """
    problem, advice = N_("The CA bundle {path} cannot be used: {error}."), ""
    if ca_bundle is None:
        problem = N_("The certificate authorities that SSL_CERT_FILE or SSL_CERT_DIR names cannot be used: {error}.")
        advice = N_("Correct or unset them.")
    try:
        return httpx.create_ssl_context() if ca_bundle is None else ssl.create_default_context(cafile=str(ca_bundle))
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(problem, advice, path=ca_bundle, error=error) from error
