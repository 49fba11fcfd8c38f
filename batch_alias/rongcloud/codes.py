"""What RongCloud's codes mean, as a table.

An error carries an HTTP status and JSON ``{"code": int, "errorMessage": text, "url": path}``. The text may be Chinese
or English, so nothing is ever decided by it. The code decides; where there is none (a gateway or a CDN answered, or
nobody did), the HTTP status decides. Code 1015 arrives with HTTP 200, so success is HTTP 200 *and* code 200.

Source: RongCloud's server API documentation, "Status codes", and answers seen in recorded traffic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import assert_never

from batch_alias.model import Action, Failure, Response, Classification


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One line of the table.

    Attributes:
        http: The HTTP status the code arrives with.
        meaning: What it says, in plain words.
        action: What a bulk run does about it.
        in_doubt: The write may have happened all the same.
        unwell: It is the service that is ill, not the request.
        systematic: When all of the first rows are answered so, a setting is wrong and not the rows.
        advice: Which setting to look at when it stops the run.
    """

    http: int
    meaning: str
    action: Action
    in_doubt: bool = False
    unwell: bool = False
    systematic: bool = False
    advice: str = ""


_KEYS = "Look at RONGCLOUD_APP_KEY and RONGCLOUD_APP_SECRET, and that the region is the one the app lives in."

SUCCESS = 200

CODES: Mapping[int, Code] = MappingProxyType(
    {
        200: Code(http=200, meaning="accepted", action=Action.ACCEPT),
        1000: Code(http=500, meaning="internal error", action=Action.RETRY, in_doubt=True, unwell=True),
        1001: Code(http=401, meaning="App Key and secret do not match", action=Action.STOP, advice=_KEYS),
        1002: Code(
            http=400,
            meaning="parameter missing or invalid",
            action=Action.FAIL,
            systematic=True,
            advice="RongCloud also answers so when it does not know the App Key: look at RONGCLOUD_APP_KEY, at the "
            "region, and at which column was taken for which.",
        ),
        1003: Code(http=400, meaning="empty request", action=Action.FAIL),
        1004: Code(http=401, meaning="signature refused", action=Action.SIGN_AGAIN, advice=_KEYS),
        1005: Code(http=400, meaning="parameter too long", action=Action.FAIL),
        1006: Code(
            http=401,
            meaning="the app is locked or deleted",
            action=Action.STOP,
            advice="Ask the owner of the app, or look at RONGCLOUD_APP_KEY.",
        ),
        1007: Code(
            http=401,
            meaning="refused for this app",
            action=Action.STOP,
            advice="Look in RongCloud's console whether the app permits this machine's IP address and this call.",
        ),
        1008: Code(http=429, meaning="over the rate limit", action=Action.SLOW_DOWN),
        1009: Code(
            http=430,
            meaning="service not enabled for this app",
            action=Action.STOP,
            advice="Enable the group member push alias for the app in RongCloud's console.",
        ),
        1050: Code(http=504, meaning="internal timeout", action=Action.RETRY, in_doubt=True, unwell=True),
    }
)


def classify(reply: Response) -> Classification:
    """What a reply means for its row and for the run."""
    if reply.failure is not None:
        return _without_answer(reply.failure)
    if reply.code == SUCCESS and reply.status != SUCCESS:
        return _by_status(reply)
    known = CODES.get(reply.code) if reply.code is not None else None
    if known is not None:
        return Classification(
            action=known.action,
            meaning=known.meaning,
            in_doubt=known.in_doubt,
            unwell=known.unwell,
            systematic=known.systematic,
            advice=known.advice,
        )
    return _by_status(reply)


def _without_answer(failure: Failure) -> Classification:
    match failure:
        case Failure.CONNECT:
            return Classification(action=Action.RETRY, meaning="no connection", unwell=True)
        case Failure.TIMEOUT:
            return Classification(action=Action.RETRY, meaning="no answer in time", in_doubt=True, unwell=True)
        case Failure.DROPPED:
            return Classification(action=Action.RETRY, meaning="the connection broke", in_doubt=True, unwell=True)
    assert_never(failure)


def _by_status(reply: Response) -> Classification:
    """The verdict where the code says nothing: it is missing, unknown, or at odds with the status."""
    status = reply.status or 0
    if status == 429:
        return Classification(action=Action.SLOW_DOWN, meaning="over the gateway's limit")
    if status == 408 or status >= 500:
        return Classification(action=Action.RETRY, meaning=f"HTTP {status}", in_doubt=True, unwell=True)
    if reply.code is not None and reply.code != SUCCESS:
        return Classification(action=Action.FAIL, meaning=f"code {reply.code}")
    if status in {401, 403, 407}:
        return Classification(
            action=Action.STOP,
            meaning=f"HTTP {status} from a gateway",
            advice="Look at the proxy settings and at whether RongCloud permits this machine's IP address.",
        )
    if status == 404:
        return Classification(
            action=Action.STOP,
            meaning="HTTP 404: this host does not know the call",
            advice="Look at --region or --url.",
        )
    if status >= 400:
        return Classification(action=Action.FAIL, meaning=f"HTTP {status} from a gateway")
    # A page instead of JSON, or a redirect, which a signed request never follows: a gateway that is not itself.
    return Classification(action=Action.RETRY, meaning=f"HTTP {status} without RongCloud's JSON", in_doubt=True, unwell=True)
