"""The counts, against counting by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.sandbox.emulator import Emulator, Rules
from batch_alias.sandbox.traffic import Traffic
from batch_alias.settings import Secret


@pytest.fixture
def traffic():
    return Traffic()


def seen(traffic: Traffic):
    return traffic.stats(Emulator("key", Secret("secret"), Rules()))


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.999, 1.0, 3.0]), max_size=50))
def test_the_busiest_second_is_exact(gaps):
    traffic = Traffic()
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    for at in times:
        traffic.arrived(at, None)
    by_hand = max((sum(1 for other in times if 0 <= other - first < 1.0) for first in times), default=0)
    assert seen(traffic).busiest_second == by_hand


def test_requests_in_flight_are_counted_together_and_by_key(traffic):
    one, other = ("g", "u"), ("g", "v")
    for key in (one, other, one, None, None):
        traffic.arrived(0.0, key)
    for key in (one, one, None):
        traffic.left(key)
    stats = seen(traffic)
    assert (stats.in_flight, stats.most_in_flight, stats.most_in_flight_for_one_key) == (2, 5, 2)


def test_a_connection_is_overused_once_it_carries_80_requests(traffic):
    for connection in (79, 80, 200):
        traffic.connected()
        for times in range(1, connection + 1):
            traffic.used(times, idle=0.0)
    traffic.disconnected()
    stats = seen(traffic)
    assert (stats.connections_over_79, stats.most_requests_on_a_connection) == (2, 200)
    assert (stats.connections_opened, stats.connections_open) == (3, 2)


def test_refusals_are_those_of_rongcloud_and_of_the_gateway(traffic):
    for answer in ("200", "1008", "http-429", "1008", "none"):
        traffic.answered(answer)
    stats = seen(traffic)
    assert stats.refusals == 3
    assert stats.answers == {"200": 1, "1008": 2, "http-429": 1, "none": 1}
