"""The sandbox over real sockets, met by a client that knows nothing of it."""

import asyncio
import json
import threading
import time
from email.utils import parsedate_to_datetime

import httpx
import pytest

from batch_alias.errors import UsageError
from batch_alias.sandbox.app import Sandbox, app
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.faults import Faults, Forced, Outage, Trouble
from batch_alias.sandbox.outlet import AFTER, BOMB, HUGE
from batch_alias.sandbox.server import Running, serve

SET = "/group/remarks/set.json"
NASTY = "R&D 50%+ =老王 🐉\u2028"
GIVE_UP = 30.0
"""Seconds after which a condition that does not come true fails the test."""
CROWD = 400
"""Connections at once; both ends are in this process, and many a system gives it 1,024 descriptors."""


@pytest.fixture
def client(running):
    with httpx.Client(base_url=running.url, timeout=GIVE_UP, trust_env=False) as client:
        yield client


@pytest.fixture
def ask(signed):
    """Set an alias of a user of one's own in group ``g``."""

    def send(client: httpx.Client, running: Running, user: str, remark: str = "r", **how) -> httpx.Response:
        headers = signed(running.app_key, running.app_secret.reveal())
        return client.post(SET, data={"userId": user, "groupId": "g", "remark": remark}, headers=headers, **how)

    return send


def until(condition):
    """Wait for a condition."""
    give_up = time.monotonic() + GIVE_UP
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.001)


def test_an_alias_set_over_http_is_held_byte_for_byte(running, client, ask):
    answer = ask(client, running, "byte-for-byte", NASTY)
    assert (answer.status_code, answer.json()) == (200, {"code": 200})
    assert running.aliases()["g", "byte-for-byte"] == NASTY
    lines = [json.loads(line) for line in client.get("/sandbox/aliases").text.split("\n") if line]
    assert {"groupId": "g", "userId": "byte-for-byte", "remark": NASTY} in lines


def test_statistics_are_the_same_over_http_and_do_not_count_themselves(running, client, ask):
    before = running.stats().requests
    ask(client, running, "statistics")
    for _ in range(2):
        over_http = client.get("/sandbox/stats").json()
    assert over_http["requests"] == running.stats().requests == before + 1
    assert set(over_http) >= {"refusals", "busiest_second", "aliases", "most_in_flight_for_one_key"}


def test_another_path_and_method_get_the_gateways_page(client):
    assert (client.post("/group/remarks/nope.json").status_code, client.get(SET).status_code) == (404, 405)


WHOLE_ANSWERS = {
    Trouble.INTERNAL_ERROR: (500, b'"code":1000'),
    Trouble.INTERNAL_TIMEOUT: (504, b'"code":1050'),
    Trouble.BAD_GATEWAY: (502, b""),
    Trouble.UNAVAILABLE: (503, b""),
    Trouble.GATEWAY_PAGE: (502, b"<html>"),
    Trouble.GATEWAY_PAGE_OK: (200, b"<html>"),
    Trouble.GATEWAY_LIMIT: (429, b"<html>"),
    Trouble.REFUSAL: (429, b'"code":1008'),
    Trouble.BROKEN_JSON: (200, b'{"code'),
    Trouble.INVALID_UTF8: (200, b"\xff\xfe"),
    Trouble.LONG_BODY: (200, b'{"co'),
    Trouble.REDIRECT: (307, b"<html>"),
}


@pytest.mark.parametrize("trouble", WHOLE_ANSWERS)
def test_a_trouble_answers_as_it_says_and_is_carried_out_or_not(trouble, running, client, ask):
    status, content = WHOLE_ANSWERS[trouble]
    running.faults = Faults(shares={trouble: 1.0})
    answer = ask(client, running, trouble)
    assert answer.status_code == status
    assert content in answer.content
    assert (("g", trouble) in running.aliases()) == (trouble in AFTER)


def test_a_redirect_points_to_another_host(running, client, ask):
    running.faults = Faults(shares={Trouble.REDIRECT: 1.0})
    location = httpx.URL(ask(client, running, "redirected").headers["location"])
    assert (location.host, location.path) == ("elsewhere.invalid", SET)


@pytest.mark.parametrize(("trouble", "size"), [(Trouble.HUGE_BODY, HUGE), (Trouble.GZIP_BOMB, BOMB)])
def test_a_great_body_says_200_after_megabytes(trouble, size, running, client, ask):
    running.faults = Faults(shares={trouble: 1.0})
    answer = ask(client, running, trouble)
    assert len(answer.content) > size
    assert answer.json()["code"] == 200
    assert int(answer.headers["content-length"]) < (HUGE + 100 if trouble is Trouble.HUGE_BODY else BOMB / 200)


def test_an_endless_body_goes_on_until_the_client_leaves(running, client, signed):
    running.faults = Faults(shares={Trouble.ENDLESS_BODY: 1.0})
    headers = signed(running.app_key, running.app_secret.reveal())
    form = {"userId": "endless", "groupId": "g", "remark": "r"}
    with client.stream("POST", SET, data=form, headers=headers) as answer:
        read = 0
        for chunk in answer.iter_bytes():
            read += len(chunk)
            if read > 200_000:
                assert running.stats().in_flight == 1
                break
    until(lambda: running.stats().in_flight == 0)


@pytest.mark.parametrize("trouble", [Trouble.DROP_BEFORE, Trouble.DROP_AFTER, Trouble.SHORT_BODY, Trouble.NOT_HTTP])
def test_a_broken_connection_is_no_answer(trouble, running, client, ask):
    running.faults = Faults(shares={trouble: 1.0})
    nones = running.stats().answers.get("none", 0)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        ask(client, running, trouble)
    assert (("g", trouble) in running.aliases()) == (trouble in AFTER)
    assert running.stats().answers["none"] == nones + 1


def test_drops_come_as_resets_and_as_plain_ends(running, client, ask):
    running.faults = Faults(shares={Trouble.DROP_BEFORE: 1.0})
    seen = set()
    for _ in range(20):
        with pytest.raises(httpx.TransportError) as raised:
            ask(client, running, "dropped")
        seen.add(type(raised.value))
    assert seen == {httpx.ReadError, httpx.RemoteProtocolError}


@pytest.mark.parametrize("trouble", [Trouble.HANG_BEFORE, Trouble.HANG_AFTER])
def test_a_hang_lasts_until_the_client_gives_up(trouble, running, client, ask):
    running.faults = Faults(shares={trouble: 1.0})
    with pytest.raises(httpx.ReadTimeout):
        ask(client, running, trouble, timeout=0.1)
    assert (("g", trouble) in running.aliases()) == (trouble is Trouble.HANG_AFTER)
    until(lambda: running.stats().in_flight == 0)


def test_latency_is_waited_and_the_write_lands_before_it(running, client, ask):
    running.faults = Faults(latency=0.2, jitter=0.5)
    began = time.monotonic()
    ask(client, running, "late")
    assert time.monotonic() - began >= 0.1
    running.faults = Faults(latency=GIVE_UP)
    with pytest.raises(httpx.ReadTimeout):
        ask(client, running, "too late", timeout=0.1)
    assert ("g", "too late") in running.aliases()


def test_an_outage_ends_and_begins_anew_when_it_is_set_again(running, client, ask):
    for _ in range(2):
        running.faults = Faults(outages=(Outage(start=0.0, end=0.05),))
        assert ask(client, running, "outage").status_code == 503
        until(lambda: ask(client, running, "outage").status_code == 200)


@pytest.mark.parametrize(("code", "status"), [(1006, 401), (1007, 401), (1009, 430), (404, 404)])
def test_a_forced_code_answers_everything(code, status, running, client, ask):
    running.faults = Faults(forced=Forced(code=code))
    answer = ask(client, running, "forced")
    assert answer.status_code == status
    assert ("json" in answer.headers["content-type"]) == (code != 404)


def test_a_server_with_a_wrong_clock_says_so_in_its_date_and_refuses_the_signature(ask):
    with serve(Sandbox(Rules(max_skew=300))) as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        assert ask(client, running, "u").status_code == 200
        running.faults = Faults(clock_offset=3600.0)
        answer = ask(client, running, "u")
        ahead = parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()
        assert answer.json()["code"] == 1004
        assert ahead == pytest.approx(3600, abs=10)


def test_the_limit_holds_over_a_socket(ask):
    sandbox = Sandbox(Rules(rate=2))
    with serve(sandbox) as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        codes = [ask(client, running, "u").json()["code"] for _ in range(8)]
        stats = running.stats()
    assert codes[:2] == [200, 200]
    assert stats.refusals == codes.count(1008) > 0
    assert stats.busiest_second > 2
    assert stats.requests == sum(stats.answers.values()) == 8


def test_connections_and_their_use_are_counted(ask):
    with serve(Sandbox(Rules(rate=1000))) as running:
        for uses in (3, 80):
            with httpx.Client(base_url=running.url, trust_env=False) as client:
                for _ in range(uses):
                    ask(client, running, "u")
                assert running.stats().connections_open == 1
            until(lambda: running.stats().connections_open == 0)
        stats = running.stats()
    assert (stats.connections_opened, stats.most_requests_on_a_connection, stats.connections_over_79) == (2, 80, 1)
    assert 0 < stats.longest_idle < GIVE_UP


def test_a_connection_may_be_used_up(ask):
    sandbox = Sandbox(uses_per_connection=2)
    with serve(sandbox) as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        for user in ("one", "two"):
            assert ask(client, running, user).status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            ask(client, running, "three")
        assert ask(client, running, "four").status_code == 200
        assert ("g", "three") not in running.aliases()


def test_writes_are_told_in_order(ask):
    sandbox = Sandbox(Rules(keep_writes=True))
    with serve(sandbox) as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        for remark in ("1", "2", "1"):
            ask(client, running, "same", remark)
        assert [write.remark for write in running.writes()] == ["1", "2", "1"]
        assert (running.stats().most_in_flight_for_one_key, running.stats().keys_set_again) == (1, 1)


def test_stopping_does_not_wait_for_requests_that_hang(ask):
    sandbox = Sandbox(faults=Faults(shares={Trouble.HANG_BEFORE: 1.0}))
    failures = []

    def hang(running):
        with httpx.Client(base_url=running.url, timeout=GIVE_UP, trust_env=False) as client:
            try:
                ask(client, running, "u")
            except httpx.TransportError as error:
                failures.append(error)

    with serve(sandbox) as running:
        threads = [threading.Thread(target=hang, args=(running,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        until(lambda: running.stats().in_flight == 5)
        assert running.stats().most_in_flight_for_one_key == 5
        began = time.monotonic()
    assert time.monotonic() - began < GIVE_UP / 6
    for thread in threads:
        thread.join()
    assert len(failures) == 5
    assert sandbox.stats().in_flight == sandbox.stats().connections_open == 0


def test_a_sandbox_served_again_on_the_same_port_still_holds_its_aliases(ask):
    sandbox = Sandbox()
    with serve(sandbox) as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        ask(client, running, "kept")
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.url, trust_env=False)
    with serve(sandbox, port=httpx.URL(running.url).port) as again:
        assert again.url == running.url
        assert ("g", "kept") in again.aliases()


def test_a_port_in_use_is_named(running):
    port = httpx.URL(running.url).port
    with pytest.raises(UsageError, match=str(port)), serve(Sandbox(), port=port):
        pass


def test_two_sandboxes_never_share_a_key_or_show_their_secret():
    one, other = Sandbox(), Sandbox()
    assert one.app_key != other.app_key
    assert one.app_secret != other.app_secret
    assert one.app_secret.reveal() not in repr(one.app_secret)


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

    with serve(Sandbox()) as running:
        assert asyncio.run(connect_all(httpx.URL(running.url).port)) == CROWD
        assert running.stats().connections_opened == CROWD


def test_the_same_application_runs_in_process(signed):
    sandbox = Sandbox()
    form = {"userId": "u", "groupId": "g", "remark": NASTY}

    async def set_once() -> httpx.Response:
        transport = httpx.ASGITransport(app=app(sandbox))
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
            return await client.post(SET, data=form, headers=signed(sandbox.app_key, sandbox.app_secret.reveal()))

    assert asyncio.run(set_once()).json() == {"code": 200}
    assert sandbox.aliases() == {("g", "u"): NASTY}
    assert sandbox.stats().connections_opened == 0
    for trouble in (Trouble.DROP_AFTER, Trouble.SHORT_BODY, Trouble.ENDLESS_BODY):
        sandbox.faults = Faults(shares={trouble: 1.0})
        with pytest.raises(ConnectionResetError):
            asyncio.run(set_once())
