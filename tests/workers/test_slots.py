import asyncio
import random
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_alias.errors import LedgerError
from batch_alias.model import PermissionWithdrawn
from batch_alias.workers.slots import (
    HORIZON,
    LATEST,
    REPLY,
    Reservation,
    Responses,
    SharedLimiter,
    likely_used,
    slot_rate,
    slot_times,
)
from tests.support.starts import busiest

SECONDS = {1: 60, 10: 10, 100: 5, 1000: 2}
"""By rate: how long it is observed."""


class Quota:
    """Reserves slots as the database does, on a driven clock, after the delays of a network.

    Args:
        delays: Makes the seconds on the way to the database, and back.
    """

    def __init__(self, rate: int, loop, delays=lambda: 0.001) -> None:
        self._step = 1 / slot_rate(rate)
        self._loop = loop
        self._delays = delays
        self._tat = 0.0
        self.tasks: list[asyncio.Task] = []

    def limiter(self) -> SharedLimiter:
        return SharedLimiter(self.reserve, lambda reserving: self.tasks.append(self._loop.create_task(reserving)))

    async def reserve(self, wanted: int, _responses: Responses) -> Reservation:
        sent = self._loop.time()
        await asyncio.sleep(self._delays())
        self._tat = max(self._tat, self._loop.time())
        first, granted = self._tat - self._loop.time(), 0
        if first <= HORIZON / 2:
            granted = min(wanted, int((HORIZON - first) / self._step) + 1)
            self._tat += granted * self._step
        await asyncio.sleep(self._delays())
        slots = slot_times(first, self._step, granted, sent=sent, received=self._loop.time())
        wait = 0.0 if granted else max(first - HORIZON / 2, 0.0)
        return Reservation(wait=wait, slots=slots, step=self._step, thrown_away=granted - len(slots))

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()


@pytest.fixture(scope="module")
def share(driven):
    """When attempts of several processes start in so many seconds, and their limiters."""

    def run(rate: int, seconds: float, processes: int, *, delays=lambda: 0.001, late=lambda: 0.0, pause=0.0):
        async def main(loop):
            loop.late = late
            quota = Quota(rate, loop, delays)
            limiters = [quota.limiter() for _ in range(processes)]
            started = []

            async def work(limiter) -> None:
                while loop.time() < seconds:
                    if await limiter.acquire() is not None:
                        started.append(loop.time())
                        await asyncio.sleep(pause)

            await asyncio.gather(*(work(limiter) for limiter in limiters))
            quota.close()
            return started, limiters

        return driven(main)

    return run


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("rate", SECONDS)
def test_processes_share_a_quota_exceed_it_in_no_second_and_use_nearly_all_of_it(rate, processes, share):
    started, _ = share(rate, SECONDS[rate], processes)
    assert busiest(started) <= rate
    assert len(started) >= 0.93 * rate * SECONDS[rate] - 1


@settings(max_examples=min(25, settings().max_examples))
@given(
    rate=st.sampled_from([10, 100, 500]),
    processes=st.integers(1, 4),
    slowest=st.floats(0, 0.03),
    latest=st.floats(0, 0.03),
    seed=st.integers(0, 1000),
)
def test_neither_slow_replies_nor_late_timers_exceed_the_quota(share, rate, processes, slowest, latest, seed):
    draw = random.Random(seed)
    started, _ = share(
        rate,
        3.0,
        processes,
        delays=lambda: draw.uniform(0, slowest),
        late=lambda: draw.uniform(0, latest) if draw.random() < 0.2 else 0.0,
    )
    assert busiest(started) <= rate


@pytest.mark.parametrize("pause", [0.0, 0.012, 0.033, 0.1])
def test_few_slots_are_reserved_and_not_used(pause, share):
    started, limiters = share(100, 20, 2, pause=pause)
    assert sum(limiter.reserved for limiter in limiters) <= 1.1 * len(started) + 10


@given(
    rate=st.integers(1, 300),
    delays=st.lists(st.floats(0, REPLY + LATEST), min_size=1, max_size=100),
    pauses=st.lists(st.floats(0, 0.2), min_size=100, max_size=100),
)
def test_starts_at_slots_and_a_little_later_exceed_no_second(rate, delays, pauses):
    slots = accumulate(1 / slot_rate(rate) + pause for pause in pauses)
    assert busiest(sorted(slot + delay for slot, delay in zip(slots, delays, strict=False))) <= rate


@given(
    first=st.floats(0, 1),
    step=st.floats(0.0005, 60),
    slots=st.integers(0, 50),
    took=st.floats(0, 2 * REPLY),
    read=st.floats(0, 1),
)
def test_slots_are_never_early_and_late_by_less_than_the_reply(first, step, slots, took, read):
    sent, meant = 1000.0, 1000.0 + took * read
    times = slot_times(first, step, slots, sent=sent, received=sent + took)
    assert len(times) == (slots if sent + took - sent <= REPLY else 0)
    for number, time in enumerate(times):
        assert -1e-9 <= time - (meant + first + number * step) <= REPLY + 1e-9


@pytest.mark.parametrize(
    ("gap", "step", "slots"),
    [(0.0, 0.01, 6), (0.01, 0.01, 6), (0.02, 0.01, 3), (0.033, 0.0105, 1), (0.05, 0.001, 1), (0.0, 1.0, 1)],
)
def test_as_many_slots_are_wanted_as_are_likely_used(gap, step, slots):
    assert likely_used(gap, step) == slots


def test_a_slot_that_is_too_late_is_thrown_away(driven):
    async def main(loop):
        quota = Quota(100, loop)
        limiter = quota.limiter()
        await limiter.acquire()
        await asyncio.sleep(HORIZON / 4)
        reserved = limiter.reserved
        loop.now += HORIZON + 2 * LATEST  # the machine stands still
        asleep = loop.time()
        await limiter.acquire()
        quota.close()
        return reserved, limiter.reserved, asleep, loop.time()

    before, after, asleep, started = driven(main)
    assert after > before
    assert started > asleep


def test_without_slots_a_request_is_not_held_up_for_longer_than_a_second(driven):
    async def none(_wanted, _responses) -> Reservation:
        return Reservation(wait=HORIZON)

    async def main(loop):
        tasks = []
        limiter = SharedLimiter(none, lambda reserving: tasks.append(loop.create_task(reserving)))
        permission = await limiter.acquire()
        tasks[0].cancel()
        return permission, loop.time(), limiter.asked

    permission, at, asked = driven(main)
    assert permission is None
    assert at == pytest.approx(1, abs=0.01)
    assert asked <= 1 + 1 / HORIZON


@pytest.mark.parametrize("delay", [LATEST / 2, 1.0])
def test_a_permission_that_is_given_back_is_renewed_at_its_slot_if_that_is_not_too_late(delay, driven):
    async def main(loop):
        quota = Quota(100, loop)
        limiter = quota.limiter()
        permission = await limiter.acquire()
        permission.give_back()
        await asyncio.sleep(delay)
        before = loop.time()
        await permission.renew()
        quota.close()
        return loop.time() - before

    waited = driven(main)
    assert (waited == 0) is (delay < LATEST)


@pytest.mark.parametrize(("connected_after", "lost_after"), [(0.1, 0.0), (0.1, 0.1), (0.1, 0.2), (LATEST / 2, 0.0)])
def test_a_permission_is_not_renewed_if_blocks_were_lost_since(connected_after, lost_after, driven):
    """The row of the attempt may be in another process's block."""

    async def main(loop):
        quota = Quota(1, loop)
        limiter = quota.limiter()
        permission = await limiter.acquire()
        permission.give_back()
        loop.call_later(lost_after, limiter.lost)
        await asyncio.sleep(connected_after)
        with pytest.raises(PermissionWithdrawn):
            await permission.renew()
        while (later := await limiter.acquire()) is None:
            pass
        later.give_back()
        await later.renew()
        quota.close()

    driven(main)


def test_a_request_that_is_cancelled_leaves_its_slot_to_the_next(driven):
    async def main(loop):
        quota = Quota(10, loop)
        limiter = quota.limiter()
        await limiter.acquire()
        waiting = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0.09)
        assert limiter.reserved == 2
        waiting.cancel()
        while await limiter.acquire() is None:
            pass
        quota.close()
        return limiter.reserved

    assert driven(main) == 2


def test_renewals_share_the_quota(driven):
    """As where the server closes every connection: each attempt has to wait for one."""

    async def main(loop):
        quota = Quota(100, loop)
        limiter = quota.limiter()
        draw, started = random.Random(3), []

        async def attempt(permission) -> None:
            permission.give_back()
            await asyncio.sleep(0.1 * draw.random())
            await permission.renew()
            started.append(loop.time())

        async with asyncio.TaskGroup() as attempts:
            while loop.time() < 10:
                if (permission := await limiter.acquire()) is not None:
                    attempts.create_task(attempt(permission))
        quota.close()
        return started, limiter.busiest

    started, counted = driven(main)
    assert busiest(started) <= counted <= 100
    assert len(started) >= 500


def test_an_error_is_raised_where_a_slot_is_waited_for(driven):
    async def fails(_wanted, _responses) -> Reservation:
        raise LedgerError("The database cannot be used.")

    async def main(loop):
        limiter = SharedLimiter(fails, loop.create_task)
        with pytest.raises(LedgerError):
            await limiter.acquire()

    driven(main)


def test_each_reservation_tells_of_the_responses_since_the_one_before(driven):
    async def main(loop):
        heard = []

        async def reserve(_wanted, responses) -> Reservation:
            heard.append(responses)
            return Reservation(wait=0.0, slots=[loop.time()], step=0.01)

        tasks = []
        limiter = SharedLimiter(reserve, lambda reserving: tasks.append(loop.create_task(reserving)))
        for signals in ([], [True, False, True], [False]):
            for signal in signals:
                limiter.responded(signal=signal)
            await limiter.acquire()
            await asyncio.sleep(1)
        tasks[0].cancel()
        return heard

    assert driven(main) == [(0, 0), (2, 3), (0, 1)]
