"""Writing a ledger, in SQLite and in PostgreSQL."""

import asyncio
from collections import Counter
from functools import partial

import pytest

from batch_alias.ledger import Ledger, Plan, ReadBack
from batch_alias.model import Event, EventKind, RequestKind, Second, State
from tests.ledger.conftest import pending, record, recorded

MIXED = {
    "retries": 2,
    "refusals": 1,
    "settled": Counter({State.ACCEPTED: 4}),
    "codes": Counter({"200": 4, "HTTP 502": 2, "timeout": 1}),
    "latencies": Counter({80: 6, 190: 1}),
}
"""A second in which everything was counted."""


def opening_rows(ledger: Ledger, most: int = 3) -> list[int]:
    return [row.number for row in asyncio.run(ledger.opening_rows(most))]


def test_an_outcome_is_recorded_with_all_its_values(job, outcome):
    with job(2, 3).opened() as ledger:
        failed = {"code": 1005, "message": "too long", "attempts": 2, "request_id": "r-9", "finished_at": 12.25}
        record(ledger, outcome(3, State.FAILED, **failed))
        two, three = ledger.rows()
    assert (three.state, three.code, three.message, three.attempts) == ("failed", 1005, "too long", 2)
    assert (three.request_id, three.finished_at) == ("r-9", 12.25)
    assert (two.state, two.code, two.finished_at) == ("pending", None, None)


def test_attempts_add_up_over_runs_and_the_last_outcome_counts(job, outcome):
    place = job(2)
    for attempts, state in ((6, State.UNKNOWN), (3, State.ACCEPTED)):
        with place.opened() as ledger:
            record(ledger, outcome(2, state, attempts=attempts))
    with place.read() as reader:
        (row,) = reader.rows()
    assert (row.state, row.attempts) == ("accepted", 9)


def test_pending_and_unknown_rows_are_paged_by_number(job, outcome):
    with job(*range(2, 12)).opened() as ledger:
        accepted = map(outcome, (3, 4, 8))
        record(ledger, *accepted, outcome(6, State.UNKNOWN), outcome(7, State.FAILED))
        pages, after = [], 0
        while page := pending(ledger, after=after, most=2):
            pages.append(page)
            after = page[-1]
    assert pages == [[2, 5], [6, 9], [10, 11]]


def test_the_opening_rows_are_the_first_the_last_and_a_middle_one(job, outcome):
    with job(*range(2, 103)).opened() as ledger:
        assert opening_rows(ledger) == [2, 102, 53]
        assert opening_rows(ledger, most=1) == [2]
        record(ledger, *map(outcome, (2, 102, 53)))
        assert opening_rows(ledger) == [3, 101, 54]


@pytest.mark.parametrize(("rows", "opening"), [([], []), ([5], [5]), ([5, 9], [5, 9]), ([5, 6, 7], [5, 7])])
def test_few_rows_have_few_opening_rows(rows, opening, job):
    with job(*rows).opened() as ledger:
        found = opening_rows(ledger)
    assert found[: len(opening)] == opening
    assert len(found) == len(set(found)) <= len(rows)


def test_failed_rows_can_be_sent_again_and_remain_failed_until_then(job, outcome):
    with job(2, 3, 4, 5).opened() as ledger:
        record(ledger, outcome(2, State.FAILED), outcome(3, State.UNKNOWN), outcome(4, State.ACCEPTED))
        assert pending(ledger) == [3, 5]
        ledger.select_to_send(failed=True)
        assert pending(ledger) == [2, 3, 5]
        assert ledger.counts().failed == 1
        ledger.select_to_send(failed=False)
        assert pending(ledger) == [3, 5]


def test_runs_with_their_seconds_and_events_are_kept_in_order(job, second):
    place = job(2)
    seconds = [second(at, 7, **MIXED) for at in (100, 101, 102)]
    outage = Event(at=100.5, kind=EventKind.OUTAGE_BEGAN, values={"detail": "停了"})
    lowered = Event(at=101.5, kind=EventKind.RATE_LOWERED, values={"rate": 40.5})
    with place.opened() as ledger:
        ledger.begin_run(
            "run", target="one.example", version="0.1.0", settings={"rate": 100, "timeout": 1.5, "limit": None}
        )
        recorded(
            ledger,
            lambda: ledger.record_metrics(seconds[:1], [outage], busiest=7),
            lambda: ledger.record_metrics(seconds[1:], [], busiest=9),
        )
        ledger.end_run(exit_code=4, host_switches=2, stopped="The service has been down.")
        ledger.begin_run("run", target="two.example", version="0.1.0", settings={})
        recorded(ledger, lambda: ledger.record_metrics([], [lowered], busiest=0))
    with place.read() as reader:
        first, other = reader.runs()
        assert (first.target, first.version, first.busiest_second) == ("one.example", "0.1.0", 9)
        assert first.settings == {"rate": 100, "timeout": 1.5, "limit": None}
        assert (first.exit_code, first.host_switches, first.stopped) == (4, 2, "The service has been down.")
        assert first.started_at <= first.ended_at
        assert (other.target, other.ended_at, other.exit_code, other.busiest_second) == ("two.example", None, None, 0)
        assert list(reader.seconds()) == seconds
        assert reader.events() == [outage, lowered]


def test_a_fact_is_kept_and_can_be_replaced(job):
    place = job(2)
    with place.opened() as ledger:
        assert ledger.meta("target") is None
        ledger.set_meta("target", "one")
        ledger.set_meta("target", "two")
    with place.read() as reader:
        assert reader.meta("target") == "two"


def test_a_plan_counts_pending_rows_by_what_they_would_change(job, outcome):
    rows = {2: ("a", None), 3: ("a", ""), 4: ("a", "b"), 5: ("", "b"), 6: ("a", "a"), 7: ("", ""), 8: ("a", None)}
    expecting = [{"number": 9, "remark": "a", "expected": "b"}, {"number": 10, "remark": "a", "expected": ""}]
    place = job(*({"number": number, "remark": remark} for number, (remark, _) in rows.items()), *expecting)
    with place.opened() as ledger:
        read = {number: before for number, (_, before) in rows.items() if before is not None} | {9: "b", 10: "b"}
        recorded(
            ledger,
            *(partial(ledger.record_before, number, before) for number, before in read.items()),
            lambda: ledger.record_unreadable(8, "no response in time"),
        )
        plan = Plan(first=1, replaced=2, cleared=1, unchanged=2, conflict=1, unreadable=1, unread=1)
        assert ledger.plan() == plan
        assert (plan.rows, plan.changes, plan.left) == (9, 3, 2)
        assert [row.number for row in ledger.planned_changes()] == [3, 4, 5, 9]
        ledger.set_meta("only_absent", "")
        assert (ledger.plan().replaced, ledger.plan().cleared, ledger.plan().conflict) == (0, 0, 4)
        record(ledger, outcome(3, State.ACCEPTED))
        assert ledger.plan().first == 0
        ledger.forget_before()
        assert ledger.plan() == Plan(first=0, replaced=0, cleared=0, unchanged=0, conflict=0, unreadable=0, unread=8)


def test_what_was_read_back_is_counted_since_a_time(job, outcome):
    with job(*range(2, 7)).opened() as ledger:
        record(ledger, *(outcome(number, finished_at=10.0) for number in range(2, 6)))
        recorded(
            ledger,
            lambda: ledger.record_found(2, "r", 20.0),
            lambda: ledger.record_found(3, "", 21.0),
            lambda: ledger.record_found(4, "r", 9.0),  # it was sent again after that
        )
        assert ledger.read_back() == ReadBack(same=1, different=1, unread=2)
        assert ledger.read_back(since=20.5) == ReadBack(same=0, different=1, unread=3)
        assert [row.number for row in ledger.differing(since=20.5)] == [3]
        assert not list(ledger.differing(since=30.0))


def test_only_a_run_that_sends_rows_begins_a_job(job, outcome):
    with job(2).opened() as ledger:
        for command in ("plan", "verify"):
            ledger.begin_run(command, target="there", version="0", settings={})
        assert [ledger.was_run(), ledger.was_killed(), ledger.may_have_sent()] == [False, False, False]
        ledger.begin_run("run", target="there", version="0", settings={})
        assert [ledger.was_run(), ledger.was_killed(), ledger.may_have_sent()] == [True, True, True]
        ledger.end_run(exit_code=4, host_switches=0)
        assert [ledger.was_run(), ledger.was_killed(), ledger.may_have_sent()] == [True, False, False]
        record(ledger, outcome(2, State.FAILED))
        assert ledger.may_have_sent()


TEXTS = (
    "",
    " ",
    "\\N",
    "\\",
    r"a\tb",
    "a\tb",
    "a\nb\r\nc",
    "'\"; DROP TABLE rows; --",
    "%s ? $1 {}",
    "🐉𠮷\u200b\u2028",
    "长" * 3000,
)


def test_every_text_is_kept_as_it_is(job, outcome):
    columns = ("group_id", "remark", "cells", "expected", "warning")
    texts = dict(enumerate(TEXTS, 2))
    rows = ({"number": number} | dict.fromkeys(columns, text) for number, text in texts.items())
    with job(*rows).opened() as ledger:
        recorded(ledger, *(partial(ledger.record_before, number, text) for number, text in texts.items()))
        recorded(ledger, *(partial(ledger.record_found, number, text, 3.5) for number, text in texts.items()))
        for row in ledger.rows():
            found = (row.group_id, row.remark, row.cells, row.expected, row.warning, row.before, row.found)
            assert found == (texts[row.number],) * 7
        failed = (outcome(number, State.FAILED, message=text, request_id=text) for number, text in texts.items())
        record(ledger, *failed)
        assert [(row.message, row.request_id) for row in ledger.rows()] == [(text, text) for text in TEXTS]


def test_no_value_is_told_from_an_empty_one(job):
    with job(2, {"number": 3, "cells": "", "expected": ""}).opened() as ledger:
        recorded(ledger, lambda: ledger.record_before(3, ""))
        none, empty = ((row.cells, row.expected, row.before, row.found) for row in ledger.rows())
        assert none == (None, None, None, None)
        assert empty == ("", "", "", None)


def test_the_first_alias_that_was_read_before_a_row_is_sent_stays(job):
    with job(2).opened() as ledger:
        recorded(ledger, lambda: ledger.record_before(2, "one"), lambda: ledger.record_before(2, "two"))
        recorded(ledger, lambda: ledger.record_before(2, "three"))
        assert [row.before for row in ledger.rows()] == ["one"]


def test_a_sample_of_the_accepted_rows_is_the_same_for_the_same_seed(job, outcome):
    place = job(*range(2, 42))
    samples = []
    for seed in (1, 1, 2):
        with place.opened() as ledger:
            record(ledger, *map(outcome, range(2, 32)))
            assert ledger.select_accepted(since=5.0, sample=7, seed=seed) == 7
            samples.append(pending(ledger))
    assert samples[0] == samples[1] != samples[2]


def test_what_fails_in_a_transaction_leaves_nothing_of_it(job):
    with job(2).opened() as ledger:
        ledger.select_groups()
        ledger.record_members("g", {"u2"})
        with pytest.raises(Exception, match=r"(?i)unique"):
            ledger.record_members("g", {"other"})
        ledger.end_groups(reject=True)
        assert [row.state for row in ledger.rows()] == [State.PENDING]


def test_a_second_is_that_of_all_processes_together(job):
    def second(at: int, requests: int, kind: RequestKind = RequestKind.WRITE) -> Second:
        codes, latencies = Counter({"200": requests}), Counter({70: requests})
        return Second(at=at, kind=kind, requests=requests, retries=1, codes=codes, latencies=latencies)

    place, read = job(2), RequestKind.READ
    with place.opened() as ledger:
        ledger.begin_run("run", target="h", version="v", settings={})
        for seconds in ([second(7, 40), second(8, 30, read)], [second(7, 50), second(8, 5)], [second(8, 20, read)]):
            recorded(ledger, partial(ledger.record_metrics, seconds, [], busiest=50))
    with place.read() as reader:
        found = {(each.at, each.kind): each for each in reader.seconds()}
        assert {key: each.requests for key, each in found.items()} == {(7, "write"): 90, (8, "write"): 5, (8, read): 50}
        both = found[7, RequestKind.WRITE]
        assert (both.retries, both.codes, both.latencies) == (2, {"200": 90}, {70: 90})
