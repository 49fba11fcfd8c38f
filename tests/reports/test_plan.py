"""The plan: what a run would do about each row, by the aliases that were read."""

import pytest

from batch_alias.model import State
from batch_alias.reports import write_plan

ACCEPTED = (State.ACCEPTED, 200, "accepted")


@pytest.fixture
def plan(job, read_csv):
    """The lines of the plan by row."""

    def write():
        write_plan(job.folder / "plan.csv", job.ledger)
        lines = read_csv("plan.csv")
        assert lines[0] == ["row", "userId", "groupId", "action", "before", "after", "message"]
        return {int(line[0]): line[1:] for line in lines[1:]}

    return write


def test_every_row_has_an_action(job, plan):
    job.stage(
        *({"remark": "=new"} for _ in range(5)),
        {"remark": ""},
        {"remark": ""},
        {"remark": "x", "user_id": "", "reason": "empty-user-id", "message": "Column 'userId' is empty."},
        {"user_id": "twice", "remark": "early"},
        {"user_id": "twice", "remark": "late"},
    )
    job.run({11: ACCEPTED}, before={2: "", 3: "old", 4: "=new", 7: "old", 8: ""}, command="plan")
    job.ledger.record_unreadable(5, "HTTP 502")
    assert plan() == {
        2: ["u2", "g", "set", "", "=new", ""],
        3: ["u3", "g", "replace", "old", "=new", ""],
        4: ["u4", "g", "unchanged", "=new", "=new", ""],
        5: ["u5", "g", "unreadable", "", "=new", "HTTP 502"],
        6: ["u6", "g", "unread", "", "=new", ""],
        7: ["u7", "g", "clear", "old", "", ""],
        8: ["u8", "g", "unchanged", "", "", ""],
        9: ["", "g", "rejected", "", "x", "Column 'userId' is empty."],
        10: ["twice", "g", "superseded", "", "early", "row 11 sets the same user and group later"],
        11: ["twice", "g", "accepted", "", "late", "accepted"],
    }


def test_a_row_that_was_read_after_all_is_not_unreadable(job, plan):
    job.stage({"remark": "new"})
    job.ledger.record_unreadable(2, "HTTP 502")
    job.ledger.record_before(2, "old")
    assert plan()[2][2:] == ["replace", "old", "new", ""]


def test_where_only_absent_aliases_may_be_set_another_one_is_a_conflict(job, plan):
    job.stage(*({"remark": "new"} for _ in range(4)))
    job.ledger.set_meta("only_absent", "")
    job.run({5: ACCEPTED}, before={2: "", 3: "old", 4: "new", 5: "old"})
    assert [line[2] for line in plan().values()] == ["set", "conflict", "unchanged", "accepted"]
    assert job.ledger.changes() == {"set": (1, 0), "replace": (1, 1), "unchanged": (1, 0), "conflict": (1, 0)}


@pytest.mark.parametrize(("before", "action"), [("old", "replace"), ("", "conflict"), ("new", "unchanged")])
def test_another_alias_than_the_expected_one_is_a_conflict(job, before, action):
    job.stage({"remark": "new", "expected": "old"})
    job.ledger.record_before(2, before)
    (row,) = job.ledger.rows()
    assert row.change == action


def test_changes_are_counted(job):
    job.stage(*({"remark": "new"} for _ in range(5)))
    job.run({2: ACCEPTED, 4: (State.UNCHANGED, None, "it was so already")}, before=dict.fromkeys(range(2, 6), "old"))
    assert job.ledger.changes() == {"replace": (3, 1), "unchanged": (1, 0)}
    assert [row.number for row in job.ledger.changing("replace")] == [2, 3, 5]


def test_a_job_of_which_no_alias_was_read_has_no_changes(job):
    job.stage({"remark": "new"})
    assert job.ledger.changes() == {}
