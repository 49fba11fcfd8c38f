"""What goes out with each attempt, what is read of an answer, and when the host is switched."""

import re
import time
import traceback
from email.utils import formatdate
from urllib.parse import parse_qs

import httpx
import pytest

from batch_alias.errors import UsageError
from batch_alias.rongcloud.client import BODY_BYTES, IDLE_SECONDS, Client
from batch_alias.rongcloud.signing import sign

ONE, TWO = "https://one.example/group/remarks/set.json", "https://two.example/group/remarks/set.json"
ACCEPTED = httpx.Response(200, json={"code": 200})


@pytest.fixture
def sent(respx_mock, service, attempt):
    """The requests of some attempts that are all accepted."""

    def send(times: int = 1) -> list[httpx.Request]:
        route = respx_mock.post(ONE).mock(return_value=ACCEPTED)
        attempt(Client(service(), timeout=5), times)
        return [call.request for call in route.calls]

    return send


@pytest.fixture
def replied(respx_mock, service, attempt):
    """The reply to an attempt that is answered so."""

    def send(status: int, content: bytes = b"", **headers: str):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        respx_mock.post(ONE).mock(return_value=httpx.Response(status, content=content, headers=named))
        return attempt(Client(service(), timeout=5))[0]

    return send


def test_an_attempt_is_a_signed_form(sent, service, row):
    (request,) = sent()
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["App-Key"] == "an-app-key"
    assert request.headers["Signature"] == sign(
        service().app_secret, request.headers["Nonce"], request.headers["Timestamp"]
    )
    assert abs(int(request.headers["Timestamp"]) / 1000 - time.time()) < 60
    assert parse_qs(request.content.decode()) == {
        "userId": [row.user_id],
        "groupId": [row.group_id],
        "remark": [row.remark],
    }


def test_every_attempt_is_signed_and_named_afresh_within_the_documented_lengths(sent):
    requests = sent(times=20)
    for header, longest in (("Nonce", 18), ("X-Request-ID", 36)):
        values = [request.headers[header] for request in requests]
        assert len(set(values)) == 20
        assert all(0 < len(value) <= longest for value in values)


def test_the_reply_names_the_attempt_and_the_host(respx_mock, service, attempt):
    route = respx_mock.post(ONE).mock(return_value=ACCEPTED)
    reply, _verdict = attempt(Client(service(), timeout=5))
    assert reply.request_id == route.calls.last.request.headers["X-Request-ID"]
    assert reply.host == "one.example"
    assert reply.latency > 0


def test_no_encoded_answer_is_asked_for(sent):
    (request,) = sent()
    assert request.headers["Accept-Encoding"] == "identity"


def test_the_seventy_ninth_request_asks_for_the_connections_end(sent):
    closing = [request.headers["Connection"] == "close" for request in sent(times=2 * 79)]
    assert [number for number, close in enumerate(closing, start=1) if close] == [79, 158]


def test_idle_connections_die_before_rongcloud_minds():
    assert IDLE_SECONDS < 55


def test_a_redirect_is_not_followed_and_its_target_is_named(replied):
    reply = replied(307, Location="https://elsewhere.example/steal")
    assert (reply.status, reply.code) == (307, None)
    assert "https://elsewhere.example/steal" in reply.message


def test_only_the_beginning_of_a_great_body_is_read(replied):
    late = b" " * BODY_BYTES + b'{"code":200}'
    assert replied(200, late).code is None
    assert replied(200, late[-BODY_BYTES:]).code == 200


def test_retry_after_is_seconds_or_a_date_and_anything_else_is_nothing(replied):
    assert replied(429, Retry_After="7").retry_after == 7
    assert replied(429, Retry_After=" 0 ").retry_after == 0
    assert replied(429, Retry_After=formatdate(time.time() + 100, usegmt=True)).retry_after == pytest.approx(100, abs=5)
    assert replied(429, Retry_After=formatdate(time.time() - 100, usegmt=True)).retry_after == 0
    for nonsense in ("", "soon", "-1", "1.5", "Mon, 99 Foo 2026 99:99:99 GMT"):
        assert replied(429, Retry_After=nonsense).retry_after is None
    assert replied(429).retry_after is None


def test_the_servers_clock_is_compared_with_ours(replied):
    assert replied(401, Date=formatdate(time.time() + 3600, usegmt=True)).clock_skew == pytest.approx(3600, abs=5)
    assert replied(401, Date=formatdate(time.time() - 3600, usegmt=True)).clock_skew == pytest.approx(-3600, abs=5)
    assert replied(401, Date="yesterday").clock_skew is None
    assert replied(401).clock_skew is None


@pytest.mark.parametrize("header", ["Signature", "Nonce"])
def test_a_page_that_echoes_the_request_does_not_carry_its_signature_on(header, respx_mock, service, attempt):
    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(502, text=f"<p>You said {request.headers[header]}!</p>")

    respx_mock.post(ONE).mock(side_effect=echo)
    reply, _verdict = attempt(Client(service(), timeout=5))
    assert reply.message == "<p>You said ***!</p>"


def test_a_redirect_that_echoes_the_request_does_not_carry_its_signature_on(respx_mock, service, attempt):
    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": f"/login?signature={request.headers['Signature']}"})

    respx_mock.post(ONE).mock(side_effect=echo)
    reply, _verdict = attempt(Client(service(), timeout=5))
    assert "signature=***" in reply.message


SWITCHING = {
    "refused connection": httpx.ConnectError("refused"),
    "timeout": httpx.ReadTimeout("slow"),
    "reset": httpx.ReadError("reset"),
    "5xx": httpx.Response(503),
    "1000": httpx.Response(500, json={"code": 1000}),
    "a gateway's page": httpx.Response(200, html="<html>"),
}
STAYING = {
    "accepted": ACCEPTED,
    "4xx": httpx.Response(400, json={"code": 1002}),
    "1008": httpx.Response(429, json={"code": 1008}),
    "429": httpx.Response(429),
    "404": httpx.Response(404),
    "1004": httpx.Response(401, json={"code": 1004}),
}


@pytest.mark.parametrize("answer", SWITCHING.values(), ids=SWITCHING)
def test_an_ill_host_moves_all_lanes_to_the_other_one_once(answer, respx_mock, service, attempt):
    how = {"side_effect": answer} if isinstance(answer, Exception) else {"return_value": answer}
    one, two = respx_mock.post(ONE).mock(**how), respx_mock.post(TWO).mock(**how)
    switched: list[str] = []
    client = Client(service(), timeout=5, on_switch=switched.append)
    attempt(client, 3)
    assert (one.call_count, two.call_count) == (1, 2)
    assert switched == ["https://two.example"]
    assert client.hosts.switches == 1
    assert client.hosts.current == "https://two.example"


@pytest.mark.parametrize("answer", STAYING.values(), ids=STAYING)
def test_an_answer_that_says_nothing_about_the_host_moves_nothing(answer, respx_mock, service, attempt):
    respx_mock.post(ONE).mock(return_value=answer)
    client = Client(service(), timeout=5, on_switch=lambda host: pytest.fail(f"switched to {host}"))
    attempt(client, 3)
    assert client.hosts.switches == 0


def test_after_the_interval_a_second_switch_is_possible(respx_mock, service, attempt):
    respx_mock.post(ONE).mock(return_value=httpx.Response(503))
    respx_mock.post(TWO).mock(return_value=httpx.Response(503))
    client = Client(service(), timeout=5, switch_interval=0)
    attempt(client, 4)
    assert client.hosts.switches == 4


def test_a_probe_tries_the_other_host_and_says_so(service):
    switched: list[str] = []
    client = Client(service(), timeout=5, on_switch=switched.append)
    client.leave("one.example")
    client.leave("one.example")
    client.leave("two.example")
    assert switched == ["https://two.example", "https://one.example"]
    alone = Client(service("https://one.example"), timeout=5, on_switch=switched.append)
    alone.leave("one.example")
    assert len(switched) == 2


def test_a_probe_after_the_interval_moves_to_the_other_host_and_not_back_again(respx_mock, service, attempt):
    respx_mock.post(ONE).mock(return_value=httpx.Response(503))
    client = Client(service(), timeout=5, switch_interval=0)
    reply, _verdict = attempt(client)
    client.leave(reply.host)
    assert (client.hosts.current, client.hosts.switches) == ("https://two.example", 1)


def test_the_connections_requests_are_counted_anew_on_another_host(respx_mock, service, attempt):
    respx_mock.post(ONE).mock(side_effect=[httpx.Response(200, json={"code": 200})] * 40 + [httpx.Response(503)])
    two = respx_mock.post(TWO).mock(return_value=ACCEPTED)
    attempt(Client(service(), timeout=5), 41 + 79)
    closing = [call.request.headers["Connection"] == "close" for call in two.calls]
    assert closing == [False] * 78 + [True]


def test_neither_the_secret_nor_a_signature_is_in_a_traceback(respx_mock, service, attempt):
    route = respx_mock.post(ONE).mock(side_effect=ZeroDivisionError("a mistake of ours"))
    with pytest.raises(ZeroDivisionError) as raised:
        attempt(Client(service(), timeout=5))
    with_locals = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())
    plain = "".join(traceback.format_exception(raised.value))
    assert "a mistake of ours" in plain
    assert "reply = Response(" in with_locals
    secret = service().app_secret.reveal()
    assert secret not in with_locals
    for hidden in (secret, route.calls.last.request.headers["Signature"]):
        assert hidden not in plain


def test_the_secret_does_not_show_in_the_service_or_the_client(service):
    secret = service().app_secret
    for shown in (repr(secret), str(secret), f"{secret}", repr(service()), repr(Client(service(), timeout=5))):
        assert secret.reveal() not in shown


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"])
def test_a_ca_bundle_that_cannot_be_used_is_named(content, tmp_path, service):
    bundle = tmp_path / "ours.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(UsageError, match=re.escape(str(bundle))):
        Client(service(), timeout=5, ca_bundle=bundle)
