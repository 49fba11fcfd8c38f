"""Whether a target is ready: DNS, TLS, credentials, clock, round trip. Makes signed read calls and changes nothing."""

import asyncio
import math
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from batch_alias.model import HARMLESS, Action, Failure, Response
from batch_alias.rongcloud.client import CONNECT_SECONDS, Client
from batch_alias.rongcloud.codes import FAILURES
from batch_alias.sending.retry import CLOCK_TOLERANCE
from batch_alias.settings import Sending
from batch_alias.settings.target import Target

_LATE = f"no response within {CONNECT_SECONDS:g} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was examined, whether it is in order, and what was found."""

    subject: str
    good: bool
    detail: str


async def diagnose(target: Target, sending: Sending) -> list[Finding]:
    """Examine a target, as it would be sent to."""
    findings: list[Finding] = []
    client = Client(target, timeout=sending.timeout)
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
    if client.proxy(url) is not None:
        return [Finding(subject=f"Connection to {host}", good=True, detail="through a proxy, which resolves the host")]
    is_https = parts.scheme == "https"
    port = parts.port or (443 if is_https else 80)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            found = await client.resolver.resolve(host, port)
    except TimeoutError:
        return [_bad(f"DNS of {host}", _LATE, Failure.UNRESOLVED)]
    except OSError as error:
        return [_bad(f"DNS of {host}", str(error.strerror or error), Failure.UNRESOLVED)]
    addresses = ", ".join(sorted({str(address[0]) for _, address in found}))
    resolved = Finding(subject=f"DNS of {host}", good=True, detail=addresses)
    subject = f"{'TLS' if is_https else 'TCP'} to {host}:{port}"
    started = time.monotonic()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=client.tls if is_https else None)
    except TimeoutError:
        return [resolved, _bad(subject, _LATE, Failure.CONNECT)]
    except ssl.SSLCertVerificationError as error:
        return [resolved, _bad(subject, error.verify_message, Failure.UNTRUSTED)]
    except OSError as error:
        return [resolved, _bad(subject, str(error), Failure.CONNECT)]
    milliseconds = (time.monotonic() - started) * 1000
    session = writer.get_extra_info("ssl_object")
    version = f"{session.version()}, certificate verified, " if session is not None else ""
    writer.transport.abort()
    return [resolved, Finding(subject=subject, good=True, detail=f"{version}{milliseconds:.0f} ms")]


def _bad(subject: str, detail: str, failure: Failure) -> Finding:
    advice = FAILURES[failure].advice
    return Finding(subject=subject, good=False, detail=f"{detail}. {advice}" if advice else detail)


def _examine_response(response: Response, rate: int) -> list[Finding]:
    classification = response.classification
    accepted = classification.action is Action.ACCEPT
    code = f" (code {response.code})" if response.code is not None else ""
    message = f": {response.message}" if response.message else ""
    refused = f"{classification.meaning}{code}{message}. {classification.advice}".strip()
    findings = [Finding(subject="Signed call", good=accepted, detail="credentials accepted" if accepted else refused)]
    skew = response.clock_skew
    if skew is not None:
        side = "ahead of" if skew > 0 else "behind"
        detail = f"the server's clock is {abs(skew):.0f} s {side} this machine's"
        findings.append(Finding(subject="Clock", good=abs(skew) <= CLOCK_TOLERANCE, detail=detail))
    if accepted:
        in_flight = max(1, math.ceil(rate * response.latency))
        detail = f"{response.latency * 1000:.0f} ms; {rate} requests per second need about {in_flight} in flight"
        findings.append(Finding(subject="Round trip", good=True, detail=detail))
    return findings
