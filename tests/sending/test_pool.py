import asyncio

import pytest

from batch_alias.sending.pool import ConnectionPool


class Connection:
    """Something that can be closed."""

    def __init__(self) -> None:
        self.is_closed = False

    async def aclose(self) -> None:
        assert not self.is_closed
        self.is_closed = True


@pytest.fixture
def lanes() -> ConnectionPool:
    return ConnectionPool(Connection, most=3)


def test_the_lane_used_last_is_used_next(lanes):
    one, two = lanes.take(now=0.0), lanes.take(now=0.0)
    lanes.give_back(one, now=1.0)
    lanes.give_back(two, now=2.0)
    assert lanes.take(now=3.0) is two
    assert lanes.take(now=3.0) is one


def test_a_lane_is_opened_only_when_none_is_idle():
    open_job = []

    def connect() -> Connection:
        open_job.append(1)
        return Connection()

    lanes = ConnectionPool(connect, most=100)
    for now in range(10):
        lanes.give_back(lanes.take(now=now), now=now + 0.5)
    assert len(open_job) == 1


def test_it_is_full_when_every_permitted_lane_is_busy(lanes):
    taken = [lanes.take(now=0.0) for _ in range(3)]
    assert (lanes.busy, lanes.is_full) == (3, True)
    lanes.give_back(taken[0], now=1.0)
    assert (lanes.busy, lanes.is_full) == (2, False)


def test_lanes_that_stand_idle_are_closed_and_the_others_kept(lanes):
    one, two, three = (lanes.take(now=0.0) for _ in range(3))
    lanes.give_back(one, now=1.0)
    lanes.give_back(two, now=50.0)
    asyncio.run(lanes.close_idle(before=50.0))
    assert [lane.connection.is_closed for lane in (one, two, three)] == [True, False, False]
    assert lanes.take(now=51.0) is two


def test_at_the_end_all_idle_lanes_are_closed(lanes):
    taken = [lanes.take(now=0.0) for _ in range(3)]
    for lane in taken:
        lanes.give_back(lane, now=1.0)
    asyncio.run(lanes.aclose())
    assert all(lane.connection.is_closed for lane in taken)
