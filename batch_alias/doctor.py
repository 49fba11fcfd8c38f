"""Is everything in place? One signed read call, and what can be told on the way to it. It changes nothing."""

import asyncio
import math
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from batch_alias.errors import ExitCode, UsageError
from batch_alias.model import Action
from batch_alias.rongcloud.client import CONNECT_SECONDS, Client
from batch_alias.settings import Settings

TOLERABLE_SKEW = 30.0
"""Seconds between the server's clock and ours that are no reason to worry."""
NOBODY = "batch-alias-doctor"
"""A user and a group that nobody has, asked for their alias."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: Its name.
        good: Whether it is in order.
        detail: What was found, in plain words.
    """

    what: str
    good: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What the doctor found."""

    findings: list[Finding]

    @property
    def exit_code(self) -> ExitCode:
        """0 when all is in order, else 4."""
        return ExitCode.DONE if all(finding.good for finding in self.findings) else ExitCode.STOPPED


async def examine(settings: Settings) -> Diagnosis:
    """Look at DNS, TLS, the hosts, the clock, the round trip and the credentials of a service.

    Raises:
        UsageError: No service was named.
    """
    if settings.service is None:
        raise UsageError("No service was named.", "Say --region NAME or --url URL.")
    findings: list[Finding] = []
    client = Client(settings.service, timeout=settings.timeout, ca_bundle=settings.ca_bundle, proxies=settings.proxies)
    for url in settings.service.urls:
        findings += await _way(url, client.tls, proxies=settings.proxies)
    findings += await _call(client, settings.rate)
    return Diagnosis(findings=findings)


async def _way(url: str, tls: ssl.SSLContext, *, proxies: bool) -> list[Finding]:
    parts = urlsplit(url)
    if proxies and parts.scheme in getproxies() and not proxy_bypass(parts.hostname or ""):
        return [Finding(what=f"Way to {parts.hostname}", good=True, detail="through a proxy, which looks up the host")]
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return [Finding(what=f"DNS of {host}", good=False, detail=str(error.strerror or error))]
    addresses = ", ".join(sorted({str(entry[4][0]) for entry in found}))
    findings = [Finding(what=f"DNS of {host}", good=True, detail=addresses)]
    what = f"{'TLS' if parts.scheme == 'https' else 'TCP'} to {host}:{port}"
    started = time.monotonic()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _reader, writer = await asyncio.open_connection(host, port, ssl=tls if parts.scheme == "https" else None)
    except TimeoutError:
        return [*findings, Finding(what=what, good=False, detail=f"no connection within {CONNECT_SECONDS:.0f} s")]
    except OSError as error:
        return [*findings, Finding(what=what, good=False, detail=str(error))]
    took = (time.monotonic() - started) * 1000
    session = writer.get_extra_info("ssl_object")
    version = f"{session.version()}, certificate verified, " if session is not None else ""
    writer.transport.abort()
    return [*findings, Finding(what=what, good=True, detail=f"{version}{took:.0f} ms")]


async def _call(client: Client, rate: int) -> list[Finding]:
    connection = client.connect()
    try:
        reply, verdict = await connection.read_alias(NOBODY, NOBODY)
        if verdict.action is Action.ACCEPT:
            # The first call has open_job the connection; the second one tells the round trip.
            reply, verdict = await connection.read_alias(NOBODY, NOBODY)
    finally:
        await connection.aclose()
    said = f": {reply.message}" if reply.message else ""
    code = f" (code {reply.code})" if reply.code is not None else ""
    accepted = verdict.action is Action.ACCEPT
    findings = [
        Finding(
            what="Signed call",
            good=accepted,
            detail=f"{verdict.meaning}{code}{said}. {verdict.advice}".strip()
            if not accepted
            else "credentials accepted",
        )
    ]
    if reply.clock_skew is not None:
        side = "ahead of" if reply.clock_skew > 0 else "behind"
        detail = f"the server's clock is {abs(reply.clock_skew):.0f} s {side} this machine's"
        findings.append(Finding(what="Clock", good=abs(reply.clock_skew) <= TOLERABLE_SKEW, detail=detail))
    if accepted:
        lanes = max(1, math.ceil(rate * reply.latency))
        detail = f"{reply.latency * 1000:.0f} ms; {rate} a second need about {lanes} requests in flight"
        findings.append(Finding(what="Round trip", good=True, detail=detail))
    return findings
