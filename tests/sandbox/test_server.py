"""A served sandbox: its calls, pages and counts over sockets, its beginning and its end."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx
import pytest

from batch_alias.errors import UsageError
from batch_alias.sandbox import Faults, Rules, Sandbox
from batch_alias.sandbox.emulator import Request
from batch_alias.sandbox.server import serve
from batch_alias.settings.target import Secret
from tests.support.http import CLEAR, QUERY, READ, SET
from tests.support.processes import DEADLINE, started

ODD = "R&D 50%+ =老王 🐉\u2028"
CROWD = 300
"""Connections at once; both ends are in this process, and many systems give it 1,024 descriptors."""


def test_an_alias_set_over_http_is_held_byte_for_byte(served, client, post):
    response = post(client, served, "byte-for-byte", ODD)
    assert (response.status_code, response.json()) == (200, {"code": 200})
    assert served.aliases()["g", "byte-for-byte"] == ODD
    lines = [json.loads(line) for line in client.get("/sandbox/aliases").text.split("\n") if line]
    assert {"groupId": "g", "userId": "byte-for-byte", "remark": ODD} in lines


def test_statistics_over_http_are_the_same_and_do_not_count_themselves(served, client, post):
    before = served.stats().requests
    post(client, served, "statistics")
    over_http = [client.get("/sandbox/stats").json() for _ in range(2)]
    assert over_http[0] == over_http[1]
    assert over_http[0]["requests"] == served.stats().requests == before + 1
    assert over_http[0].keys() >= {"refusals", "busiest_second", "aliases", "answers", "long_nonces"}
    assert over_http[0]["paths"][SET].keys() == {"requests", "refusals", "busiest_second"}


def test_another_path_and_method_get_the_gateways_page(client):
    responses = client.post("/group/remarks/nope.json"), client.get(SET), client.head(SET)
    assert [response.status_code for response in responses] == [404, 405, 405]
    assert [b"<html>" in response.content for response in responses] == [True, True, False]


def test_every_response_has_a_date_and_echoes_the_request_id(client):
    for path in (SET, "/nothing"):
        response = client.post(path, headers={"X-Request-ID": "abc"})
        assert response.headers["x-request-id"] == "abc"
        assert abs(parsedate_to_datetime(response.headers["date"]).timestamp() - time.time()) < 3600
    assert "x-request-id" not in client.post(SET).headers


def test_the_clock_of_the_server_is_in_its_date_and_decides_about_timestamps(post, client_of):
    ahead = 0.0
    sandbox = Sandbox(Rules(max_skew=1800), now=lambda: time.time() + ahead)
    with serve(sandbox):
        client = client_of(sandbox)
        assert post(client, sandbox, "u").status_code == 200
        ahead = 3600.0
        response = post(client, sandbox, "u")
    assert response.json()["code"] == 1004
    date = parsedate_to_datetime(response.headers["date"]).timestamp()
    assert date - time.time() == pytest.approx(3600, abs=900)


def test_the_limit_holds_over_a_socket(post, client_of):
    sandbox = Sandbox(Rules(rate=2))
    with serve(sandbox):
        client = client_of(sandbox)
        codes = [post(client, sandbox, "u").json()["code"] for _ in range(8)]
    stats = sandbox.stats()
    assert codes[:2] == [200, 200]
    assert stats.refusals == codes.count(1008)
    assert stats.requests == sum(stats.answers.values()) == 8


def test_connections_and_their_requests_are_counted(post, client_of, until):
    with serve(Sandbox(Rules(rate=100_000))) as sandbox:
        for uses in (3, 80):
            with closing(client_of(sandbox)) as client:
                for _ in range(uses):
                    post(client, sandbox, "u")
                assert sandbox.stats().connections_open == 1
            until(lambda: sandbox.stats().connections_open == 0)
        stats = sandbox.stats()
    assert (stats.connections_opened, stats.most_requests_on_a_connection, stats.connections_over_79) == (2, 80, 1)
    assert (stats.most_in_flight, stats.most_in_flight_for_one_key, stats.keys_set_again) == (1, 1, 1)
    assert stats.longest_idle > 0


def test_writes_are_reported_in_order(post, client_of):
    writes = []
    with serve(Sandbox(on_write=writes.append)) as sandbox:
        client = client_of(sandbox)
        for remark in ("1", "2", "1"):
            post(client, sandbox, "same", remark)
        assert [write.remark for write in writes] == ["1", "2", "1"]


@pytest.fixture
def call(signed):
    """The answer to any call about group ``g``, sent through a client."""

    def send(client: httpx.Client, sandbox: Sandbox, path: str, **fields: str) -> dict[str, object]:
        headers = signed(sandbox.app_key, sandbox.app_secret.reveal())
        return client.post(path, data={"groupId": "g", **fields}, headers=headers).json()

    return send


def test_aliases_and_members_are_read_over_http(call, client_of):
    with serve(Sandbox(aliases={("g", "老王"): ODD}, members={"g": ["u2", "老王"]})) as sandbox:
        client = client_of(sandbox)
        assert call(client, sandbox, READ, userId="老王") == {"code": 200, "remark": ODD}
        assert call(client, sandbox, QUERY) == {"code": 200, "users": [{"id": "u2"}, {"id": "老王"}]}


def test_another_writer_comes_between_a_read_and_the_write_after_it(call, post, client_of):
    replaced = []

    def on_request(request: Request) -> None:
        if request.path == SET:
            sandbox.set_alias(*request.key, "theirs, before the write")
            replaced.append(sandbox.aliases()[request.key])

    sandbox = Sandbox(faults=Faults(other_writer=1.0), aliases={("g", "u"): "first"}, on_request=on_request)
    with serve(sandbox):
        client = client_of(sandbox)
        found = [call(client, sandbox, READ, userId="u")["remark"]]
        sandbox.set_alias("g", "u", "theirs, from another thread")
        found.append(call(client, sandbox, READ, userId="u")["remark"])
        post(client, sandbox, "u", "ours")
        found.append(call(client, sandbox, READ, userId="u")["remark"])
    assert found == ["first", "theirs, from another thread", "ours"]
    assert replaced == ["theirs, before the write"]
    assert sandbox.stats().foreign_writes == 5


def server_threads() -> int:
    return sum(thread.name == "sandbox" for thread in threading.enumerate())


def test_a_stop_cuts_requests_that_hang(message, connect, until):
    sandbox = Sandbox(faults=Faults(hangs=1.0))
    before = server_threads()
    with serve(sandbox):
        connections = [connect(sandbox) for _ in range(5)]
        for connection in connections:
            connection.sendall(message(sandbox, "u"))
        until(lambda: sandbox.stats().in_flight == 5)
        assert sandbox.stats().most_in_flight_for_one_key == 5
    assert server_threads() == before
    assert all(connection.is_cut() for connection in connections)
    stats = sandbox.stats()
    assert (stats.in_flight, stats.connections_open, stats.answers) == (0, 0, {"none": 5})


def test_a_stop_cuts_idle_connections_and_unfinished_requests(head, connect, until):
    sandbox = Sandbox()
    with serve(sandbox):
        connections = [connect(sandbox) for _ in range(3)]
        connections[1].sendall(b"POST /gro")
        connections[2].sendall(head(sandbox, "content-length: 100") + b"userId=")
        until(lambda: sandbox.stats().connections_open == 3)
    assert all(connection.is_cut() for connection in connections)
    assert (sandbox.stats().connections_open, sandbox.stats().requests) == (0, 0)
    gc.collect()  # what was not closed is a ResourceWarning, and that is an error


def test_a_stop_closes_connections_that_are_being_accepted(message, connect, monkeypatch):
    blocked, stopped = threading.Event(), threading.Event()
    join = threading.Thread.join

    def now() -> float:
        blocked.set()
        assert stopped.wait(DEADLINE)
        return time.time()

    def stop_and_join(thread: threading.Thread, timeout: float | None = None) -> None:
        stopped.set()
        join(thread, timeout)

    # The server is stopped while its thread is blocked, and then finds these connections at the same time as the stop:
    # it goes on when its end is waited for.
    monkeypatch.setattr(threading.Thread, "join", stop_and_join)
    sandbox = Sandbox(now=now)
    with serve(sandbox):
        first = connect(sandbox)
        first.sendall(message(sandbox, "u"))
        assert blocked.wait(DEADLINE)
        connections = [first, *(connect(sandbox) for _ in range(20))]
        assert not stopped.is_set()
    assert all(connection.is_cut() for connection in connections[1:])
    assert sandbox.stats().connections_open == 0
    gc.collect()  # what was not closed is a ResourceWarning, and that is an error


def test_a_sandbox_served_again_on_the_same_port_still_holds_its_aliases(post, client_of):
    sandbox = Sandbox()
    with serve(sandbox) as served:
        assert served is sandbox
        url, client = sandbox.url, client_of(sandbox)
        post(client, sandbox, "kept")
    with pytest.raises(httpx.ConnectError):
        client.get("/sandbox/stats")
    with serve(sandbox, port=urlsplit(url).port):
        assert sandbox.url == url
        assert client.get("/sandbox/aliases").json() == {"groupId": "g", "userId": "kept", "remark": "r"}


def test_it_can_be_served_from_a_coroutine(client_of):
    async def run() -> int:
        with serve(Sandbox()) as sandbox:
            return client_of(sandbox).get("/sandbox/stats").json()["connections_open"]

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize("port", [None, 70_000], ids=["in-use", "impossible"])
def test_a_port_that_cannot_be_listened_on_is_named(port, served):
    port = port or urlsplit(served.url).port
    with pytest.raises(UsageError, match=str(port)), serve(Sandbox(), port=port):
        pass


def test_hundreds_of_connections_at_once_are_served():
    async def connect_all(port: int) -> int:
        pairs = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(CROWD)))
        for _, writer in pairs:
            writer.write(b"GET /nothing HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        heads = [await reader.readuntil(b"\r\n\r\n") for reader, _ in pairs]
        for _, writer in pairs:
            writer.close()
            await writer.wait_closed()
        return sum(head.startswith(b"HTTP/1.1 404") for head in heads)

    with serve(Sandbox()) as sandbox:
        assert asyncio.run(connect_all(urlsplit(sandbox.url).port)) == CROWD
        assert sandbox.stats().connections_opened == CROWD


SERVER = """
from batch_alias.sandbox import Sandbox
from batch_alias.sandbox.server import serve_forever

serve_forever(Sandbox(), "127.0.0.1", 0, lambda sandbox: print(sandbox.url, flush=True))
print("stopped", flush=True)
"""


@pytest.mark.slow
@pytest.mark.posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_process_serves_until_a_signal_and_then_ends_normally(number):
    command = [sys.executable, "-W", "error", "-c", SERVER]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with started(command, stdout=subprocess.PIPE, env=environment) as process:
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/sandbox/stats", trust_env=False, timeout=DEADLINE).status_code == 200
        process.send_signal(number)
        assert process.communicate(timeout=DEADLINE)[0] == "stopped\n"
        assert process.returncode == 0


@pytest.mark.slow
def test_a_command_serves_the_contents_of_files_by_the_rules_of_its_flags(tmp_path, environment, call, client_of):
    (tmp_path / "aliases.csv").write_text("userId,groupId,remark\nu,g,before\n", encoding="utf-8")
    (tmp_path / "members.csv").write_text("userId,groupId\nu,another\n", encoding="utf-8")
    flags = "--aliases aliases.csv --members members.csv --no-alias null --unknown-group error --shared-limit"
    command = [sys.executable, "-m", "batch_alias", "sandbox", *flags.split(), "--other-writer", "100%"]
    with started(command, stdout=subprocess.PIPE, cwd=tmp_path, env=environment()) as process:
        url, key, secret = (process.stdout.readline().strip().partition("=")[2] for _ in range(3))
        sandbox = Sandbox(app_key=key, app_secret=Secret(secret))
        sandbox.url = url
        client = client_of(sandbox)
        assert call(client, sandbox, READ, userId="u") == {"code": 200, "remark": "before"}
        assert call(client, sandbox, READ, userId="v") == {"code": 200, "remark": None}
        assert call(client, sandbox, QUERY)["code"] == 1002
        assert call(client, sandbox, CLEAR, userId="v") == {"code": 200}
        stats = client.get("/sandbox/stats").json()
    assert (stats["foreign_writes"], stats["reads"], stats["clears"]) == (2, 2, 1)
