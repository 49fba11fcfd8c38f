"""Which proxy of the environment applies to a URL, and httpx's transport through it."""

import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from batch_alias.errors import UsageError
from batch_alias.settings.target import is_loopback


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
    """A transport of one connection through a proxy.

    Args:
        idle: Seconds without a request after which the connection is not used again.

    Raises:
        UsageError: The address of the proxy cannot be used; its password is not shown.
    """
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=idle)
    try:
        return httpx.AsyncHTTPTransport(verify=tls, limits=limits, proxy=proxy)
    except ImportError as error:
        problem = "The environment names a SOCKS proxy, for which a package is missing."
        raise UsageError(problem, "Install httpx[socks], or pass --no-proxy.") from error
    except (ValueError, httpx.InvalidURL) as error:
        raise UsageError(
            "The environment names a proxy that is not the URL of one.",
            "Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or pass --no-proxy.",
        ) from error
