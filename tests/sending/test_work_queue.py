import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.sending.work_queue import PAGE, WorkQueue, Work


class Table:
    """Rows to page through, and how it was asked."""

    def __init__(self, rows) -> None:
        self.rows = rows
        self.asked: list[int] = []

    def pending(self, *, after: int, most: int):
        self.asked.append(after)
        return [row for row in self.rows if row.number > after][:most]


def take(backlog: WorkQueue, now: float = 0.0) -> Work:
    assert backlog.due(now=now) == 0.0
    return backlog.take(now=now)


def drained(backlog: WorkQueue) -> list[int]:
    taken = []
    while backlog.due(now=0.0) == 0.0:
        taken.append(take(backlog).row.number)
    return taken


@pytest.fixture
def table(rows):
    return Table(rows(10))


def test_rows_go_in_the_order_of_the_source(table):
    backlog = WorkQueue(table, limit=None, most_retries=5)
    assert not backlog.is_empty
    assert drained(backlog) == list(range(2, 12))
    assert backlog.is_empty
    assert backlog.due(now=0.0) == math.inf


def test_they_are_read_page_by_page_by_key_and_the_end_is_asked_for_once(rows):
    table = Table(rows(2 * PAGE + 7))
    backlog = WorkQueue(table, limit=None, most_retries=5)
    assert drained(backlog) == [row.number for row in table.rows]
    drained(backlog)
    assert table.asked == [0, PAGE + 1, 2 * PAGE + 1, 2 * PAGE + 8]


def test_the_first_rows_go_first_and_only_once(table):
    backlog = WorkQueue(table, limit=None, most_retries=5)
    backlog.put_first([table.rows[0], table.rows[9], table.rows[5]])
    assert drained(backlog) == [2, 11, 7, 3, 4, 5, 6, 8, 9, 10]
    assert backlog.is_empty


def test_a_first_row_that_is_sent_again_goes_before_the_other_first_rows(table):
    backlog = WorkQueue(table, limit=None, most_retries=5)
    backlog.put_first(table.rows[:3])
    first = take(backlog, 7.0)
    backlog.put_back(first, due=7.0)
    assert take(backlog, 7.0) == first


def test_when_all_rows_are_first_rows_there_are_no_others(table):
    backlog = WorkQueue(table, limit=None, most_retries=5)
    backlog.put_first(table.rows)
    assert len(drained(backlog)) == 10


@pytest.mark.parametrize(("limit", "taken"), [(1, [2]), (2, [2, 11]), (3, [2, 11, 7]), (5, [2, 11, 7, 3, 4])])
def test_a_limit_counts_every_row_once_however_often_it_is_sent(limit, taken, table):
    backlog = WorkQueue(table, limit=limit, most_retries=5)
    backlog.put_first([table.rows[0], table.rows[9], table.rows[5]])
    again = take(backlog)
    backlog.put_back(again, due=0.0)
    assert drained(backlog) == taken
    assert backlog.is_empty


def test_a_row_put_back_waits_for_its_time_and_then_goes_before_new_ones(table):
    backlog = WorkQueue(table, limit=None, most_retries=5)
    first = take(backlog)
    backlog.put_back(first, due=5.0)
    assert backlog.waiting == 1
    assert take(backlog, 4.9).row.number == 3
    assert take(backlog, 5.0) == first
    assert backlog.waiting == 0


def test_rows_put_back_go_in_the_order_of_their_times(table):
    backlog = WorkQueue(table, limit=3, most_retries=5)
    works = [take(backlog) for _ in range(3)]
    for work, due in zip(works, (3.0, 1.0, 2.0), strict=True):
        backlog.put_back(work, due=due)
    assert backlog.due(now=0.0) == 1.0
    assert backlog.due(now=0.75) == 0.25
    assert [take(backlog, 9.0).row.number for _ in range(3)] == [3, 4, 2]


def test_beyond_the_bound_on_waiting_rows_no_new_ones_are_taken(table):
    backlog = WorkQueue(table, limit=None, most_retries=2)
    for _ in range(2):
        backlog.put_back(take(backlog), due=10.0)
    assert backlog.due(now=0.0) == 10.0
    assert not backlog.is_empty
    take(backlog, 10.0)
    assert backlog.due(now=0.0) == 0.0


def test_a_probe_takes_a_new_row_before_one_that_may_be_the_trouble(table):
    backlog = WorkQueue(table, limit=2, most_retries=5)
    first = take(backlog)
    backlog.put_back(first, due=0.0)
    assert backlog.take(now=0.0, new_first=True).row.number == 3
    assert backlog.take(now=0.0, new_first=True) == first


@given(seed=st.integers(), count=st.integers(1, 30), limit=st.none() | st.integers(1, 40))
def test_no_row_is_lost_or_sent_twice_whatever_is_put_back(rows, seed, count, limit):
    draw = random.Random(seed)
    table = Table(rows(count))
    backlog = WorkQueue(table, limit=limit, most_retries=3)
    backlog.put_first(draw.sample(table.rows, min(count, 3)))
    now, done = 0.0, []
    while not backlog.is_empty:
        while (wait := backlog.due(now=now)) > 0:
            now += max(wait, 1e-9)
        work = take(backlog, now)
        if draw.random() < 0.3:
            backlog.put_back(work, due=now + draw.uniform(0, 10))
        else:
            done.append(work.row.number)
        assert backlog.waiting <= 3
    assert len(done) == len(set(done)) == min(count, limit or count)
