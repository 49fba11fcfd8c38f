import asyncio
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.model import Row
from batch_alias.sending.retry import History
from batch_alias.sending.work_queue import LOW, PAGE, Feeder, Work, WorkQueue


class Table:
    """Rows to page through, and the pages that were asked for."""

    more_to_come = False

    def __init__(self, rows, first=()) -> None:
        self.rows = rows
        self.first = list(first)
        self.asked: list[int] = []

    def is_withdrawn(self, row: Row) -> bool:
        return False

    async def opening_rows(self, most: int):
        return self.first[:most]

    async def pending(self, *, after: int, most: int):
        self.asked.append(after)
        return [row for row in self.rows if row.number > after][:most]


class FedQueue(WorkQueue):
    """A queue that is fed from a table when it is low."""

    def __init__(self, table, *, limit, most_retries) -> None:
        self._feeder = Feeder(table, self.add, limit=limit)
        super().__init__(most_retries=most_retries, expects_more=lambda: not self._feeder.is_exhausted)

    async def feed_first(self) -> None:
        await self._feeder.feed_first(3)

    async def refill(self) -> None:
        while self.new < LOW and not self._feeder.is_exhausted:
            await self._feeder.feed()


def filled(table, *, first=(), limit=None, most_retries=5) -> FedQueue:
    table.first = list(first)
    queue = FedQueue(table, limit=limit, most_retries=most_retries)
    asyncio.run(queue.feed_first())
    asyncio.run(queue.refill())
    return queue


def take(queue: WorkQueue, now: float = 0.0) -> Work:
    assert queue.due(now=now) == 0.0
    return queue.take(now=now)


def drained(queue: WorkQueue) -> list[int]:
    taken = []
    while queue.due(now=0.0) == 0.0:
        taken.append(take(queue).row.number)
        asyncio.run(queue.refill())
    return taken


@pytest.fixture
def table(rows):
    return Table(rows(10))


def test_rows_are_sent_in_the_order_of_the_source(table):
    queue = filled(table)
    assert not queue.is_empty
    assert drained(queue) == list(range(2, 12))
    assert queue.is_empty
    assert queue.due(now=0.0) == math.inf


def test_they_are_read_page_by_page_when_few_are_left_and_the_end_is_asked_for_once(rows):
    table = Table(rows(2 * PAGE + 7))
    queue = filled(table)
    assert table.asked == [0]
    for _ in range(PAGE - LOW):
        take(queue)
    asyncio.run(queue.refill())
    assert table.asked == [0]
    assert drained(queue) == [row.number for row in table.rows[PAGE - LOW :]]
    asyncio.run(queue.refill())
    assert table.asked == [0, PAGE + 1, 2 * PAGE + 1, 2 * PAGE + 8]


def test_the_first_rows_go_first_and_only_once(table):
    queue = filled(table, first=[table.rows[0], table.rows[9], table.rows[5]])
    assert drained(queue) == [2, 11, 7, 3, 4, 5, 6, 8, 9, 10]
    assert queue.is_empty


def test_a_first_row_that_is_sent_again_goes_before_the_other_first_rows(table):
    queue = filled(table, first=table.rows[:3])
    first = take(queue, 7.0)
    queue.put_back(first, due=7.0)
    assert take(queue, 7.0) == first


def test_when_all_rows_are_first_rows_there_are_no_others(table):
    assert len(drained(filled(table, first=table.rows))) == 10


@pytest.mark.parametrize(("limit", "taken"), [(1, [2]), (2, [2, 11]), (3, [2, 11, 7]), (5, [2, 11, 7, 3, 4])])
def test_a_limit_counts_every_row_once_however_often_it_is_sent(limit, taken, table):
    queue = filled(table, limit=limit, first=[table.rows[0], table.rows[9], table.rows[5]])
    again = take(queue)
    queue.put_back(again, due=0.0)
    assert drained(queue) == taken
    assert queue.is_empty


def test_a_row_put_back_waits_until_it_is_due_and_then_goes_before_new_ones(table):
    queue = filled(table)
    first = take(queue)
    queue.put_back(first, due=5.0)
    assert take(queue, 4.9).row.number == 3
    assert take(queue, 5.0) == first


def test_new_rows_and_those_put_back_may_be_taken_in_turn(rows):
    queue = WorkQueue(most_retries=10, expects_more=lambda: False, in_turn=True)
    for row in rows(6):
        queue.add(row)
    for _ in range(3):
        queue.put_back(queue.take(now=0.0), due=1.0)
    assert queue.due(now=0.0) == 0.0
    assert [take(queue, 1.0).row.number for _ in range(6)] == [2, 5, 3, 6, 4, 7]


def test_a_row_that_is_taken_away_is_not_taken(rows):
    away = {2, 3, 6}
    queue = WorkQueue(most_retries=10, expects_more=lambda: False, take_away=lambda work, _now: work.row.number in away)
    for row in rows(5):
        queue.add(row)
    assert queue.due_untried(now=0.0) == 0.0
    assert queue.take_untried().row.number == 5
    assert take(queue).row.number == 4
    queue.put_back(Work(rows(1)[0], History(requests=1)), due=0.0)
    assert queue.due(now=0.0) == queue.due_untried(now=0.0) == math.inf
    assert queue.is_empty


def test_a_probe_waits_for_rows_that_are_about_to_be_added(rows):
    coming = [True]
    queue = WorkQueue(most_retries=10, expects_more=lambda: False, awaits_new=lambda: coming[0])
    assert queue.expects_untried
    assert queue.due_untried(now=0.0) == math.inf
    queue.add(rows(1)[0])
    coming[0] = False
    assert queue.expects_untried
    queue.take_untried()
    assert not queue.expects_untried


def test_rows_put_back_go_in_the_order_in_which_they_are_due(table):
    queue = filled(table, limit=3)
    works = [take(queue) for _ in range(3)]
    for work, due in zip(works, (3.0, 1.0, 2.0), strict=True):
        queue.put_back(work, due=due)
    assert queue.due(now=0.0) == 1.0
    assert queue.due(now=0.75) == 0.25
    assert [take(queue, 9.0).row.number for _ in range(3)] == [3, 4, 2]


def test_beyond_the_bound_on_waiting_rows_no_new_ones_are_taken(table):
    queue = filled(table, most_retries=2)
    for _ in range(2):
        queue.put_back(take(queue), due=10.0)
    assert queue.due(now=0.0) == 10.0
    assert not queue.is_empty
    take(queue, 10.0)
    assert queue.due(now=0.0) == 0.0


def test_a_probe_takes_a_new_row_before_one_that_may_be_the_cause(table):
    queue = filled(table, limit=3)
    first = take(queue)
    queue.put_back(first, due=0.0)
    assert queue.has_untried
    assert queue.take_untried().row == table.rows[2]
    assert queue.take_untried().row == table.rows[1]
    assert not queue.has_untried
    assert take(queue) == first


@given(seed=st.integers(), count=st.integers(1, 30), limit=st.none() | st.integers(1, 40))
def test_no_row_is_lost_or_sent_twice_whatever_is_put_back(rows, seed, count, limit):
    draw = random.Random(seed)
    table = Table(rows(count))
    queue = filled(table, limit=limit, most_retries=3, first=draw.sample(table.rows, min(count, 3)))
    now, done, waiting = 0.0, [], set()
    while not queue.is_empty:
        while (wait := queue.due(now=now)) > 0:
            now += max(wait, 1e-9)
        work = take(queue, now)
        waiting.discard(work.row.number)
        if draw.random() < 0.3:
            queue.put_back(work, due=now + draw.uniform(0, 10))
            waiting.add(work.row.number)
        else:
            done.append(work.row.number)
        assert len(waiting) <= 3
    assert len(done) == len(set(done)) == min(count, limit or count)
