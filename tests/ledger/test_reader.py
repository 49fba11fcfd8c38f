from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_alias.ledger import LEDGER, LedgerReader, ProblemCount, Repeat
from batch_alias.ledger.sqlite import SqliteLedger, SqliteReader
from batch_alias.model import State, StateCounts
from tests.ledger.conftest import record


@pytest.fixture
def read(job) -> Iterator:
    """A reader of a ledger that holds some rows."""
    opened: list[LedgerReader] = []

    def stage_and_open(*rows: dict | int) -> LedgerReader:
        opened.append(job(*rows).read())
        return opened[-1]

    yield stage_and_open
    for reader in opened:
        reader.close()


def test_rows_are_read_as_they_were_staged(read, info):
    nasty = "R&D '50%'; DROP TABLE rows; -- 老王 🐉\u2028\ttab"
    ledger = read({"number": 7, "user_id": "u", "group_id": "g", "remark": nasty, "warning": "odd", "cells": '["x"]'})
    (row,) = ledger.rows()
    assert (row.number, row.user_id, row.group_id, row.remark) == (7, "u", "g", nasty)
    assert (row.state, row.warning, row.cells, row.attempts) == ("pending", "odd", '["x"]', 0)
    assert ledger.info() == info
    assert ledger.info().column_names == {"userId": "userId", "groupId": "groupId", "remark": "备注"}


def test_rows_can_be_chosen_by_their_state(read):
    ledger = read({"number": 2, "reason": "bad"}, 3, {"number": 4, "user_id": "u3"}, 5)
    numbers = {state: [row.number for row in ledger.rows(state)] for state in State}
    assert numbers == {state: [] for state in State} | {
        State.REJECTED: [2],
        State.SUPERSEDED: [3],
        State.PENDING: [4, 5],
    }
    assert [row.number for row in ledger.rows(State.REJECTED, State.PENDING)] == [2, 4, 5]


def test_the_states_add_up_to_the_rows(job, outcome):
    place = job(2, 3, 4, 5, {"number": 6, "reason": "bad"}, {"number": 7, "user_id": "u2"})
    with place.opened() as ledger:
        assert ledger.counts() == StateCounts(pending=4, rejected=1, superseded=1)
        for row, state in ((3, State.ACCEPTED), (4, State.FAILED), (5, State.UNKNOWN)):
            record(ledger, outcome(row, state))
            assert ledger.counts().rows == 6
        assert ledger.counts() == StateCounts(rejected=1, superseded=1, pending=1, accepted=1, failed=1, unknown=1)


def test_problems_are_grouped_by_kind_the_most_frequent_first(job, outcome):
    place = job(
        2,
        *({"number": row, "reason": "empty-user-id", "message": f"row {row}"} for row in range(3, 11)),
        {"number": 11, "reason": "user-id-too-long", "message": "65 bytes"},
        *range(12, 15),
    )
    with place.opened() as ledger:
        messages = {12: "code 1999", 13: "code 1999", 14: "parameter too long"}
        record(ledger, *(outcome(row, State.FAILED, message=message) for row, message in messages.items()))
        assert ledger.problems(State.UNKNOWN) == []
        assert ledger.problems(State.REJECTED, State.FAILED) == [
            ProblemCount(name="empty-user-id", message="row 3", count=8, rows=(3, 4, 5, 6, 7)),
            ProblemCount(name="", message="code 1999", count=2, rows=(12, 13)),
            ProblemCount(name="user-id-too-long", message="65 bytes", count=1, rows=(11,)),
            ProblemCount(name="", message="parameter too long", count=1, rows=(14,)),
        ]


def test_every_warning_of_a_row_is_counted_but_none_of_a_rejected_row(read):
    ledger = read(
        {"number": 2, "warning": "long-remark,odd-id"},
        {"number": 3, "warning": "odd-id"},
        {"number": 4, "warning": "odd-id", "reason": "bad"},
        *({"number": number, "warning": "odd-id"} for number in range(5, 9)),
    )
    assert ledger.warnings() == [
        ProblemCount(name="odd-id", message="", count=6, rows=(2, 3, 5, 6, 7)),
        ProblemCount(name="long-remark", message="", count=1, rows=(2,)),
    ]


def test_users_and_groups_are_those_of_the_pending_rows(read):
    ledger = read(
        {"number": 2, "user_id": "a"},
        {"number": 3, "user_id": "a", "group_id": "h"},
        {"number": 4, "user_id": "b", "reason": "bad"},
        {"number": 5, "user_id": "c"},
    )
    assert ledger.users_and_groups() == (2, 2)


def test_repeats_are_counted_by_whether_they_set_the_same_alias(read):
    ledger = read(
        {"number": 2, "user_id": "u", "remark": "first"},
        *({"number": number, "user_id": "u", "remark": "last"} for number in range(3, 10)),
    )
    assert ledger.repeats() == (
        6,
        1,
        [Repeat(row=number, superseded_by=9, same=number > 2) for number in range(2, 7)],
    )


def test_an_empty_ledger_has_no_problems_warnings_runs_or_events(read):
    ledger = read()
    assert ledger.counts() == StateCounts()
    assert ledger.users_and_groups() == (0, 0)
    assert ledger.repeats() == (0, 0, [])
    assert ledger.meta("target") is None
    assert not [*ledger.rows(), *ledger.problems(State.REJECTED), *ledger.warnings(), *ledger.runs()]
    assert not [*ledger.seconds(), *ledger.events()]


def test_a_ledger_can_be_read_while_it_is_written(job, outcome):
    place = job(*range(2, 8))
    with place.opened() as ledger, place.read() as reader:
        for row in range(2, 8):
            record(ledger, outcome(row))
            assert reader.counts().accepted == row - 1
        rows = reader.rows()
        first = next(rows)
        record(ledger, outcome(7, State.FAILED))
        assert (first.number, sum(1 for _ in rows)) == (2, 5)


def test_a_reader_goes_on_when_the_run_ends(job, outcome):
    place = job(2, 3)
    with place.read() as reader:
        with place.opened() as ledger:
            rows = reader.rows()
            next(rows)
            record(ledger, outcome(3))
        assert [row.number for row in rows] == [3]
        assert reader.counts().accepted == 1


def test_reading_leaves_no_file_and_changes_none(staged, outcome):
    def files(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    folder = staged(2, 3)
    with SqliteLedger(folder) as ledger:
        ledger.record(outcome(2))
    before = files(folder)
    assert list(before) == [LEDGER]
    with SqliteReader(folder) as reader:
        assert reader.counts().accepted == 1
    assert files(folder) == before
