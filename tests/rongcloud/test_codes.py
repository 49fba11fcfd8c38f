"""The golden table: from the bytes of an HTTP response, through the real client, to its classification."""

import socket
import ssl

import httpx
import pytest

from batch_alias.model import Action, Failure
from batch_alias.rongcloud.codes import FAILURES
from batch_alias.rongcloud.transport import failure_of
from tests.support.http import SET

ACCEPT, FAIL, RETRY = Action.ACCEPT, Action.FAIL, Action.RETRY
SLOW_DOWN, SIGN_AGAIN, STOP = Action.SLOW_DOWN, Action.SIGN_AGAIN, Action.STOP

# RongCloud's documentation, "Status codes": code, HTTP status, what a bulk run must do.
DOCUMENTED = [
    (200, 200, ACCEPT),
    (1000, 500, RETRY),
    (1001, 401, STOP),
    (1002, 400, FAIL),
    (1003, 400, FAIL),
    (1004, 401, SIGN_AGAIN),
    (1005, 400, FAIL),
    (1006, 401, STOP),
    (1007, 401, STOP),
    (1008, 429, SLOW_DOWN),
    (1009, 430, STOP),
    (1050, 504, RETRY),
]
# Codes that are not documented, or that contradict their status.
ODD = [
    (1015, 200, FAIL),
    (1999, 400, FAIL),
    (1999, 403, FAIL),
    (1999, 500, RETRY),
    (1999, 429, SLOW_DOWN),
    (200, 201, RETRY),
    (200, 302, RETRY),
    (200, 400, FAIL),
    (200, 403, STOP),
    (200, 429, SLOW_DOWN),
    (200, 500, RETRY),
]
# No code: a gateway or a CDN responded.
BY_STATUS = [
    (200, RETRY),
    (204, RETRY),
    (301, RETRY),
    (307, RETRY),
    (400, FAIL),
    (401, STOP),
    (403, STOP),
    (404, STOP),
    (407, RETRY),
    (408, RETRY),
    (413, FAIL),
    (429, SLOW_DOWN),
    (500, RETRY),
    (502, RETRY),
    (503, RETRY),
    (504, RETRY),
    (599, RETRY),
]


@pytest.mark.parametrize(("code", "status", "action"), DOCUMENTED + ODD)
def test_a_code_means_what_the_documentation_says(code, status, action, received):
    response = received(status, {"code": code, "errorMessage": "为什么", "url": SET})
    assert (response.status, response.code, response.message, response.failure) == (status, code, "为什么", None)
    assert response.classification.action is action
    assert response.classification.meaning


@pytest.mark.parametrize(("status", "action"), BY_STATUS)
def test_the_status_decides_without_a_code(status, action, received):
    response = received(status, b"<html>gateway</html>")
    assert (response.status, response.code, response.message) == (status, None, "<html>gateway</html>")
    assert response.classification.action is action


@pytest.mark.parametrize(("code", "status", "action"), DOCUMENTED + ODD)
def test_a_response_to_retry_is_in_doubt_and_unhealthy_and_no_other(code, status, action, received):
    classification = received(status, {"code": code}).classification
    assert classification.in_doubt == classification.unhealthy == (action is RETRY)
    assert not classification.misconfigured


@pytest.mark.parametrize(
    ("code", "status"),
    [(code, status) for code, status, action in DOCUMENTED if action in {STOP, SIGN_AGAIN} or code == 1002],
)
def test_a_code_that_can_stop_the_run_says_which_setting_to_check(code, status, received):
    classification = received(status, {"code": code}).classification
    assert classification.advice.endswith(".")
    assert classification.systematic == (code == 1002)


@pytest.mark.parametrize("status", [status for status, action in BY_STATUS if action is STOP])
def test_a_status_that_stops_the_run_says_which_setting_to_check(status, received):
    assert received(status).classification.advice.endswith(".")


@pytest.mark.parametrize(
    ("error", "failure", "in_doubt"),
    [
        (httpx.ConnectError("refused"), Failure.CONNECT, False),
        (httpx.ConnectTimeout("slow"), Failure.CONNECT, False),
        (httpx.ProxyError("407 Proxy Authentication Required"), Failure.PROXY, False),
        (httpx.ProxyError("403 Forbidden"), Failure.PROXY, False),
        (httpx.ProxyError("502 Bad Gateway"), Failure.CONNECT, False),
        (httpx.ReadTimeout("slow"), Failure.TIMEOUT, True),
        (httpx.WriteTimeout("slow"), Failure.TIMEOUT, True),
        (TimeoutError(), Failure.TIMEOUT, True),
        (httpx.ReadError("reset"), Failure.DROPPED, True),
        (httpx.WriteError("pipe"), Failure.DROPPED, True),
        (httpx.RemoteProtocolError("no HTTP"), Failure.DROPPED, True),
        (ConnectionResetError("reset"), Failure.DROPPED, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_a_failure_is_retried_and_in_doubt_if_the_request_may_have_arrived(error, failure, in_doubt, received):
    response = received(failure=error)
    assert (response.status, response.code, response.failure) == (None, None, failure)
    assert response.message == (f"{type(error).__name__}: {error}" if str(error) else "")
    classification = response.classification
    assert (classification.action, classification.in_doubt, classification.unhealthy) == (RETRY, in_doubt, True)


@pytest.mark.parametrize(
    ("cause", "failure"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), Failure.UNRESOLVED),
        (ssl.SSLCertVerificationError("self-signed certificate"), Failure.UNTRUSTED),
        (ssl.SSLError("handshake failure"), Failure.CONNECT),
        (ConnectionRefusedError("refused"), Failure.CONNECT),
    ],
)
def test_why_there_is_no_connection_is_found_behind_the_exceptions_of_httpx(cause, failure):
    error, between = httpx.ConnectError("no connection"), RuntimeError()
    error.__cause__, between.__context__ = between, cause
    assert failure_of(error) is failure


@pytest.mark.parametrize("failure", [Failure.UNRESOLVED, Failure.UNTRUSTED, Failure.PROXY])
def test_a_failure_that_a_wrong_setting_explains_says_which_one_to_check(failure):
    assert FAILURES[failure].misconfigured
    assert FAILURES[failure].advice.endswith(".")


def test_a_proxy_that_asks_for_a_password_is_the_same_as_one_that_refuses_to_connect(received):
    response = received(407, b"<html>Proxy Authentication Required</html>")
    assert response.classification == FAILURES[Failure.PROXY]
    assert (response.failure, response.label) == (None, "HTTP 407")


def test_a_defect_of_ours_is_no_failure_of_the_network(received):
    with pytest.raises(ZeroDivisionError):
        received(failure=ZeroDivisionError())
