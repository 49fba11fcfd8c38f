import asyncio
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_alias.sending.limiter import RateLimiter

RATES = [1, 10, 40, 50, 100, 500, 1000]
STALLS = st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(0.001, 5.0)), max_size=5)
"""Seconds until the machine stands still, and for how long."""


@pytest.fixture(scope="module")
def starts(driven):
    """When attempts start in so many seconds, with a task always waiting."""

    def run(rate: float, seconds: float, *, stalls=(), changes=(), late=lambda: 0.0, workers: int = 1) -> list[float]:
        async def main(loop) -> list[float]:
            loop.late = late
            throttle = RateLimiter(rate)
            started: list[float] = []
            stall_at = list(stalls)
            change_at = list(changes)

            async def work() -> None:
                while loop.time() < seconds:
                    if change_at and loop.time() >= change_at[0][0]:
                        await throttle.change(change_at.pop(0)[1])
                    await throttle.acquire()
                    if stall_at and loop.time() >= stall_at[0][0]:
                        # Nothing runs: a suspended laptop, a blocked loop, a stalled terminal.
                        loop.now += stall_at.pop(0)[1]
                        continue
                    started.append(loop.time())

            await asyncio.gather(*(work() for _ in range(workers)))
            return started

        return driven(main)

    return run


def busiest(starts: list[float]) -> int:
    """Most starts in any half-open second."""
    most = first = 0
    for last, start in enumerate(starts):
        while start - starts[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("rate", RATES)
def test_no_second_has_more_starts_than_the_rate_and_few_have_fewer(rate, starts):
    seconds = 100 if rate == 1 else 10
    started = starts(rate, seconds)
    assert busiest(started) <= rate
    assert len(started) >= 0.98 * rate * seconds


@pytest.mark.parametrize("rate", RATES)
def test_the_first_second_is_no_exception(rate, starts):
    started = [start for start in starts(rate, 1.5) if start < 1]
    assert 0.98 * rate - 1 <= len(started) <= rate


@pytest.mark.parametrize("rate", RATES)
def test_late_timers_cost_no_rate_and_exceed_none(rate, starts):
    draw = random.Random(rate)
    seconds = 100 if rate == 1 else 10
    started = starts(rate, seconds, late=lambda: draw.uniform(0, 0.003))
    assert busiest(started) <= rate
    assert len(started) >= 0.98 * rate * seconds


@pytest.mark.parametrize("workers", [2, 50])
def test_many_waiting_tasks_share_one_rate(workers, starts):
    started = starts(100, 5, workers=workers)
    assert busiest(started) <= 100
    assert len(started) >= 0.98 * 100 * 5


@settings(max_examples=40, deadline=None)
@given(rate=st.sampled_from(RATES), gaps=STALLS)
def test_a_stall_is_not_made_up_for_by_a_burst(starts, rate, gaps):
    stalls, at = [], 0.0
    for running, stalled in gaps:
        at += running
        stalls.append((at, stalled))
        at += stalled
    assert busiest(starts(rate, at + 1.1, stalls=stalls)) <= rate


@settings(max_examples=40, deadline=None)
# So far apart that no task still waits for a token of the rate before the last one.
@given(changes=st.lists(st.tuples(st.floats(1.1, 2.5), st.floats(1, 500)), min_size=1, max_size=4))
def test_a_change_of_rate_is_no_gift(starts, changes):
    plan, at = [(0.0, 50.0)], 0.0
    for after, rate in changes:
        at += after
        plan.append((at, rate))
    started = starts(50.0, at + 1.5, changes=plan[1:])
    assert busiest(started) <= math.ceil(max(rate for _, rate in plan))
    # A task that waited when the last change came still has the token of the rate before.
    last = [start for start in started if start >= at][1:]
    assert busiest(last) <= math.ceil(plan[-1][1])


def test_a_change_to_the_same_rate_costs_nothing(starts):
    unchanged = starts(100, 3)
    assert starts(100, 3, changes=[(0.1 * n, 100) for n in range(1, 30)]) == unchanged


def test_the_rate_is_the_one_it_was_changed_to(driven):
    async def main(loop) -> float:
        throttle = RateLimiter(100)
        await throttle.change(40)
        return throttle.rate

    assert driven(main) == 40
