"""Faults over sockets, as a client observes them."""

import socket
import struct
import threading
import time
from operator import attrgetter

import httpx
import pytest

from batch_alias.sandbox import Fault, Faults, faults
from tests.support.faults import (
    BOMB,
    BROKEN_JSON,
    ENDLESS_BODY,
    GATEWAY_LIMIT,
    GZIP_BOMB,
    HUGE,
    HUGE_BODY,
    INVALID_UTF8,
    LONG_BODY,
    NOT_HTTP,
    REDIRECT,
    SHORT_BODY,
    Shares,
    While,
    coded,
)
from tests.support.http import SET

by_name = attrgetter("name")


def always(fault: Fault) -> Shares:
    return Shares({fault: 1.0})


RESPONSES = {
    faults.INTERNAL_ERROR: (500, b'"code":1000'),
    faults.INTERNAL_TIMEOUT: (504, b'"code":1050'),
    faults.BAD_GATEWAY: (502, b""),
    faults.GATEWAY_PAGE_OK: (200, b"<html>"),
    GATEWAY_LIMIT: (429, b"<html>"),
    coded(1009): (430, b'"code":1009'),
    BROKEN_JSON: (200, b'{"code'),
    INVALID_UTF8: (200, b"\xff\xfe"),
    LONG_BODY: (200, b'{"co'),
}


@pytest.mark.parametrize("fault", RESPONSES, ids=by_name)
def test_a_fault_sends_its_response_and_the_request_is_carried_out_or_not(fault, served, client, post):
    served.faults = always(fault)
    status, content = RESPONSES[fault]
    response = post(client, served, fault.name)
    assert response.status_code == status
    assert content in response.content
    assert (("g", fault.name) in served.aliases()) == fault.carried_out


def test_a_redirect_leads_to_another_host(served, client, post):
    served.faults = always(REDIRECT)
    location = httpx.URL(post(client, served, "redirected").headers["location"])
    assert (location.host, location.path) == ("elsewhere.invalid", SET)


@pytest.mark.parametrize(("fault", "size"), [(HUGE_BODY, HUGE), (GZIP_BOMB, BOMB)], ids=["huge", "bomb"])
def test_a_large_body_has_its_code_before_megabytes(fault, size, served, client, post):
    served.faults = always(fault)
    response = post(client, served, fault.name)
    assert len(response.content) > size
    assert response.json()["code"] == 200
    assert int(response.headers["content-length"]) < (HUGE + 100 if fault is HUGE_BODY else BOMB / 200)


def test_an_endless_body_lasts_until_the_client_leaves_and_others_are_served_meanwhile(
    served, client, post, message, connect, until
):
    served.faults = always(ENDLESS_BODY)
    connection = connect(served)
    connection.sendall(message(served, "endless"))
    connection.read_until(b"x" * 16_384, times=10)
    served.faults = Faults()
    assert post(client, served, "meanwhile").json() == {"code": 200}
    assert served.stats().in_flight == 1
    connection.close()
    until(lambda: served.stats().in_flight == 0)


DROPS = {
    faults.DROP_BEFORE: httpx.RemoteProtocolError,
    faults.DROP_AFTER: httpx.RemoteProtocolError,
    faults.RESET_BEFORE: httpx.ReadError,
    faults.RESET_AFTER: httpx.ReadError,
    SHORT_BODY: httpx.RemoteProtocolError,
    NOT_HTTP: httpx.RemoteProtocolError,
}


@pytest.mark.parametrize("fault", DROPS, ids=by_name)
def test_a_broken_connection_is_no_response(fault, served, client, post, until):
    served.faults = always(fault)
    before = served.stats().answers.get("none", 0)
    with pytest.raises(DROPS[fault]):
        post(client, served, fault.name)
    assert (("g", fault.name) in served.aliases()) == fault.carried_out
    until(lambda: served.stats().answers.get("none", 0) == before + 1)


@pytest.mark.parametrize("fault", faults.HANGS, ids=by_name)
def test_a_hang_lasts_until_the_client_leaves(fault, served, message, connect, until):
    served.faults = always(fault)
    connection = connect(served)
    connection.sendall(message(served, fault.name))
    until(lambda: served.stats().in_flight == 1)
    assert (("g", fault.name) in served.aliases()) == fault.carried_out
    connection.close()
    until(lambda: served.stats().in_flight == 0)


def test_a_response_takes_at_least_the_latency(served, client, post):
    served.faults = Faults(latency=0.2, jitter=0.5)
    began = time.monotonic()
    post(client, served, "late")
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_write_takes_place_before_the_latency_and_a_client_that_leaves_meanwhile_has_no_answer(
    reset, served, message, connect, until
):
    served.faults = Faults(latency=3600)
    before = served.stats().answers.get("none", 0)
    connection = connect(served)
    connection.sendall(message(served, f"abandoned-{reset}"))
    until(lambda: ("g", f"abandoned-{reset}") in served.aliases())
    assert served.stats().in_flight == 1
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    until(lambda: served.stats().in_flight == 0)
    assert served.stats().answers["none"] == before + 1


def test_an_outage_lasts_as_long_as_a_test_wants(served, client, post):
    down = threading.Event()
    served.faults = While(down.is_set, faults.UNAVAILABLE)
    statuses = []
    for condition in (lambda: None, down.set, down.clear):
        condition()
        statuses.append(post(client, served, "outage").status_code)
    assert statuses == [200, 503, 200]
