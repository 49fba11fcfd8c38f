import asyncio
import time
from contextlib import AsyncExitStack
from itertools import chain, pairwise

import psycopg
import pytest

from batch_alias.errors import LedgerError
from batch_alias.model import EventKind, RequestKind
from batch_alias.sending.controller import ControllerRules
from batch_alias.workers.shared_quota import SharedQuota
from batch_alias.workers.slots import HORIZON, slot_rate
from tests.support.processes import DEADLINE
from tests.support.proxy import proxy_to
from tests.support.starts import busiest

WRITE = RequestKind.WRITE
RATE = 100
AHEAD = 2 * (1 + int(HORIZON * slot_rate(RATE)))
"""More slots than are reserved when a process loses its blocks or the database, with one reservation under way."""


@pytest.fixture
def block(query, job):
    """Make a block that is held at an epoch; its number."""

    def make(epoch: int = 1) -> int:
        columns, values = "job, run, first, last, made_at, sends_failed, epoch", "%s, 1, 1, 500, 0, FALSE, %s"
        return query(f"INSERT INTO blocks ({columns}) VALUES ({values}) RETURNING id", job, epoch)[0][0]

    return make


async def start(quota: SharedQuota, starts: int) -> list[float]:
    """Wait until so many attempts have started; when they did."""
    started: list[float] = []
    async with asyncio.timeout(DEADLINE):
        while len(started) < starts:
            if await quota.limiter(WRITE).acquire() is not None:
                started.append(time.monotonic())
    return started


async def start_until_none_may(quota: SharedQuota) -> int:
    """How many attempts may start until none does for about a second."""
    started = 0
    async with asyncio.timeout(DEADLINE):
        while await quota.limiter(WRITE).acquire() is not None:
            started += 1
    return started


@pytest.mark.parametrize(("limiters", "rate"), [(2, 100), (4, 100), (4, 500)])
def test_limiters_share_a_quota_and_exceed_it_in_no_second(limiters, rate, shared):
    async def main() -> list[float]:
        async with AsyncExitStack() as stack:
            quotas = [await stack.enter_async_context(SharedQuota(shared, "app", rate)) for _ in range(limiters)]
            return sorted(chain(*await asyncio.gather(*(start(quota, 2 * rate // limiters) for quota in quotas))))

    started = asyncio.run(main())
    assert busiest(started) <= rate
    assert len(started) - 1 <= slot_rate(rate) * (started[-1] - started[0]) + rate * HORIZON


def test_apps_and_kinds_of_requests_have_quotas_of_their_own(shared, query):
    async def main() -> None:
        async with SharedQuota(shared, "app", RATE) as quota, SharedQuota(shared, "other", RATE) as other:
            await start(quota, 1)
            await start(other, 1)
            while await quota.limiter(RequestKind.READ).acquire() is None:
                pass

    asyncio.run(main())
    rows = query("SELECT app_key, path FROM quota ORDER BY 1, 2")
    assert rows == [("app", "read"), ("app", "write"), ("other", "write")]


RAISED = "UPDATE blocks SET epoch = epoch + 1"
CLOSED = "UPDATE blocks SET is_open = FALSE"


@pytest.mark.parametrize("take", [RAISED, CLOSED])
def test_a_process_whose_block_was_taken_away_starts_nothing_more_until_it_has_another(take, shared, query, job, block):
    held, lost = {block(): 1}, []

    def lose(blocks) -> None:
        lost.extend(blocks)
        for number in blocks:
            del held[number]

    async def main() -> tuple[list[int], int]:
        async with SharedQuota(shared, "app", RATE, fence=lambda: (job, held), lost=lose) as quota:
            await start(quota, 20)
            query(take)
            started = await start_until_none_may(quota)
            seen = list(lost)
            held[block(epoch=7)] = 7
            await start(quota, 20)
            return seen, started

    seen, started = asyncio.run(main())
    assert seen == lost == [1]
    assert started <= AHEAD


def test_without_the_fence_it_goes_on(shared, query, job, block):
    """So that the test above is known to be able to fail."""
    block()

    async def main() -> None:
        async with SharedQuota(shared, "app", RATE, fence=lambda: None) as quota:
            await start(quota, 20)
            query(RAISED)
            await start(quota, AHEAD + 1)

    asyncio.run(main())


def test_other_blocks_are_still_sent_when_one_is_lost(shared, query, job, block):
    held, lost = {block(): 1, block(): 1}, []

    def lose(blocks) -> None:
        lost.extend(blocks)
        for number in blocks:
            del held[number]

    async def main() -> None:
        async with SharedQuota(shared, "app", RATE, fence=lambda: (job, held), lost=lose) as quota:
            await start(quota, 1)
            query("UPDATE blocks SET epoch = 2 WHERE id = 2")
            await start(quota, AHEAD + 1)

    asyncio.run(main())
    assert lost == [2]
    assert held == {1: 1}


def test_a_process_without_a_block_asks_for_none_in_vain(shared, query, job):
    asked = []

    def fence() -> tuple[int, dict[int, int]]:
        asked.append(1)
        return job, {}

    async def main() -> float:
        async with SharedQuota(shared, "app", RATE, fence=fence) as quota:
            began = time.monotonic()
            assert await quota.limiter(WRITE).acquire() is None
            return time.monotonic() - began

    took = asyncio.run(main())
    assert 1 <= len(asked) <= took / HORIZON + 2


def test_a_process_that_is_cut_off_from_the_database_starts_nothing_until_it_is_back(shared):
    seen = []

    async def main(proxy) -> int:
        async with SharedQuota(proxy.url, "app", RATE, emit=seen.append) as quota:
            await start(quota, 20)
            proxy.stall()
            started = await start_until_none_may(quota)
            async with asyncio.timeout(DEADLINE):
                while not seen:
                    assert await quota.limiter(WRITE).acquire() is None
            proxy.go_on()
            await start(quota, 20)
            return started

    with proxy_to(shared) as proxy:
        assert asyncio.run(main(proxy)) <= AHEAD
    assert seen == [EventKind.DATABASE_AWAY]


def test_a_connection_that_was_cut_is_made_anew(shared):
    async def main(proxy) -> None:
        async with SharedQuota(proxy.url, "app", RATE) as quota:
            for _ in range(2):
                await start(quota, 5)
                proxy.cut()
            await start(quota, AHEAD + 1)

    with proxy_to(shared) as proxy:
        asyncio.run(main(proxy))


def test_a_connection_that_stays_silent_is_given_up(shared):
    async def main(proxy) -> None:
        async with SharedQuota(proxy.url, "app", RATE) as quota:
            await start(quota, 5)
            proxy.stall()
            await start_until_none_may(quota)
            proxy.go_on_with_new_ones()
            await start(quota, AHEAD + 1)

    with proxy_to(shared) as proxy:
        asyncio.run(main(proxy))


def test_a_quota_is_closed_at_once_while_the_database_does_not_answer(shared):
    async def main(proxy) -> None:
        async with SharedQuota(proxy.url, "app", RATE) as quota:
            await start(quota, 1)
            proxy.stall()
            await start_until_none_may(quota)

    with proxy_to(shared) as proxy:
        asyncio.run(main(proxy))


def test_a_database_that_is_away_for_too_long_ends_the_run(free_port):
    async def main() -> None:
        async with SharedQuota(f"postgresql://nobody@127.0.0.1:{free_port()}/none", "app", RATE, patience=0) as quota:
            with pytest.raises(LedgerError, match="refused"):
                await start(quota, 1)

    asyncio.run(main())


def test_a_database_without_the_tables_ends_the_run(database):
    async def main() -> None:
        async with SharedQuota(database, "app", RATE) as quota:
            with pytest.raises(LedgerError, match="reserve_slots"):
                await start(quota, 1)

    asyncio.run(main())


def test_refusals_that_one_process_sees_lower_the_rate_of_all(shared, query):
    seen = []

    async def main() -> None:
        noting = SharedQuota(shared, "app", RATE, emit=lambda *event, **values: seen.append((*event, values)))
        async with noting as quota, SharedQuota(shared, "app", RATE) as other:
            controller = quota.limiter(WRITE).controller(RATE, ControllerRules())
            for number in range(50):
                controller.responded(signal=number % 2 == 0, started=0.0, now=0.0, latency=None)
            await start(quota, 1)
            query("UPDATE quota SET since = since - 5")
            await start(quota, 1)
            await start(other, 1)
            assert controller.rate == RATE

    asyncio.run(main())
    ((share, rate),) = query("SELECT share, rate FROM quota")
    assert (share, rate) == (0.5, slot_rate(RATE))
    assert seen == [(EventKind.RATE_LOWERED, {"signals": 25, "responses": 50, "rate": 48.0})]


@pytest.fixture
def reserve(query):
    """Reserve slots: lost blocks, how many slots, seconds until the first and between two, why they are fewer."""

    def call(wanted=10_000, *, rate=1.0, horizon=1000.0, responses=(0, 0), job=0, held=()) -> tuple:
        numbers, epochs = [block for block, _ in held], [epoch for _, epoch in held]
        statement = "SELECT * FROM reserve_slots('app', 'write', %s, %s, %s, %s, %s, %s, %s::bigint[], %s::integer[])"
        return query(statement, rate, wanted, horizon, *responses, job, numbers, epochs)[0]

    return call


def test_after_a_crash_of_the_database_slots_begin_a_second_later(reserve, query):
    assert reserve() == (None, 0, 1, 1, None)
    query("UPDATE quota SET tat = 0")
    assert reserve()[1] > 0
    query("TRUNCATE quota")  # as the crash does
    assert reserve() == (None, 0, 1, 1, None)


def test_slots_are_reserved_within_the_horizon_one_after_the_other(reserve, query):
    reserve()
    query("UPDATE quota SET tat = 0")
    assert reserve(400) == (None, 400, 0, 1, None)
    lost, slots, first, step, _ = reserve()
    assert (lost, step) == (None, 1)
    assert 300 < first <= 400
    assert slots == int(1000 - first) + 1
    lost, slots, first, *_ = reserve()
    assert (lost, slots) == (None, 0)
    assert 500 < first <= 1001


def test_a_clock_of_the_database_that_is_set_back_stops_nobody_for_long(reserve, query):
    reserve(horizon=0.05)
    query("UPDATE quota SET tat = tat + 3600, reserved_at = reserved_at + 3600")
    _, _, first, *_ = reserve(horizon=0.05)
    assert first <= 1


def test_the_lowest_rate_of_those_who_reserve_counts(reserve, query):
    reserve(rate=10)
    query("UPDATE quota SET reserved_at = reserved_at + 3600")  # just now, on the slowest machine too
    assert reserve(rate=100)[3] == 0.1
    assert reserve(rate=5)[3] == 0.2
    query("UPDATE quota SET reserved_at = reserved_at - 3600")
    assert reserve(rate=100)[3] == 0.01


NOW = "extract(epoch FROM clock_timestamp())"


@pytest.fixture
def window(reserve, query):
    """Let responses come in a window of so many seconds; the share of the rate after it, and why it was lowered."""

    def call(signals: int, responses: int, *, seconds: float = 1.0, rate: float = 100.0) -> tuple:
        query(f"UPDATE quota SET since = {NOW} - %s", seconds)
        *_, step, lowered = reserve(rate=rate, responses=(signals, responses))
        return 1 / step / rate, lowered

    reserve(rate=100)
    return call


@pytest.mark.parametrize("seen", [(0, 50), (2, 10), (4, 50)])
def test_a_few_refusals_do_not_lower_the_rate(seen, window):
    assert window(*seen) == (1, None)


def test_the_rate_is_lowered_in_proportion_to_the_share_of_refusals(window):
    assert window(20, 50) == (pytest.approx(0.6), [20, 50])
    assert window(50, 50) == (pytest.approx(0.18), [50, 50])
    for _ in range(5):
        least, _ = window(50, 50)
    assert least == pytest.approx(0.02)


def test_after_a_clean_window_it_is_lowered_by_little(window):
    window(50, 50)
    higher, _ = window(0, 1_000)
    assert window(50, 100)[0] == pytest.approx(0.3 * 0.92)
    assert higher == pytest.approx(0.36)
    assert window(50, 100)[0] == pytest.approx(0.3 * 0.92 / 2)


def test_a_window_has_at_least_ten_responses_in_a_second(window, query):
    assert window(5, 9) == (1, None)
    assert query("SELECT signals, responses FROM quota") == [(5, 9)]
    assert window(1, 1) == (pytest.approx(0.4), [6, 10])
    assert query("SELECT signals, responses FROM quota") == [(0, 0)]


def test_responses_to_requests_before_the_rate_was_lowered_do_not_count(reserve, window, query):
    window(20, 50)
    query(f"UPDATE quota SET since = {NOW} + 3600")  # in the future, on the slowest machine too
    reserve(rate=100, responses=(50, 50))
    ((since_in, signals, share),) = query(f"SELECT since - {NOW}, signals, share FROM quota")
    assert (signals, share) == (0, pytest.approx(0.6))
    assert 0 < since_in <= 2  # a clock that was set back stops it for no longer


def test_the_rate_rises_fast_far_from_the_one_that_was_refused_and_slowly_near_it(window, query):
    window(50, 50)
    shares = []
    while (share := window(0, 10_000)[0]) < 1:
        shares.append(share)
    rises = [later / earlier for earlier, later in pairwise(shares)]
    assert all(
        rise == pytest.approx(1.01 if 0.8 <= share < 1.2 else 1.2) or later == pytest.approx(0.8)
        for share, later, rise in zip(shares, shares[1:], rises, strict=False)
    )
    assert 1.2 in map(pytest.approx, rises)
    assert 1.01 in map(pytest.approx, rises)


def test_a_rate_that_is_not_used_does_not_rise(window):
    lowered, _ = window(50, 50)
    assert window(0, 20) == (lowered, None)


def test_after_a_minute_nothing_is_known_any_more(window):
    window(50, 50)
    assert window(0, 1, seconds=61) == (1, None)


def test_nothing_is_reserved_by_who_does_not_hold_a_block_at_its_epoch(reserve, query, job, block):
    held = [(block(), 1), (block(), 1)]
    reserve()
    query("UPDATE quota SET tat = 0")
    assert reserve(job=job, held=[*held, (99, 1)]) == ([99], 0, None, None, None)
    assert reserve(job=job + 1, held=held) == ([1, 2], 0, None, None, None)
    query("UPDATE blocks SET epoch = 2 WHERE id = 1")
    assert reserve(job=job, held=held) == ([1], 0, None, None, None)
    assert query("SELECT tat FROM quota") == [(0,)]
    assert reserve(5, job=job, held=[(1, 2), (2, 1)])[:2] == (None, 5)


def test_two_that_are_the_first_at_once_wait_for_each_other(shared):
    with psycopg.connect(shared, autocommit=False) as connection:
        connection.execute("SET search_path = batch_alias")
        connection.execute("SELECT reserve_slots('app', 'write', 1, 1, 1, 0, 0, 0, '{}', '{}')")

        async def main() -> None:
            async with SharedQuota(shared, "app", RATE) as quota:
                waiting = asyncio.create_task(start(quota, 1))
                await quota.limiter(RequestKind.READ).acquire()
                connection.commit()
                await waiting

        asyncio.run(main())
