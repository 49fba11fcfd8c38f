"""The counts, compared with counting by hand, and the sandbox without a server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.sandbox import Draw, Faults, Sandbox
from batch_alias.sandbox.faults import BAD_GATEWAY, UNAVAILABLE
from batch_alias.sandbox.messages import Request
from batch_alias.sandbox.sandbox import Counters
from tests.support.faults import Script


@pytest.fixture
def counters():
    return Counters()


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.999, 1.0, 3.0]), max_size=50))
def test_the_busiest_second_is_exact(gaps):
    counters = Counters()
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    for at in times:
        counters.arrived(at, None)
    by_hand = max((sum(1 for other in times if 0 <= other - first < 1.0) for first in times), default=0)
    assert counters.stats.busiest_second == by_hand


def test_requests_in_flight_are_counted_together_and_by_key(counters):
    one, other = ("g", "u"), ("g", "v")
    for key in (one, other, one, None, None):
        counters.arrived(0.0, key)
    for key in (one, one, None):
        counters.left(key)
    stats = counters.stats
    assert (stats.in_flight, stats.most_in_flight, stats.most_in_flight_for_one_key) == (2, 5, 2)


def test_a_connection_is_overused_once_it_carries_80_requests(counters):
    for requests in (79, 80, 200):
        for uses in range(1, requests + 1):
            counters.arrived(0.0, None, uses=uses)
    assert (counters.stats.connections_over_79, counters.stats.most_requests_on_a_connection) == (2, 200)


def test_the_longest_idle_time_is_kept(counters):
    for idle in (0.0, 3.5, 2.0):
        counters.arrived(0.0, None, idle=idle)
    assert counters.stats.longest_idle == 3.5


def test_refusals_are_those_of_rongcloud_and_of_the_gateway(counters):
    for answer in ("200", "1008", "http-429", "1008", "none"):
        counters.answered(answer)
    assert counters.stats.refusals == 3
    assert counters.stats.answers == {"200": 1, "1008": 2, "http-429": 1, "none": 1}


def request(at: float = 0.0) -> Request:
    return Request(method="POST", path="/nothing", headers={}, body=b"", now=0.0, at=at)


def test_stats_are_a_copy():
    sandbox = Sandbox()
    before = sandbox.stats()
    sandbox.counters.arrived(0.0, None)
    sandbox.counters.answered("200")
    assert (before.requests, before.answers) == (0, {})
    assert (sandbox.stats().requests, sandbox.stats().answers) == (1, {"200": 1})


def test_a_plan_starts_anew_when_it_is_set():
    drawn = []

    class Recorded:
        def draw(self, number: int, elapsed: float) -> Draw:
            drawn.append((number, elapsed))
            return Draw()

    sandbox = Sandbox(faults=Recorded())
    for at in (5.0, 6.5):
        sandbox.handle(request(at))
    sandbox.faults = Recorded()
    sandbox.handle(request(8.0))
    assert drawn == [(0, 0.0), (1, 1.5), (0, 0.0)]


def test_the_latency_and_the_fault_of_a_request_are_those_of_its_draw():
    sandbox = Sandbox(faults=Script(lambda number: [BAD_GATEWAY, None][number], Faults(latency=3.0)))
    assert sandbox.handle(request()) == (3.0, BAD_GATEWAY.effect(request()))
    latency, response = sandbox.handle(request())
    assert (latency, response.status) == (3.0, 404)


def test_faults_can_be_read_back():
    plan = Script(lambda _: UNAVAILABLE)
    assert Sandbox(faults=plan).faults is plan
    assert Sandbox().faults == Faults()


def test_two_sandboxes_have_different_keys_and_do_not_show_their_secrets():
    one, other = Sandbox(), Sandbox()
    assert one.app_key != other.app_key
    assert one.app_secret != other.app_secret
    assert one.app_secret.reveal() not in repr(one.app_secret)
