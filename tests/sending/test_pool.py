import asyncio
import math

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
def pool() -> ConnectionPool:
    return ConnectionPool(Connection, most=3)


def test_the_connection_used_last_is_used_next(pool):
    one, two = pool.acquire(), pool.acquire()
    pool.release(one, now=1.0)
    pool.release(two, now=2.0)
    assert pool.acquire() is two
    assert pool.acquire() is one


def test_a_connection_is_opened_only_when_none_is_idle():
    opened = []

    def connect() -> Connection:
        opened.append(1)
        return Connection()

    pool = ConnectionPool(connect, most=100)
    for now in range(10):
        pool.release(pool.acquire(), now=now + 0.5)
    assert len(opened) == 1


def test_it_is_full_when_every_permitted_connection_is_in_use(pool):
    acquired = [pool.acquire() for _ in range(3)]
    assert (pool.in_use, pool.is_full) == (3, True)
    pool.release(acquired[0], now=1.0)
    assert (pool.in_use, pool.is_full) == (2, False)


def test_idle_connections_are_closed_and_the_others_kept(pool):
    one, two, three = (pool.acquire() for _ in range(3))
    pool.release(one, now=1.0)
    pool.release(two, now=50.0)
    asyncio.run(pool.close_idle(before=50.0))
    assert [connection.is_closed for connection in (one, two, three)] == [True, False, False]
    assert pool.acquire() is two


def test_at_the_end_all_idle_connections_are_closed(pool):
    acquired = [pool.acquire() for _ in range(3)]
    for connection in acquired:
        pool.release(connection, now=1.0)
    asyncio.run(pool.close_idle(before=math.inf))
    assert all(connection.is_closed for connection in acquired)
