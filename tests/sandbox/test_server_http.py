"""HTTP/1.1 as the server reads it: framing, connections, and what is not HTTP."""

import pytest

from batch_alias.sandbox import Faults, Rules, Sandbox
from batch_alias.sandbox.server import MAX_BODY, serve
from tests.support.http import BODY


def status(response: bytes) -> int:
    assert response.startswith(b"HTTP/1.1 "), response
    return int(response[9:12])


@pytest.mark.parametrize("latency", [0.0, 0.001])
def test_pipelined_requests_are_answered_in_order(latency, served, message, connect):
    served.faults = Faults(latency=latency)
    connection = connect(served)
    connection.sendall(b"".join(message(served, f"pipelined-{n}", f"x-request-id: {n}") for n in range(20)))
    received = connection.read_until(BODY, times=20)
    ids = [line.rpartition(b" ")[2] for line in received.split(b"\r\n") if line.startswith(b"x-request-id")]
    assert [int(number) for number in ids] == list(range(20))


def test_a_request_sent_before_the_last_one_is_answered_is_answered_too(served, message, connect, until):
    served.faults = Faults(latency=0.2)
    connection = connect(served)
    for user in ("first", "second"):
        connection.sendall(message(served, user))
        until(lambda user=user: ("g", user) in served.aliases() or served.stats().in_flight == 1)
    assert connection.read_until(BODY, times=2).count(b"HTTP/1.1 200") == 2


def test_a_chunked_body_is_read(served, head, connect):
    connection = connect(served)
    connection.sendall(head(served, "transfer-encoding: chunked"))
    for part in (b"userId=chunked&", b"groupId=g&remark=", b"r"):
        connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
    connection.sendall(b"0\r\n\r\n")
    assert status(connection.read_until(BODY)) == 200
    assert served.aliases()["g", "chunked"] == "r"


def test_a_query_is_not_part_of_the_path(served, message, connect):
    connection = connect(served)
    connection.sendall(message(served, "query", path="/group/remarks/set.json?trace=1"))
    assert status(connection.read_until(BODY)) == 200


@pytest.mark.parametrize(
    ("lines", "how"), [(["connection: close"], {}), ([], {"version": "1.0"})], ids=["close", "HTTP/1.0"]
)
def test_the_connection_is_closed_if_the_client_asks_for_it(lines, how, served, message, connect):
    connection = connect(served)
    connection.sendall(message(served, "last", *lines, **how))
    response = connection.read_all()
    assert status(response) == 200
    assert b"connection: close" in response.lower()


def test_a_head_request_gets_no_body_and_the_connection_stays_usable(served, message, connect):
    connection = connect(served)
    connection.sendall(b"HEAD /nothing HTTP/1.1\r\nhost: sandbox\r\n\r\n" + message(served, "after-head"))
    response = connection.read_until(BODY)
    assert status(response) == 404
    assert b"<html>" not in response
    assert response.count(b"HTTP/1.1 ") == 2


MALFORMED = {
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "bad header": (b"GET / HTTP/1.1\r\nhost: sandbox\r\nno colon\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
    "bad chunk": (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
    "another encoding": (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", 501),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_cannot_be_read_is_answered_with_a_page_and_the_connection_closed(name, served, connect):
    data, expected = MALFORMED[name]
    before = served.stats().requests
    connection = connect(served)
    connection.sendall(data)
    response = connection.read_all()
    assert status(response) == expected
    assert b"</html>" in response
    assert served.stats().requests == before


ENDLESS = {
    "head": b"GET / HTTP/1.1\r\nhost: a\r\nx: ",
    "body": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 999999999\r\n\r\n",
}


@pytest.mark.parametrize("part", ENDLESS)
def test_a_request_that_does_not_end_is_cut_off(part, served, connect):
    before = served.stats().requests
    connection = connect(served)
    with pytest.raises(ConnectionError):  # noqa: PT012 - the server may close the connection during any of them
        connection.sendall(ENDLESS[part])
        for _ in range(8):
            connection.sendall(b"x" * MAX_BODY)
    assert served.stats().requests == before


def test_a_malformed_request_after_a_good_one_does_not_lose_its_response(served, message, connect):
    connection = connect(served)
    connection.sendall(message(served, "good") + b"nonsense\r\n\r\n")
    received = connection.read_until(b"</html>")
    assert BODY in received
    assert b"HTTP/1.1 400" in received


@pytest.mark.parametrize("sent", ["nothing", "half a head", "half a body"])
def test_a_client_that_leaves_in_the_middle_of_a_request_is_not_counted(sent, head, message, connect, until):
    with serve(Sandbox()) as sandbox:
        connection = connect(sandbox)
        whole = message(sandbox, "u")
        connection.sendall({"nothing": b"", "half a head": whole[:50], "half a body": whole[:-5]}[sent])
        until(lambda: sandbox.stats().connections_open == 1)
        connection.close()
        until(lambda: sandbox.stats().connections_open == 0)
        assert sandbox.stats().requests == 0


def test_an_idle_connection_is_closed(message, connect):
    with serve(Sandbox()) as sandbox:
        connection = connect(sandbox)
        for timeout in (75.0, 0.01):
            sandbox.emulator.rules = Rules(idle_timeout=timeout)
            connection.sendall(message(sandbox, "idle"))
            connection.read_until(BODY)
        assert connection.read_all() == b""
