"""Marking the rows whose user is not in the group."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.ledger import Ledger, create
from batch_alias.ledger.sqlite import SqliteLedger
from batch_alias.ledger.writer import NO_SUCH_GROUP, NOT_A_MEMBER
from batch_alias.model import State
from batch_alias.problems import PROBLEMS
from tests.ledger.conftest import frame_of, record
from tests.support.jobs import job_info

IDS = st.sampled_from(["a", "A", "b", "1", "01", "é", "e\u0301", "王", 'x"y', "x'y", "%"])
ROWS = st.lists(st.tuples(IDS, IDS, st.sampled_from(["", "hidden-row"]), st.booleans()), min_size=1, max_size=20)
MEMBERS = st.dictionaries(IDS, st.frozensets(IDS), max_size=8)
ROW = {"user_id": "u1", "group_id": "g1"}


def groups(ledger: Ledger) -> list[str]:
    rows = asyncio.run(ledger.pending(after=0, most=1000))
    assert rows == sorted(rows, key=lambda row: row.number)
    return [row.group_id for row in rows]


def look_up(ledger: Ledger, members: dict[str, set[str]], *, reject: bool = False) -> int:
    found = ledger.select_groups()
    for group_id, users in members.items():
        ledger.record_members(group_id, users)
    ledger.end_groups(reject=reject)
    return found


@given(rows=ROWS, members=MEMBERS, reject=st.booleans())
def test_marking_is_what_plain_python_computes(rows, members, reject):
    """``members`` has the groups that were looked up; the others could not be."""
    last = {(group, user): number for number, (user, group, _, good) in enumerate(rows, 2) if good}
    expected = {}
    for number, (user, group, warning, good) in enumerate(rows, 2):
        state, reason, warnings = State.PENDING, "", [warning] if warning else []
        if not good:
            state, reason = State.REJECTED, "decimal-in-id"
        elif last[group, user] != number:
            state = State.SUPERSEDED
        elif user not in members.get(group, {user}):
            problem = NOT_A_MEMBER if members[group] else NO_SUCH_GROUP
            state, reason = (State.REJECTED, problem) if reject else (state, reason)
            warnings += [] if reject else [problem]
        expected[number] = state, reason, set(warnings)

    frame = frame_of(
        *(
            {"number": number, "user_id": user, "group_id": group, "warning": warning}
            | ({} if good else {"reason": "decimal-in-id", "message": "A decimal."})
            for number, (user, group, warning, good) in enumerate(rows, 2)
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        create(Path(folder), [frame], job_info)
        with SqliteLedger(Path(folder)) as ledger:
            before = {row.number: row for row in ledger.rows()}
            pending = {row.group_id for row in ledger.rows(State.PENDING)}
            ledger.select_groups()
            assert sorted(groups(ledger)) == sorted(pending)
            for group in pending & members.keys():
                ledger.record_members(group, members[group])
            ledger.end_groups(reject=reject)
            marked = {row.number: row for row in ledger.rows()}
            ledger.keep_members("another purpose")
            forgotten = {row.number: row for row in ledger.rows()}

    names = {NOT_A_MEMBER, NO_SUCH_GROUP}
    for number, row in marked.items():
        # Warnings of staging, such as that ids differ in case, stay as they are.
        staged = set(filter(None, before[number].warning.split(",")))
        warnings = set(filter(None, row.warning.split(",")))
        assert (row.state, row.reason, warnings & names) == (*expected[number][:2], expected[number][2] & names)
        assert warnings - names == staged
        assert row.message == (PROBLEMS[row.reason].sentence if row.reason in names else before[number].message)
    assert forgotten == before


def test_a_group_is_given_once_with_its_first_pending_row_and_not_again_when_it_was_looked_up(job, outcome):
    rows = [("g1", "u1"), ("g2", "u2"), ("g1", "u3"), ("g3", "u4"), ("g2", "u5")]
    place = job(*({"number": n, "group_id": g, "user_id": u} for n, (g, u) in enumerate(rows, 2)))
    with place.opened() as ledger:
        record(ledger, outcome(2))
        assert ledger.select_groups() == 3
        assert [row.number for row in asyncio.run(ledger.pending(after=0, most=2))] == [3, 4]
        assert [row.number for row in asyncio.run(ledger.pending(after=4, most=2))] == [5]
        ledger.record_members("g2", {"u2", "u5"})
        ledger.end_groups(reject=False)
        assert [row.number for row in asyncio.run(ledger.pending(after=0, most=9))] == [3, 4, 5, 6]
    with place.opened() as ledger:
        assert ledger.select_groups() == 2
        assert groups(ledger) == ["g1", "g3"]


def test_what_was_found_before_a_kill_is_marked_at_the_end_of_the_next_lookup(job):
    place = job(*({"number": n, "group_id": f"g{n}"} for n in (2, 3, 4)))
    with place.opened() as ledger:  # which is closed without ``end_groups``
        ledger.keep_members("reject one")
        ledger.select_groups()
        ledger.record_members("g2", {"other"})
        ledger.record_members("g3", {"u3"})
    with place.opened() as ledger:
        ledger.keep_members("reject one")
        assert ledger.counts().rejected == 0
        assert look_up(ledger, {"g4": set()}, reject=True) == 1
        assert {row.number: row.reason for row in ledger.rows()} == {2: NOT_A_MEMBER, 3: "", 4: NO_SUCH_GROUP}


def test_what_was_found_before_a_kill_is_forgotten_for_another_purpose(job):
    place = job(*({"number": n, "group_id": f"g{n}"} for n in (2, 3)))
    with place.opened() as ledger:
        ledger.keep_members("reject one")
        ledger.select_groups()
        ledger.record_members("g2", {"other"})
    with place.opened() as ledger:
        ledger.keep_members("reject another")
        assert look_up(ledger, {"g2": {"u2"}, "g3": {"u3"}}, reject=True) == 2
        assert ledger.counts().pending == 2


@pytest.mark.parametrize("reject", [True, False])
def test_rows_that_have_ended_are_neither_marked_nor_changed_when_it_is_forgotten(reject, job, outcome):
    place = job(*({"number": n, "user_id": f"u{n}"} for n in (2, 3, 4, 5)))
    with place.opened() as ledger:
        record(ledger, outcome(2))
        record(ledger, outcome(3, State.UNKNOWN))
        look_up(ledger, {"g": {"u5"}}, reject=reject)
        assert [row.number for row in ledger.rows() if row.reason or row.warning] == [4]
        record(ledger, outcome(4 if not reject else 5))
        kept = {row.number: row for row in ledger.rows(State.ACCEPTED, State.UNKNOWN)}
        ledger.keep_members("x")
        assert {row.number: row for row in ledger.rows(State.ACCEPTED, State.UNKNOWN)} == kept


def test_what_was_found_is_kept_for_the_same_purpose_until_it_is_to_be_forgotten(job):
    place = job(ROW | {"number": 2})
    with place.opened() as ledger:
        ledger.keep_members("warn one")
        look_up(ledger, {"g1": {"other"}})
    for _ in range(2):
        with place.opened() as ledger:
            ledger.keep_members("warn one")
            assert [problem.name for problem in ledger.warnings()] == [NOT_A_MEMBER]
            assert look_up(ledger, {}) == 0
    with place.opened() as ledger:
        ledger.forget_members_later()
        assert ledger.warnings()
    with place.opened() as ledger:
        ledger.keep_members("warn one")
        assert not ledger.warnings()
        assert look_up(ledger, {}) == 1


def test_only_a_run_that_sends_counts_as_one(job):
    place = job(2)
    with place.opened() as ledger:
        for command, was_run in (("members", False), ("run", True)):
            ledger.begin_run(command, target="h", version="v", settings={})
            with place.read() as reader:
                assert reader.was_run() is was_run
