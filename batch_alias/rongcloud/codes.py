"""What RongCloud's codes mean, as a table.

An error carries an HTTP status and JSON ``{"code": int, "errorMessage": text, "url": path}``. The text may be Chinese
or English, so nothing is decided by it. The code decides; where there is none, because a gateway or a CDN answered, the
HTTP status decides. Code 1015 comes with HTTP 200, so a success is HTTP 200 *and* code 200.

Source: RongCloud's server API documentation, "Status codes", and responses seen in recorded traffic.
"""

from collections.abc import Mapping
from functools import partial

from batch_alias.model import SUCCESS, Action, Classification, Failure
from batch_alias.text import N_

UNKNOWN_CODE = N_("a code that RongCloud does not document")
FROM_GATEWAY = N_("HTTP {status} from a gateway")

_CHECK_PATH = "Check --region or --url."
_CHECK_KEYS = "Check RONGCLOUD_APP_KEY and RONGCLOUD_APP_SECRET, and that the region is the one the app lives in."

_fail = partial(Classification, action=Action.FAIL)
_stop = partial(Classification, action=Action.STOP)
# What is sent again counts towards an outage.
_retry = partial(Classification, action=Action.RETRY, unhealthy=True)

CODES: Mapping[int, Classification] = {
    200: Classification(status=200, action=Action.ACCEPT, meaning="accepted"),
    1000: _retry(status=500, meaning="internal error", in_doubt=True),
    1001: _stop(status=401, meaning="App Key and secret do not match", advice=_CHECK_KEYS),
    1002: _fail(
        status=400,
        meaning="parameter missing or invalid",
        systematic=True,
        advice="RongCloud also answers so when it does not know the App Key: check RONGCLOUD_APP_KEY, the region,"
        " and which column was taken for which.",
        row_advice="Check the ids of this row: RongCloud does not accept them.",
    ),
    1003: _fail(
        status=400,
        meaning="empty request",
        row_advice="Send it again with batch-alias retry: nothing is wrong with the row.",
    ),
    1004: Classification(status=401, action=Action.SIGN_AGAIN, meaning="signature refused", advice=_CHECK_KEYS),
    1005: _fail(
        status=400,
        meaning="parameter too long",
        row_advice="Shorten the value that is too long and run not-accepted.csv.",
    ),
    1006: _stop(
        status=401,
        meaning="the app is locked or deleted",
        advice="Ask the owner of the app, or check RONGCLOUD_APP_KEY.",
    ),
    1007: _stop(
        status=401,
        meaning="refused for this app",
        advice="Check in RongCloud's console that the app permits this machine's IP address and this call.",
    ),
    1008: Classification(status=429, action=Action.SLOW_DOWN, meaning="over the rate limit", congestion=True),
    1009: _stop(
        status=430,
        meaning="service not enabled for this app",
        advice="Enable the group member push alias for the app in RongCloud's console.",
    ),
    1050: _retry(status=504, meaning="internal timeout", in_doubt=True, congestion=True),
}
"""Every documented code that a bulk run must know, with what it does about it."""

FAILURES: Mapping[Failure, Classification] = {
    Failure.CONNECT: _retry(meaning="no connection"),
    Failure.UNRESOLVED: _retry(
        meaning="the host name does not resolve",
        misconfigured=True,
        advice="Check the host in --region or --url, the proxy if there is one, and this machine's DNS.",
    ),
    Failure.UNTRUSTED: _retry(
        meaning="the certificate is not trusted",
        misconfigured=True,
        advice="Check the URL and this machine's clock. If an authority or a proxy of your own issues the"
        " certificates, name its certificate with --ca-bundle.",
    ),
    Failure.PROXY: _retry(
        meaning="no connection through the proxy",
        misconfigured=True,
        advice="Check the proxy, its user name and password in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or pass"
        " --no-proxy.",
    ),
    Failure.TIMEOUT: _retry(meaning="no response in time", in_doubt=True, congestion=True),
    Failure.DROPPED: _retry(meaning="the connection broke", in_doubt=True),
}
"""What an attempt without a response means."""

UNREADABLE = _fail(meaning="accepted, but without what was asked for", advice=_CHECK_PATH)
"""What it means when a call to read an alias or the members of a group brings none."""


def classify(*, status: int, code: int | None) -> Classification:
    """What an HTTP status and a code mean for the row and for the run; no code if the body was not RongCloud's JSON."""
    known = CODES.get(code) if code is not None else None
    if known is not None and (code != SUCCESS or status == SUCCESS):
        return known
    # The code is missing, unknown, or contradicts the status: the status decides.
    values = {"status": status}
    if status == 429:
        return Classification(action=Action.SLOW_DOWN, meaning=N_("over the rate limit of a gateway"), congestion=True)
    if status == 407:
        return FAILURES[Failure.PROXY]
    if status == 408 or status >= 500:
        return _retry(
            meaning=N_("HTTP {status}"),
            values=values,
            in_doubt=True,
            congestion=status in {503, 504},  # gateways limit with 503, and nginx by default
        )
    if code is not None and code != SUCCESS:
        return _fail(meaning=UNKNOWN_CODE, advice=_CHECK_PATH)
    if status in {401, 403}:
        return _stop(
            meaning=FROM_GATEWAY,
            values=values,
            advice=N_("Check the proxy settings, and that RongCloud permits this machine's IP address."),
        )
    if status == 404:
        return _stop(meaning=N_("HTTP 404: this host does not know the call"), advice=_CHECK_PATH)
    if status >= 400:
        return _fail(meaning=FROM_GATEWAY, values=values, advice=_CHECK_PATH)
    # A page instead of JSON, or a redirect, which a signed request never follows: a gateway that does not work.
    return _retry(meaning=N_("HTTP {status} without RongCloud's JSON"), values=values, in_doubt=True)
