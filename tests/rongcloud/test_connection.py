"""The client over real sockets: one connection, its end, and servers that mean it no good."""

import asyncio
import json
import ssl
import time

import pytest
import trustme

from batch_alias.model import Action, Failure
from batch_alias.rongcloud.client import Client

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"code":200}'
GIVE_UP = 30.0
"""A time limit that no test is meant to reach."""


@pytest.fixture
def talk(scripted, service, row):
    """Make attempts on one connection with a server that answers so; the server and the last reply and verdict."""

    def run(answer, *, times: int = 1, timeout: float = GIVE_UP, tls: ssl.SSLContext | None = None, **more):
        async def attempts():
            async with scripted(answer, tls) as server:
                client = Client(service(server.url), timeout=timeout, **more)
                connection = client.connect()
                try:
                    for _ in range(times):
                        last = await connection.set_alias(row)
                finally:
                    await connection.aclose()
                return server, *last

        return asyncio.run(attempts())

    return run


def test_attempts_share_one_connection_until_the_seventy_ninth(talk):
    server, _reply, verdict = talk(lambda _head: OK, times=2 * 79 + 1)
    assert [len(heads) for heads in server.connections] == [79, 79, 1]
    assert verdict.action is Action.ACCEPT


def test_a_connection_that_the_server_closes_between_two_attempts_is_opened_again(talk):
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    server, _reply, verdict = talk(lambda _head: closing, times=3)
    assert [len(heads) for heads in server.connections] == [1, 1, 1]
    assert verdict.action is Action.ACCEPT


def test_a_dropped_connection_is_in_doubt_and_the_next_attempt_has_a_new_one(talk):
    answers = iter([None, OK])
    server, reply, verdict = talk(lambda _head: next(answers), times=2)
    assert len(server.connections) == 2
    assert verdict.action is Action.ACCEPT
    _server, reply, verdict = talk(lambda _head: None)
    assert (reply.failure, verdict.in_doubt) == (Failure.DROPPED, True)


def test_nobody_listening_is_a_failure_to_connect(scripted, service, row, attempt):
    async def free_url() -> str:
        async with scripted(lambda _head: OK) as server:
            return server.url

    reply, verdict = attempt(Client(service(asyncio.run(free_url())), timeout=GIVE_UP))
    assert (reply.failure, verdict.in_doubt) == (Failure.CONNECT, False)


def test_an_answer_that_never_comes_is_given_up_in_time(talk):
    began = time.monotonic()
    _server, reply, verdict = talk(lambda _head: b"", timeout=0.1)
    assert (reply.failure, verdict.in_doubt) == (Failure.TIMEOUT, True)
    assert 0.1 <= reply.latency <= time.monotonic() - began < GIVE_UP / 3


def test_a_body_that_never_ends_is_read_within_bounds(talk):
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    server, reply, verdict = talk(lambda _head: endless, times=2)
    assert (reply.status, reply.code, verdict.action) == (200, None, Action.RETRY)
    assert len(server.connections) == 2


def test_a_body_that_dribbles_is_given_up_in_time(talk):
    _server, reply, _verdict = talk(lambda _head: OK[:-1], timeout=0.1)
    assert reply.failure is Failure.TIMEOUT


def test_a_body_said_to_be_compressed_is_not_unpacked(talk):
    answer = OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1)
    _server, reply, _verdict = talk(lambda _head: answer)
    assert reply.code == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: minus one\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
    ids=["no status line", "no header line", "no length", "endless header"],
)
def test_what_is_not_http_is_a_broken_connection(answer, talk):
    _server, reply, verdict = talk(lambda _head: answer)
    assert (reply.failure, verdict.action, verdict.in_doubt) == (Failure.DROPPED, Action.RETRY, True)
    assert len(reply.message) <= 200


def test_a_server_that_breaks_off_and_echoes_the_signature_does_not_get_it_into_a_report(talk):
    sent = {}

    def echo(head: bytes) -> bytes:
        lines = (line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        sent.update({name.decode().lower(): value for name, value in lines})
        return b"HTTP/1.1 200 OK\r\n" + sent["signature"] + b" " + sent["nonce"] + b"\r\n\r\n"

    _server, reply, _verdict = talk(echo)
    assert reply.failure is Failure.DROPPED
    for header in ("signature", "nonce"):
        assert sent[header].decode() not in reply.message


def test_cookies_are_not_kept_from_one_attempt_to_the_next(talk):
    answer = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: track=me\r\n\r\n", 1)
    server, _reply, _verdict = talk(lambda _head: answer, times=2)
    assert len(server.requests) == 2
    assert not any(b"cookie" in head.lower() for head in server.requests)


def test_a_proxy_of_the_environment_is_used_unless_it_is_ignored(scripted, service, attempt, monkeypatch, row):
    for name in ("HTTP_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    async def both(proxies: bool) -> tuple[int, int]:
        async with scripted(lambda _head: OK) as server, scripted(lambda _head: OK) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            connection = Client(service(server.url), timeout=GIVE_UP, proxies=proxies).connect()
            await connection.set_alias(row)
            await connection.aclose()
            return len(server.requests), len(proxy.requests)

    assert asyncio.run(both(proxies=True)) == (0, 1)
    assert asyncio.run(both(proxies=False)) == (1, 0)


@pytest.fixture
def authority() -> trustme.CA:
    """An authority that this machine does not know."""
    return trustme.CA()


@pytest.fixture
def tls(authority) -> ssl.SSLContext:
    """A server's TLS with a certificate for 127.0.0.1 by that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_server_that_nobody_vouches_for_gets_no_request(talk, tls):
    server, reply, verdict = talk(lambda _head: OK, tls=tls)
    assert (reply.failure, verdict.in_doubt) == (Failure.CONNECT, False)
    assert "CERTIFICATE_VERIFY_FAILED" in reply.message
    assert server.requests == []


def test_an_authority_of_ones_own_is_trusted_when_it_is_named(talk, authority, tls, tmp_path):
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    server, reply, _verdict = talk(lambda _head: OK, tls=tls, ca_bundle=bundle)
    assert reply.code == 200
    assert len(server.requests) == 1


def test_a_message_of_two_languages_arrives_whole(talk):
    body = json.dumps({"code": 1005, "errorMessage": "参数过长 too long"}, ensure_ascii=False).encode()
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    _server, reply, verdict = talk(lambda _head: answer)
    assert (reply.message, verdict.action) == ("参数过长 too long", Action.FAIL)
