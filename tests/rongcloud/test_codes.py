"""The golden table: each answer through the real client, from the bytes of an HTTP answer to the verdict."""

import json

import httpx
import pytest

from batch_alias.model import Action, Failure
from batch_alias.rongcloud.client import Client
from batch_alias.rongcloud.codes import CODES

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
# Codes that no table has, and codes at odds with their status.
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
# No code at all: a gateway or a CDN has answered.
BY_STATUS = [
    (200, RETRY),
    (204, RETRY),
    (301, RETRY),
    (307, RETRY),
    (400, FAIL),
    (401, STOP),
    (403, STOP),
    (404, STOP),
    (407, STOP),
    (408, RETRY),
    (413, FAIL),
    (429, SLOW_DOWN),
    (500, RETRY),
    (502, RETRY),
    (503, RETRY),
    (504, RETRY),
    (599, RETRY),
]


@pytest.fixture
def answered(respx_mock, service, attempt):
    """The reply and the verdict for an HTTP answer, or for an exception instead of one."""

    def send(status: int = 200, body: object = b"", failure: Exception | None = None, **headers: str):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        respx_mock.post("https://one.example/group/remarks/set.json").mock(
            return_value=httpx.Response(status, content=content, headers=headers), side_effect=failure
        )
        return attempt(Client(service(), timeout=5))

    return send


def test_the_table_has_every_documented_code():
    assert {(code, line.http) for code, line in CODES.items()} == {(code, http) for code, http, _ in DOCUMENTED}


@pytest.mark.parametrize(("code", "status", "action"), DOCUMENTED + ODD)
def test_a_code_means_what_the_documentation_says(code, status, action, answered):
    reply, verdict = answered(status, {"code": code, "errorMessage": "为什么", "url": "/group/remarks/set.json"})
    assert (reply.status, reply.code, reply.message, reply.failure) == (status, code, "为什么", None)
    assert verdict.action is action
    assert verdict.meaning


@pytest.mark.parametrize(("status", "action"), BY_STATUS)
def test_without_a_code_the_status_decides(status, action, answered):
    reply, verdict = answered(status, b"<html>gateway</html>")
    assert (reply.status, reply.code, reply.message) == (status, None, "<html>gateway</html>")
    assert verdict.action is action


@pytest.mark.parametrize(("code", "status", "action"), DOCUMENTED + ODD)
def test_what_may_have_been_written_is_in_doubt_and_an_ill_service_is_not_the_rows_fault(
    code, status, action, answered
):
    _reply, verdict = answered(status, {"code": code})
    assert verdict.in_doubt == verdict.unwell == (action is RETRY)


@pytest.mark.parametrize("code", [code for code, _http, action in DOCUMENTED if action in {STOP, SIGN_AGAIN}] + [1002])
def test_a_code_that_ends_the_run_says_which_setting_to_look_at(code, answered):
    _reply, verdict = answered(CODES[code].http, {"code": code})
    assert verdict.advice.endswith(".")
    assert verdict.systematic == (code == 1002)


@pytest.mark.parametrize(
    ("error", "failure", "in_doubt"),
    [
        (httpx.ConnectError("refused"), Failure.CONNECT, False),
        (httpx.ConnectTimeout("slow"), Failure.CONNECT, False),
        (httpx.ProxyError("407"), Failure.CONNECT, False),
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
def test_no_answer_is_a_failure_that_heals_and_says_whether_the_write_may_have_happened(
    error, failure, in_doubt, answered
):
    reply, verdict = answered(failure=error)
    assert (reply.status, reply.code, reply.failure) == (None, None, failure)
    assert reply.message == (f"{type(error).__name__}: {error}" if str(error) else "")
    assert (verdict.action, verdict.in_doubt, verdict.unwell) == (RETRY, in_doubt, True)


def test_a_bug_of_ours_is_no_failure_of_the_network(answered):
    with pytest.raises(ZeroDivisionError):
        answered(failure=ZeroDivisionError())
