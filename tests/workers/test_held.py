"""The rows that a worker holds, when blocks are taken away and come again."""

import asyncio

from batch_alias.ledger.blocks import Claim
from batch_alias.model import Row
from batch_alias.workers.held import HeldRows


def claim(epoch: int, *numbers: int) -> Claim:
    rows = [Row(number=number, user_id=f"u{number}", group_id="g", remark="r") for number in numbers]
    return Claim(1, epoch, rows, unseen=None)


def held_rows() -> HeldRows:
    return HeldRows(recorder=None, counted=lambda _seconds: None)


def test_rows_of_a_block_that_comes_again_are_given_once():
    async def main() -> None:
        rows, first, second = held_rows(), claim(1, 2, 3), claim(2, 2, 3)
        done = rows.add(first)
        assert await rows.pending(after=0, most=1) == first.rows[:1]
        rows.lose([1])
        assert done.result() is False
        rows.add(second)
        assert await rows.pending(after=0, most=10) == second.rows
        assert all(map(rows.is_withdrawn, first.rows))
        assert not any(map(rows.is_withdrawn, second.rows))
        assert rows.epochs == {1: 2}

    asyncio.run(main())


def test_a_block_that_comes_again_before_it_is_known_that_it_was_taken_away_ends_the_first_time():
    async def main() -> None:
        rows = held_rows()
        first = rows.add(claim(1, 2))
        second = rows.add(claim(2, 2))
        assert first.result() is False
        assert not second.done()
        assert rows.epochs == {1: 2}

    asyncio.run(main())
