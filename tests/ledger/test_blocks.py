"""Blocks: who may send which rows, and whose rows count where two jobs set the same pairs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import chain

import psycopg
import pytest

from batch_alias.ledger import Ledger, Place
from batch_alias.ledger.blocks import BLOCK, FENCED, Blocks, Claim, is_open, open_blocks
from batch_alias.ledger.database import SHARED, Database, schema_of
from batch_alias.model import State
from tests.ledger.conftest import record
from tests.support.http import KEY


class Opened:
    """The blocks of a job whose run has begun."""

    def __init__(self, ledger: Ledger, database: Database) -> None:
        self.ledger = ledger
        self.database = database
        self.blocks = Blocks(database, ledger.job)
        self.queued: list[int] = []
        self.wait = 0.0

    async def create(self, *, sends_failed: bool = False, limit: int | None = None) -> int:
        async def queue(_connection, blocks, wait) -> None:
            self.queued += [each.block for each in blocks]
            self.wait = wait

        return await self.blocks.create(self.ledger.run, "job", queue, sends_failed=sends_failed, limit=limit)

    async def claim(self, block: int, attempt: int = 1, **more) -> Claim | None:
        given = {"task": 1, "worker": "w", "mark": False} | more
        return await self.blocks.claim(block, attempt=attempt, **given)

    async def rows(self, attempt: int = 1, **more) -> list[list[int]]:
        """Claim all blocks; the numbers of the rows in each."""
        claims = [await self.claim(block, attempt, **more) for block in self.queued]
        return [[row.number for row in claim.rows] for claim in claims]


@asynccontextmanager
async def begun(place: Place) -> AsyncIterator[Opened]:
    with place.opened() as ledger:
        ledger.begin_run("run", target="h", version="v", settings={})
        database = Database(ledger.url, schemas=f"{schema_of(ledger.job)},{SHARED}")
        try:
            yield Opened(ledger, database)
        finally:
            await database.close()
            ledger.end_run(exit_code=0, host_switches=0)


@pytest.fixture
def blocks_of(staged_in_database) -> Callable:
    """Do something with the blocks of a job of some rows."""

    def do(rows: range | list, act: Callable[[Opened], Coroutine], *outcomes) -> None:
        place = staged_in_database(*rows)

        async def run() -> None:
            async with begun(place) as opened:
                await act(opened)

        if outcomes:
            with place.opened() as ledger:
                record(ledger, *outcomes)
        asyncio.run(run())

    return do


def test_rows_are_parted_into_blocks_of_which_each_is_queued(blocks_of):
    async def act(job: Opened) -> None:
        assert await job.create() == 3
        assert job.queued == sorted(job.queued)
        assert await job.blocks.left(1) == 3
        assert [len(rows) for rows in await job.rows()] == [BLOCK, BLOCK, 7]
        assert list(chain(*await job.rows(2))) == list(range(2, 2 + 2 * BLOCK + 7))
        assert [each.block for each in await open_blocks(job.database, KEY)] == job.queued
        assert await open_blocks(job.database, "another") == []

    blocks_of(range(2, 2 + 2 * BLOCK + 7), act)


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [3, 6]),
        ({"sends_failed": True}, [2, 3, 6]),
        ({"limit": 1}, [3]),
        ({"sends_failed": True, "limit": 2}, [2, 3]),
    ],
)
def test_only_rows_to_send_are_in_a_block(asked, numbers, blocks_of, outcome):
    async def act(job: Opened) -> None:
        await job.create(**asked)
        assert await job.rows() == [numbers]

    rows = [2, 3, {"number": 4, "reason": "bad"}, {"number": 5, "user_id": "u7"}, 6, 8, {"number": 9, "user_id": "u7"}]
    ended = outcome(2, State.FAILED), outcome(3, State.UNKNOWN), outcome(8), outcome(9, State.UNCHANGED)
    blocks_of(rows, act, *ended)


def test_without_rows_to_send_there_is_no_block(blocks_of, outcome):
    async def act(job: Opened) -> None:
        assert await job.create() == 0
        assert (job.queued, await job.blocks.left(1)) == ([], 0)

    blocks_of([2], act, outcome(2))


@pytest.mark.parametrize("is_held", [False, True])
def test_a_run_takes_the_blocks_of_one_that_was_killed_from_who_holds_them(is_held, blocks_of):
    async def act(job: Opened) -> None:
        await job.create()
        (before,) = job.queued
        if is_held:
            await job.claim(before)
        job.queued.clear()
        with psycopg.connect(job.database.url) as connection:
            connection.execute(f"UPDATE {schema_of(job.ledger.job)}.runs SET settings = %s", ('{"timeout": 60}',))
        assert await job.create(limit=1) == 1
        assert await job.rows() == [[2]]
        assert job.wait == (60 + FENCED if is_held else 0)  # requests may be under way
        assert await job.claim(before, 2) is None

    blocks_of([2, 3], act)


def test_a_failed_row_is_not_sent_again_by_who_takes_the_block_over(blocks_of, outcome):
    async def act(job: Opened) -> None:
        await job.create(sends_failed=True)
        assert await job.rows() == [[2, 3]]
        await asyncio.to_thread(record, job.ledger, outcome(2, State.FAILED, finished_at=job.ledger.now()))
        assert await job.rows(2) == [[3]]

    blocks_of([2, 3], act, outcome(2, State.FAILED), outcome(3, State.FAILED))


def test_rows_are_given_with_what_is_known_of_them(blocks_of, outcome):
    async def act(job: Opened) -> None:
        await job.create()
        claim = await job.claim(job.queued[0])
        first, second = claim.rows
        assert (first.user_id, first.group_id, first.remark, first.expected) == ("u2", "g", "r", "old")
        assert (first.in_doubt, second.in_doubt) == (False, True)

    blocks_of([{"number": 2, "expected": "old"}, 3], act, outcome(3, State.UNKNOWN))


def test_a_later_attempt_takes_a_block_and_an_earlier_one_does_not(blocks_of):
    async def act(job: Opened) -> None:
        await job.create()
        (block,) = job.queued
        epochs = []
        for task, attempt, is_given in (
            (5, 1, True),
            (5, 0, False),
            (4, 9, False),
            (5, 1, True),
            (5, 2, True),
            (6, 1, True),
        ):
            claim = await job.claim(block, task=task, attempt=attempt)
            assert (claim is not None) is is_given, (task, attempt)
            epochs += [claim.epoch] if claim else []
        assert epochs == sorted(set(epochs))
        assert await job.blocks.is_to_be_taken_again(block, task=6, attempt=1)
        assert not await job.blocks.is_to_be_taken_again(block, task=5, attempt=2)

    blocks_of([2], act)


def test_a_block_is_closed_or_given_back_only_by_who_holds_it(blocks_of):
    async def act(job: Opened) -> None:
        await job.create()
        (block,) = job.queued
        first, second = await job.claim(block), await job.claim(block, 2)
        await job.blocks.close(block, first.epoch)
        await job.blocks.give_back(block, first.epoch, unsent=[])
        third = await job.claim(block, 2)
        assert third.epoch == second.epoch + 1
        await job.blocks.give_back(block, third.epoch, unsent=[])
        await job.blocks.close(block, third.epoch)
        last = await job.claim(block, 3)
        assert last.unseen is None
        assert last.epoch > third.epoch + 1
        await job.blocks.close(block, last.epoch)
        assert await job.blocks.left(1) == 0
        assert await job.claim(block, 4) is None
        assert not await job.blocks.is_to_be_taken_again(block, task=1, attempt=3)

    blocks_of([2], act)


@pytest.mark.parametrize("is_held", [False, True])
def test_blocks_that_are_withdrawn_are_lost_to_all(is_held, blocks_of):
    async def act(job: Opened) -> None:
        await job.create()
        first = job.queued[0]
        if is_held:
            await job.claim(first)
        assert await is_open(job.database, first)
        assert await job.blocks.withdraw(1) is is_held
        assert not await is_open(job.database, first)
        assert (await job.blocks.left(1), await job.claim(first, 2)) == (0, None)
        assert await job.create() == 2

    blocks_of(range(2, 2 + BLOCK + 1), act)


def test_rows_that_are_compared_are_in_doubt_until_it_is_known_that_they_were_not_sent(blocks_of):
    async def act(job: Opened) -> None:
        await job.create()
        (block,) = job.queued
        assert not (await job.claim(block, mark=True)).rows[0].in_doubt
        claim = await job.claim(block, 2, mark=True)
        assert claim.rows[0].in_doubt
        await job.blocks.give_back(block, claim.epoch, unsent=[])
        claim = await job.claim(block, 2, mark=True)
        assert claim.rows[0].in_doubt
        await job.blocks.give_back(block, claim.epoch, unsent=[2])
        assert not (await job.claim(block, 3)).rows[0].in_doubt

    blocks_of([2], act)


def test_who_takes_a_block_over_knows_when_the_worker_before_gave_a_sign_of_life(blocks_of):
    async def act(job: Opened) -> None:
        await job.create()
        (block,) = job.queued
        assert (await job.claim(block)).unseen is None
        assert (await job.claim(block, 2)).unseen > 60
        await job.blocks.seen("w", requests=3, accepted=1)
        assert 0 <= (await job.claim(block, 3)).unseen < 60
        await job.blocks.seen("w", requests=5, accepted=2)
        (worker,) = job.ledger.workers()
        assert (worker.name, worker.requests, worker.accepted) == ("w", 8, 3)
        assert worker.started_at <= worker.seen_at

    blocks_of([2], act)


@pytest.fixture
def two_jobs(staged_in_database) -> Callable:
    """Two jobs of an app, of which the second is staged later, with some users in common."""

    def make(**more) -> tuple[Place, Place]:
        early = staged_in_database(
            *({"number": number, "user_id": f"u{number}"} for number in range(2, 6)), name="early"
        )
        rows = [
            {"number": 2, "user_id": "u3"},
            {"number": 3, "user_id": "u4", "reason": "bad"},
            {"number": 4, "user_id": "u9"},
        ]
        return early, staged_in_database(*rows, name="late", **more)

    return make


def superseded(ledger: Ledger) -> dict[int, str]:
    return {row.number: row.message for row in ledger.rows(State.SUPERSEDED)}


BY_LATE = "the job late, which was staged later, sets the same user and group"


def test_a_job_that_was_staged_later_supersedes_the_rows_of_one_that_is_sent_and_takes_its_blocks(two_jobs):
    async def act() -> None:
        early_place, late_place = two_jobs()
        async with begun(early_place) as early:
            await early.create()
            (block,) = early.queued
            held = await early.claim(block)
            assert len(held.rows) == 4
            async with begun(late_place) as late:
                await late.create()
                assert bool(late.wait)
                assert superseded(early.ledger) == {3: BY_LATE}
                assert superseded(late.ledger) == {}
                assert await late.rows() == [[2, 4]]
            again = await early.claim(block)
            assert again.epoch == held.epoch + 2
            assert [row.number for row in again.rows] == [2, 4, 5]

    asyncio.run(act())


def test_a_job_that_was_staged_earlier_does_not_send_what_a_later_one_that_was_sent_sets(two_jobs, outcome):
    async def act() -> None:
        early_place, late_place = two_jobs()
        async with begun(late_place) as late:
            await late.create()
            await asyncio.to_thread(record, late.ledger, outcome(2))
        with early_place.opened() as ledger:
            await asyncio.to_thread(record, ledger, outcome(3, State.FAILED))
        async with begun(early_place) as early:
            await early.create(sends_failed=True)
            assert not bool(early.wait)
            assert superseded(early.ledger) == {3: BY_LATE}
            assert await early.rows() == [[2, 4, 5]]
            assert await late_counts(late_place) == (1, 1, 1)

    asyncio.run(act())


async def late_counts(place: Place) -> tuple[int, int, int]:
    with place.read() as ledger:
        counts = ledger.counts()
    return counts.accepted, counts.pending, counts.rejected


def test_a_row_that_was_accepted_stays_so_although_a_later_job_sets_it_again(two_jobs, outcome):
    async def act() -> None:
        early_place, late_place = two_jobs()
        async with begun(early_place) as early:
            await early.create()
            await early.rows()
            await asyncio.to_thread(record, early.ledger, outcome(3))
            async with begun(late_place) as late:
                await late.create()
                assert not bool(late.wait)
            assert superseded(early.ledger) == {}

    asyncio.run(act())


def test_a_job_that_was_only_staged_or_planned_supersedes_nothing(two_jobs):
    async def act() -> None:
        early_place, late_place = two_jobs()
        with late_place.opened() as late:
            late.begin_run("plan", target="h", version="v", settings={})
        async with begun(early_place) as early:
            await early.create()
            assert superseded(early.ledger) == {}
            assert await early.rows() == [[2, 3, 4, 5]]

    asyncio.run(act())


def test_jobs_of_other_apps_do_not_supersede_each_other(two_jobs):
    async def act() -> None:
        early_place, late_place = two_jobs(app_key="another")
        async with begun(early_place) as early, begun(late_place) as late:
            await early.create()
            await late.create()
            assert superseded(early.ledger) == superseded(late.ledger) == {}

    asyncio.run(act())


def test_of_two_jobs_that_begin_at_once_one_sends_what_both_set(two_jobs):
    async def act() -> None:
        early_place, late_place = two_jobs()
        async with begun(early_place) as early, begun(late_place) as late:
            await asyncio.gather(early.create(), late.create())
            assert superseded(early.ledger) == {3: BY_LATE}
            assert (await early.rows(), await late.rows()) == ([[2, 4, 5]], [[2, 4]])

    asyncio.run(act())
