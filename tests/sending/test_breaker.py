import pytest

from batch_alias.sending.controller import BreakerRules, CircuitBreaker


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker(BreakerRules(failures=6, rows=3, first_interval=1.0, longest_interval=8.0))


def test_a_run_of_failures_over_several_rows_is_an_outage(breaker):
    began = [breaker.failure(row, failed_at=10.0 + row, now=10.0 + row) for row in (1, 2, 3, 1, 2, 3)]
    assert began == [False] * 5 + [True]
    assert breaker.is_open
    assert (breaker.opened_at, breaker.next_probe_at) == (13.0, 14.0)


def test_failures_of_one_row_alone_are_no_outage(breaker):
    assert not any(breaker.failure(row % 2, failed_at=row, now=row) for row in range(100))
    assert not breaker.is_open
    assert breaker.failure(2, failed_at=100.0, now=100.0)


def test_a_single_success_begins_the_count_anew(breaker):
    for row in range(5):
        breaker.failure(row, failed_at=0.0, now=0.0)
    assert not breaker.success(now=0.0)
    assert not any(breaker.failure(row, failed_at=0.0, now=0.0) for row in range(5))
    assert breaker.failure(5, failed_at=0.0, now=0.0)


def test_probes_come_at_growing_intervals_up_to_the_longest(breaker):
    breaker.open(now=100.0)
    intervals = []
    now = breaker.next_probe_at
    for _ in range(6):
        breaker.probe_failed(now=now)
        intervals.append(breaker.next_probe_at - now)
        now = breaker.next_probe_at
    assert intervals == [2, 4, 8, 8, 8, 8]


def test_the_first_success_ends_the_outage_and_the_next_one_begins_with_short_intervals(breaker):
    breaker.open(now=0.0)
    breaker.probe_failed(now=1.0)
    assert breaker.success(now=2.0)
    assert not breaker.is_open
    assert not breaker.success(now=2.0)
    breaker.open(now=50.0)
    assert breaker.next_probe_at == 51.0


def test_failures_during_an_outage_begin_no_other(breaker):
    breaker.open(now=0.0)
    assert not any(breaker.failure(row, failed_at=9.0, now=9.0) for row in range(20))
    assert (breaker.opened_at, breaker.next_probe_at) == (0.0, 1.0)


def test_rows_that_had_failed_before_another_one_succeeded_are_no_outage(breaker):
    breaker.success(now=5.0)
    assert not any(breaker.failure(row, failed_at=4.0, now=6.0 + row) for row in range(50))
    assert [breaker.failure(row, failed_at=6.0, now=60.0) for row in range(6)] == [False] * 5 + [True]
