"""What is sent with each attempt, what is read of a response, and when the host is switched."""

import asyncio
import re
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from urllib.parse import parse_qs

import httpx
import pytest

from batch_alias.errors import UsageError
from batch_alias.model import Call, Response
from batch_alias.rongcloud.client import BODY_BYTES, Client
from batch_alias.rongcloud.transport import Deadlines
from batch_alias.rongcloud.wire import sign
from tests.support.http import BODY, SET
from tests.support.processes import DEADLINE

ONE, TWO = f"https://one.example{SET}", f"https://two.example{SET}"
ACCEPTED = httpx.Response(200, content=BODY)


@pytest.fixture
def sent(router, mocked, attempt) -> Callable[..., list[httpx.Request]]:
    """The requests of some attempts that are all accepted."""

    def send(times: int = 1) -> list[httpx.Request]:
        route = router.post(ONE).mock(return_value=ACCEPTED)
        attempt(mocked(), times)
        return [call.request for call in route.calls]

    return send


def test_an_attempt_is_a_signed_form(sent, target, operation):
    (request,) = sent()
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["App-Key"] == "an-app-key"
    assert request.headers["Signature"] == sign(
        target().app_secret, request.headers["Nonce"], request.headers["Timestamp"]
    )
    assert abs(int(request.headers["Timestamp"]) / 1000 - time.time()) < 60
    assert parse_qs(request.content.decode()) == {
        "userId": [operation.user_id],
        "groupId": [operation.group_id],
        "remark": [operation.remark],
    }


def test_reading_an_alias_has_a_path_of_its_own(router, mocked, operation):
    async def read() -> Response:
        connection = mocked().connect()
        try:
            return await connection.execute(replace(operation, call=Call.READ, remark=None))
        finally:
            await connection.aclose()

    router.post("https://one.example/group/remarks/get.json").mock(return_value=ACCEPTED)
    assert asyncio.run(read()).code == 200


def test_every_attempt_has_a_nonce_and_a_request_id_of_the_documented_lengths(sent):
    requests = sent(times=20)
    for header, longest in (("Nonce", 18), ("X-Request-ID", 36)):
        values = [request.headers[header] for request in requests]
        assert len(set(values)) == 20
        assert all(0 < len(value) <= longest for value in values)


def test_the_response_names_the_request_and_the_host(router, mocked, attempt):
    route = router.post(ONE).mock(return_value=ACCEPTED)
    response = attempt(mocked())
    assert response.request_id == route.calls.last.request.headers["X-Request-ID"]
    assert response.host == "one.example"
    assert 0 < response.latency < DEADLINE


def test_no_content_encoding_is_accepted(sent):
    (request,) = sent()
    assert request.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("given", "first_and_later", "connect"),
    [
        ({"timeout": 20.0}, [5.0, 20.0], 4.5),
        ({"timeout": 2.0}, [2.0, 2.0], 1.8),
        ({"timeout": 20.0, "first_timeout": 1.0}, [1.0, 20.0], 0.9),
    ],
)
def test_a_first_attempt_may_have_less_time_and_connecting_always_has_less_than_any(
    given, first_and_later, connect, router, mocked, operation
):
    limits = []

    class Recorder(Deadlines):
        def limit(self, seconds):
            limits.append(seconds)
            return super().limit(seconds)

    async def attempts() -> None:
        client = mocked(**given)
        client.deadlines = Recorder()
        connection = client.connect()
        for first in (True, False):
            await connection.execute(operation, first=first)

    route = router.post(ONE).mock(return_value=ACCEPTED)
    asyncio.run(attempts())
    assert limits == first_and_later
    seconds = [call.request.extensions["timeout"] for call in route.calls]
    assert seconds == [{"connect": pytest.approx(connect)}] * 2


def test_every_seventy_ninth_request_closes_the_connection(sent):
    closing = [request.headers.get("Connection") == "close" for request in sent(times=2 * 79)]
    assert [number for number, close in enumerate(closing, start=1) if close] == [79, 158]


def test_a_redirect_is_named_and_not_followed(received):
    response = received(307, Location="https://elsewhere.example/steal")
    assert (response.status, response.code) == (307, None)
    assert "https://elsewhere.example/steal" in response.message


def test_only_the_beginning_of_a_large_body_is_read(received):
    body = b" " * BODY_BYTES + b'{"code":200}'
    assert received(200, body).code is None
    assert received(200, body[-BODY_BYTES:]).code == 200


def test_retry_after_is_seconds_or_a_date_and_ignored_otherwise(received):
    assert received(429, Retry_After="7").retry_after == 7
    assert received(429, Retry_After=" 0 ").retry_after == 0
    in_a_day = received(429, Retry_After=formatdate(time.time() + 86400, usegmt=True)).retry_after
    assert in_a_day == pytest.approx(86400, abs=120)
    assert received(429, Retry_After=formatdate(time.time() - 100, usegmt=True)).retry_after == 0
    for nonsense in ("", "soon", "-1", "1.5", "Mon, 99 Foo 2026 99:99:99 GMT"):
        assert received(429, Retry_After=nonsense).retry_after is None
    assert received(429).retry_after is None


@pytest.mark.parametrize("skew", [86400, -86400])
def test_the_clock_skew_is_taken_from_the_date(skew, received):
    date = formatdate(time.time() + skew, usegmt=True)
    assert received(401, Date=date).clock_skew == pytest.approx(skew, abs=120)


def test_there_is_no_clock_skew_without_a_date(received):
    assert received(401, Date="yesterday").clock_skew is None
    assert received(401).clock_skew is None


@pytest.mark.parametrize("header", ["Signature", "Nonce"])
def test_a_page_that_echoes_the_signature_is_redacted(header, router, mocked, attempt):
    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(502, text=f"<p>You said {request.headers[header]}!</p>")

    router.post(ONE).mock(side_effect=echo)
    assert attempt(mocked()).message == "<p>You said ***!</p>"


def test_a_redirect_that_echoes_the_signature_is_redacted(router, mocked, attempt):
    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": f"/login?signature={request.headers['Signature']}"})

    router.post(ONE).mock(side_effect=echo)
    assert "signature=***" in attempt(mocked()).message


UNHEALTHY = {
    "refused connection": httpx.ConnectError("refused"),
    "reset": httpx.ReadError("reset"),
    "5xx": httpx.Response(502),
    "1000": httpx.Response(500, json={"code": 1000}),
    "a gateway's page": httpx.Response(200, html="<html>"),
}
HEALTHY = {
    "accepted": ACCEPTED,
    "4xx": httpx.Response(400, json={"code": 1002}),
    "1008": httpx.Response(429, json={"code": 1008}),
    "429": httpx.Response(429),
    "404": httpx.Response(404),
    "1004": httpx.Response(401, json={"code": 1004}),
    # They may be congestion; if they are an outage, the breaker finds it out.
    "503": httpx.Response(503),
    "1050": httpx.Response(504, json={"code": 1050}),
    "timeout": httpx.ReadTimeout("slow"),
}


@pytest.mark.parametrize("response", UNHEALTHY.values(), ids=UNHEALTHY)
def test_an_unhealthy_host_is_left_once(response, router, mocked, attempt):
    answer = {"side_effect": response} if isinstance(response, Exception) else {"return_value": response}
    one, two = router.post(ONE).mock(**answer), router.post(TWO).mock(**answer)
    switched: list[str] = []
    client = mocked(on_switch=switched.append)
    attempt(client, 3)
    assert (one.call_count, two.call_count) == (1, 2)
    assert switched == ["two.example"]
    assert client.hosts.switches == 1


@pytest.mark.parametrize("response", HEALTHY.values(), ids=HEALTHY)
def test_a_response_that_does_not_concern_the_host_switches_nothing(response, router, mocked, attempt):
    answer = {"side_effect": response} if isinstance(response, Exception) else {"return_value": response}
    router.post(ONE).mock(**answer)
    client = mocked(on_switch=lambda host: pytest.fail(f"switched to {host}"))
    attempt(client, 3)
    assert client.hosts.switches == 0


def test_the_host_can_be_switched_again_after_the_interval(router, mocked, attempt):
    router.post(ONE).mock(return_value=httpx.Response(502))
    router.post(TWO).mock(return_value=httpx.Response(502))
    client = mocked(switch_interval=0)
    attempt(client, 4)
    assert client.hosts.switches == 4


def test_leaving_a_host_switches_to_the_other_one_if_there_is_one(mocked, target):
    switched: list[str] = []
    client = mocked(on_switch=switched.append)
    for host in ("one.example", "one.example", "two.example"):
        client.leave(host)
    assert switched == ["two.example", "one.example"]
    single = Client(target("https://one.example"), timeout=DEADLINE, on_switch=switched.append)
    single.leave("one.example")
    assert len(switched) == 2


def test_leaving_a_host_that_was_left_already_does_not_switch_back(router, mocked, attempt):
    router.post(ONE).mock(return_value=httpx.Response(502))
    client = mocked(switch_interval=0)
    client.leave(attempt(client).host)
    assert (client.hosts.current, client.hosts.switches) == ("https://two.example", 1)


def test_the_requests_on_a_connection_are_counted_per_host(router, mocked, attempt):
    router.post(ONE).mock(side_effect=[ACCEPTED] * 40 + [httpx.Response(502)])
    two = router.post(TWO).mock(return_value=ACCEPTED)
    attempt(mocked(), 41 + 79)
    closing = [call.request.headers.get("Connection") == "close" for call in two.calls]
    assert closing == [False] * 78 + [True]


def test_a_traceback_shows_neither_the_secret_nor_a_signature(router, mocked, target, attempt):
    route = router.post(ONE).mock(side_effect=ZeroDivisionError("a defect"))
    with pytest.raises(ZeroDivisionError) as raised:
        attempt(mocked())
    with_locals = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())
    plain = "".join(traceback.format_exception(raised.value))
    assert "a defect" in plain
    assert "operation = Operation(" in with_locals
    secret = target().app_secret.reveal()
    assert secret not in with_locals
    assert secret not in plain
    assert route.calls.last.request.headers["Signature"] not in plain


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"])
def test_a_ca_bundle_that_cannot_be_used_is_named(content, tmp_path, target):
    bundle = tmp_path / "ours.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(UsageError, match=re.escape(str(bundle))):
        Client(target(ca_bundle=bundle), timeout=DEADLINE)


def test_certificates_of_the_environment_that_cannot_be_used_are_named(tmp_path, target, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(UsageError, match="SSL_CERT_FILE"):
        Client(target(), timeout=DEADLINE)
