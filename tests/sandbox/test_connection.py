"""The server's end of a connection, at the moments that are hard to hit over a socket."""

import asyncio

import pytest

from batch_alias.sandbox.connection import Link


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 60.0])
def test_a_connection_lost_just_as_the_wait_ends_is_lost(seconds):
    async def wait() -> bool:
        link = Link()
        if seconds:
            asyncio.get_running_loop().call_soon(link.lost.set)
        else:
            link.lost.set()
        return await link.lost_within(seconds)

    assert asyncio.run(wait())


def test_a_wait_that_ends_first_leaves_the_connection_as_it_is():
    assert not asyncio.run(Link().lost_within(0.001))
