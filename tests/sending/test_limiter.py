import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_alias.sending.limiter import RateLimiter
from tests.support.starts import busiest

SECONDS = {1: 100, 10: 10, 40: 10, 50: 10, 100: 10, 500: 4, 1000: 4}
"""By rate: how long it is observed."""
STALLS = st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(0.001, 5.0)), max_size=5)
"""Seconds until the machine stands still, and for how long."""


@pytest.fixture(scope="module")
def starts(driven):
    """When attempts start in so many seconds, with somebody always waiting."""

    def run(rate: float, seconds: float, *, stalls=(), late=lambda: 0.0, workers: int = 1) -> list[float]:
        async def main(loop) -> list[float]:
            loop.late = late
            limiter = RateLimiter(rate)
            started: list[float] = []
            stall_at = list(stalls)

            async def work() -> None:
                while loop.time() < seconds:
                    await limiter.acquire()
                    if stall_at and loop.time() >= stall_at[0][0]:
                        # Nothing runs: a suspended laptop, a blocked loop, a stalled terminal.
                        loop.now += stall_at.pop(0)[1]
                        continue
                    started.append(loop.time())

            await asyncio.gather(*(work() for _ in range(workers)))
            return started

        return driven(main)

    return run


@pytest.mark.parametrize("rate", SECONDS)
def test_no_second_has_more_starts_than_the_rate_and_few_have_fewer(rate, starts):
    seconds = SECONDS[rate]
    started = starts(rate, seconds)
    assert busiest(started) <= rate
    assert len(started) >= 0.98 * rate * seconds


@pytest.mark.parametrize("rate", SECONDS)
def test_the_first_second_is_no_exception(rate, starts):
    started = [start for start in starts(rate, 1.5) if start < 1]
    assert 0.98 * rate - 1 <= len(started) <= rate


@pytest.mark.parametrize("rate", SECONDS)
def test_late_timers_cost_no_rate_and_exceed_none(rate, starts):
    draw = random.Random(rate)
    seconds = SECONDS[rate]
    started = starts(rate, seconds, late=lambda: draw.uniform(0, 0.003))
    assert busiest(started) <= rate
    assert len(started) >= 0.98 * rate * seconds


@pytest.mark.parametrize("workers", [2, 50])
def test_many_waiting_tasks_share_one_rate(workers, starts):
    started = starts(100, 5, workers=workers)
    assert busiest(started) <= 100
    assert len(started) >= 0.98 * 100 * 5


@settings(max_examples=min(25, settings().max_examples))
@given(rate=st.sampled_from([*SECONDS]), gaps=STALLS)
def test_a_stall_is_not_made_up_for_by_a_burst(starts, rate, gaps):
    stalls, at = [], 0.0
    for running, stalled in gaps:
        at += running
        stalls.append((at, stalled))
        at += stalled
    assert busiest(starts(rate, at + 1.1, stalls=stalls)) <= rate


@pytest.mark.parametrize("rate", [1, 10, 100])
@pytest.mark.parametrize(("delay", "share"), [(0.015, 0.97), (0.1, 0.9), (0.7, 0.7)])
def test_permissions_that_are_renewed_after_a_delay_keep_the_promise_and_the_rate(rate, delay, share, driven):
    """As where the server closes every connection: each attempt has to wait for one."""
    seconds, draw = 100 if rate == 1 else 10, random.Random(3)

    limiter = RateLimiter(rate)

    async def main(loop) -> list[float]:
        started = []

        async def attempt(permission) -> None:
            permission.give_back()
            await asyncio.sleep(delay * draw.random())
            await permission.renew()
            started.append(loop.time())

        async with asyncio.TaskGroup() as attempts:
            while loop.time() < seconds:
                attempts.create_task(attempt(await limiter.acquire()))
        return started

    started = driven(main)
    assert busiest(started) <= limiter.busiest <= rate
    assert len(started) >= share * rate * seconds


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=100))
def test_the_busiest_second_is_counted(driven, waits):
    limiter = RateLimiter(30)

    async def main(loop) -> list[float]:
        started = []
        for wait in waits:
            await asyncio.sleep(wait)
            await limiter.acquire()
            started.append(loop.time())
        return started

    assert limiter.busiest == 0
    assert busiest(driven(main)) == limiter.busiest
