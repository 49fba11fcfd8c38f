"""The client over real sockets: reuse and end of a connection, and servers that misbehave."""

import asyncio
import gzip
import json
import socket
import ssl
import time
import zlib

import pytest

from batch_alias.model import Action, Failure
from batch_alias.rongcloud.client import Client
from tests.support.http import ENDLESS, OK
from tests.support.processes import DEADLINE


@pytest.fixture
def talk(scripted, target, attempts_on):
    """Make attempts on one connection with a scripted server; the server and the last response."""

    def run(respond, *, times: int = 1, tls: ssl.SSLContext | None = None, **more):
        async def attempts():
            async with scripted(respond, tls) as server:
                client = Client(target(server.url, **more), timeout=DEADLINE)
                return server, await attempts_on(client, times)

        return asyncio.run(attempts())

    return run


def test_a_connection_is_used_for_seventy_nine_requests(talk):
    server, response = talk(lambda _head: OK, times=2 * 79 + 1)
    assert [len(heads) for heads in server.connections] == [79, 79, 1]
    assert response.classification.action is Action.ACCEPT


@pytest.mark.parametrize(("idle", "connections"), [(5, 1), (54, 2)])
def test_a_connection_that_was_idle_for_nearly_55_seconds_is_not_used_again(
    idle, connections, scripted, target, operation, monkeypatch
):
    clock = time.monotonic

    async def count_connections() -> int:
        async with scripted(lambda _head: OK) as server:
            connection = Client(target(server.url), timeout=DEADLINE).connect()
            await connection.execute(operation)
            monkeypatch.setattr(time, "monotonic", lambda: clock() + idle)
            await connection.execute(operation)
            await connection.aclose()
            return len(server.connections)

    assert asyncio.run(count_connections()) == connections


def test_a_connection_that_the_server_closes_between_two_attempts_is_opened_again(talk):
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    server, response = talk(lambda _head: closing, times=3)
    assert [len(heads) for heads in server.connections] == [1, 1, 1]
    assert response.classification.action is Action.ACCEPT


def test_a_dropped_connection_is_in_doubt_and_the_next_attempt_opens_a_new_one(talk):
    _server, response = talk(lambda _head: None)
    assert (response.failure, response.classification.in_doubt) == (Failure.DROPPED, True)
    responses = iter([None, OK])
    server, response = talk(lambda _head: next(responses), times=2)
    assert len(server.connections) == 2
    assert response.classification.action is Action.ACCEPT


def test_a_port_without_a_server_is_a_failure_to_connect(scripted, target, attempt):
    async def free_url() -> str:
        async with scripted(lambda _head: OK) as server:
            return server.url

    response = attempt(Client(target(asyncio.run(free_url())), timeout=DEADLINE))
    assert (response.failure, response.classification.in_doubt) == (Failure.CONNECT, False)


@pytest.mark.parametrize("first", [False, True], ids=["later", "first"])
@pytest.mark.parametrize("response", [b"", OK[:-1]], ids=["nothing", "incomplete body"])
def test_a_response_that_does_not_end_times_out(response, first, scripted, target, operation):
    async def attempts():
        responses = iter([OK, response])
        async with scripted(lambda _head: next(responses)) as server:
            client = Client(target(server.url), timeout=DEADLINE)
            connection = client.connect()
            # The time is shortened once there is a connection, so that it cannot be over before there is one.
            await connection.execute(operation)
            client.timeout, client.first_timeout = (DEADLINE, 0.1) if first else (0.1, DEADLINE)
            try:
                return await connection.execute(operation, first=first)
            finally:
                await connection.aclose()

    response = asyncio.run(attempts())
    assert (response.failure, response.classification.in_doubt) == (Failure.TIMEOUT, True)
    assert 0.1 <= response.latency < DEADLINE


def test_an_endless_body_is_read_within_bounds(talk):
    server, response = talk(lambda _head: ENDLESS, times=2)
    assert (response.status, response.code, response.classification.action) == (200, None, Action.RETRY)
    assert len(server.connections) == 2


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("gzip", bytes)])
def test_an_encoded_body_is_read_although_none_was_asked_for(encoding, pack, talk):
    body = pack(b'{"code":200}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    server, response = talk(lambda _head: head.encode() + body, times=2)
    assert response.code == 200
    assert len(server.connections) == 1


def test_a_host_that_accepts_no_connection_is_not_taken_for_one_that_does_not_respond(target, attempt):
    # It is listened on, but nothing answers the handshake.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        response = attempt(Client(target(url), timeout=DEADLINE, first_timeout=0.3))
    assert (response.failure, response.classification.in_doubt) == (Failure.CONNECT, False)


@pytest.mark.parametrize(
    "response",
    [
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: minus one\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
    ids=["status line", "header line", "length", "endless header"],
)
def test_a_response_that_is_not_http_is_a_broken_connection(response, talk):
    _server, response = talk(lambda _head: response)
    classification = response.classification
    assert (response.failure, classification.action, classification.in_doubt) == (Failure.DROPPED, Action.RETRY, True)
    assert response.message
    assert len(response.message) <= 201


def test_a_broken_response_that_echoes_the_signature_is_redacted(talk):
    sent = {}

    def echo(head: bytes) -> bytes:
        lines = (line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        sent.update({name.decode().lower(): value for name, value in lines})
        return b"HTTP/1.1 200 OK\r\n" + sent["signature"] + b" " + sent["nonce"] + b"\r\n\r\n"

    _server, response = talk(echo)
    assert response.failure is Failure.DROPPED
    assert "***" in response.message
    for header in ("signature", "nonce"):
        assert sent[header].decode() not in response.message


def test_cookies_are_not_kept(talk):
    setting = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: track=me\r\n\r\n", 1)
    server, _response = talk(lambda _head: setting, times=2)
    assert len(server.requests) == 2
    assert not any(b"cookie" in head.lower() for head in server.requests)


def test_a_server_with_an_untrusted_certificate_receives_no_request(talk, tls_for):
    server, response = talk(lambda _head: OK, tls=tls_for())
    assert (response.failure, response.classification.in_doubt) == (Failure.UNTRUSTED, False)
    assert "CERTIFICATE_VERIFY_FAILED" in response.message
    assert server.requests == []


def test_a_ca_bundle_is_trusted(talk, authority, tls_for, tmp_path):
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    server, response = talk(lambda _head: OK, tls=tls_for(), ca_bundle=bundle)
    assert response.code == 200
    assert len(server.requests) == 1


def test_a_message_beyond_ascii_is_received_as_it_was_sent(talk):
    body = json.dumps({"code": 1005, "errorMessage": "参数过长 too long"}, ensure_ascii=False).encode()
    sent = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    _server, response = talk(lambda _head: sent)
    assert (response.message, response.classification.action) == ("参数过长 too long", Action.FAIL)
