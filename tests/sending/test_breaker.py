import pytest

from batch_alias.sending.controller import BreakerRules, CircuitBreaker


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker(BreakerRules(failures=6, rows=3, first_interval=1.0, longest_interval=8.0))


def test_a_run_of_failures_over_several_rows_is_to_be_suspected(breaker):
    assert [breaker.failure(row) for row in (1, 2, 3, 1, 2, 3)] == [False] * 5 + [True]
    assert not breaker.is_open


def test_failures_of_one_row_alone_are_not(breaker):
    assert not any(breaker.failure(row % 2) for row in range(100))
    assert breaker.failure(2)


def test_a_single_success_begins_the_count_anew(breaker):
    for row in range(5):
        breaker.failure(row)
    assert not breaker.success()
    assert [breaker.failure(row) for row in range(6)] == [False] * 5 + [True]


def test_a_suspicion_is_probed_at_once_and_ends_with_a_success_as_if_nothing_had_been(breaker):
    breaker.suspect(now=10.0)
    breaker.suspect(now=11.0)
    assert breaker.is_open
    assert (breaker.opened_at, breaker.next_probe_at) == (None, 10.0)
    assert not breaker.success()
    assert not breaker.is_open


def test_the_first_probe_that_fails_confirms_an_outage_and_more_follow_at_growing_intervals(breaker):
    breaker.suspect(now=100.0)
    confirmed, intervals, now = [], [], 100.0
    for _ in range(6):
        confirmed.append(breaker.probe_failed(now=now))
        intervals.append(breaker.next_probe_at - now)
        now = breaker.next_probe_at
    assert confirmed == [True] + [False] * 5
    assert intervals == [1, 2, 4, 8, 8, 8]
    assert breaker.opened_at == 100.0


def test_the_first_success_ends_the_outage_and_the_next_one_begins_with_short_intervals(breaker):
    breaker.suspect(now=0.0)
    breaker.probe_failed(now=0.0)
    breaker.probe_failed(now=1.0)
    assert breaker.success()
    assert not breaker.success()
    breaker.suspect(now=50.0)
    assert breaker.probe_failed(now=50.0)
    assert breaker.next_probe_at == 51.0
