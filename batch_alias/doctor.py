"""Whether a target is ready: DNS, TLS, credentials, clock, round trip. Makes signed read calls and changes nothing."""

import asyncio
import math
import os
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from batch_alias.errors import reason
from batch_alias.model import Action, Failure, Response
from batch_alias.rongcloud.client import CONNECT_SECONDS, Client
from batch_alias.rongcloud.codes import FAILURES
from batch_alias.sending import HARMLESS
from batch_alias.sending.retry import CLOCK_TOLERANCE
from batch_alias.settings import Sending
from batch_alias.settings.target import Target
from batch_alias.staging import reachable
from batch_alias.text import N_, _, enumeration


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was examined, whether it is in order, and what was found."""

    subject: str
    good: bool
    detail: str


async def diagnose(target: Target, sending: Sending) -> list[Finding]:
    """Examine a target, as it would be sent to; the sandbox is served meanwhile."""
    with reachable(target) as served:
        findings: list[Finding] = []
        client = Client(served, timeout=sending.timeout)
        for url in client.hosts.urls:
            findings += await _examine_connection(url, client)
        connection = client.connect()
        try:
            response = await connection.execute(HARMLESS)
            if response.classification.action is Action.ACCEPT:
                # The first call has opened the connection; the second one shows the round trip.
                response = await connection.execute(HARMLESS)
        finally:
            await connection.aclose()
    return [*findings, *_examine_response(response, sending.rate)]


async def _examine_connection(url: str, client: Client) -> list[Finding]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if client.proxies[url] is not None:
        subject = _("Connection to {host}", host=host)
        return [Finding(subject=subject, good=True, detail=_("through a proxy, which resolves the host"))]
    is_https = parts.scheme == "https"
    port = parts.port or (443 if is_https else 80)
    late = _("no response within {seconds:g} s", seconds=CONNECT_SECONDS)
    subject = _("DNS of {host}", host=host)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            found = await client.resolver.resolve(host, port)
    except TimeoutError:
        return [_bad(subject, late, Failure.UNRESOLVED)]
    except OSError as error:
        return [_bad(subject, reason(error), Failure.UNRESOLVED)]
    addresses = enumeration(sorted({str(address[0]) for _family, address in found}))
    resolved = Finding(subject=subject, good=True, detail=addresses)
    protocol = "TLS" if is_https else "TCP"
    subject = _("{protocol} to {host}:{port}", protocol=protocol, host=host, port=port)
    started = time.monotonic()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _reader, writer = await asyncio.open_connection(host, port, ssl=client.tls if is_https else None)
    except TimeoutError:
        return [resolved, _bad(subject, late, Failure.CONNECT)]
    except ssl.SSLCertVerificationError as error:
        return [resolved, _bad(subject, error.verify_message, Failure.UNTRUSTED)]
    except OSError as error:
        detail = _(os.strerror(error.errno)) if error.errno else str(error)
        return [resolved, _bad(subject, detail, Failure.CONNECT)]
    detail = _("{milliseconds:.0f} ms", milliseconds=(time.monotonic() - started) * 1000)
    if (session := writer.get_extra_info("ssl_object")) is not None:
        detail = enumeration([session.version(), _("certificate verified"), detail])
    writer.transport.abort()
    return [resolved, Finding(subject=subject, good=True, detail=detail)]


def _bad(subject: str, detail: str, failure: Failure) -> Finding:
    return Finding(subject=subject, good=False, detail=_with_advice(detail, FAILURES[failure].advice))


def _with_advice(detail: str, advice: str) -> str:
    return _("{detail}. {advice}", detail=detail, advice=_(advice)) if advice else detail


def _examine_response(response: Response, rate: int) -> list[Finding]:
    accepted = response.classification.action is Action.ACCEPT
    detail: str = _("credentials accepted")
    if not accepted:
        detail = response.classification.text
        if response.code is not None:
            detail = _("{meaning} (code {code})", meaning=detail, code=response.code)
        if response.message:
            detail = _("{meaning}: {message}", meaning=detail, message=response.message)
        detail = _with_advice(detail, response.classification.advice)
    findings = [Finding(subject=_("Signed call"), good=accepted, detail=detail)]
    skew = response.clock_skew
    if skew is not None:
        sentence = N_("the server's clock is {seconds:.0f} s behind this machine's")
        if skew > 0:
            sentence = N_("the server's clock is {seconds:.0f} s ahead of this machine's")
        good = abs(skew) <= CLOCK_TOLERANCE
        findings.append(Finding(subject=_("Clock"), good=good, detail=_(sentence, seconds=abs(skew))))
    if accepted:
        detail = _(
            "{milliseconds:.0f} ms; about {in_flight} in flight at {rate} per second",
            milliseconds=response.latency * 1000,
            rate=rate,
            in_flight=max(1, math.ceil(rate * response.latency)),
        )
        findings.append(Finding(subject=_("Round trip"), good=True, detail=detail))
    return findings
