import pytest

from batch_alias.model import State

AWKWARD = [
    'quote " and comma ,',
    "line\nbreak",
    "carriage\r\nreturn",
    "=1+1",
    "产品经理",
    "👩‍👩‍👧‍👦",
    "tab\tstop",
    "'",
    '""',
]


@pytest.mark.parametrize("name", ["results.csv", "not-accepted.csv"])
def test_the_file_begins_with_a_byte_order_mark_and_values_come_back_unchanged(job, read_csv, name):
    job.stage(*({"remark": value} for value in AWKWARD))
    job.write()
    content = (job.folder / name).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.endswith(b"\r\n")
    rows = read_csv(name)
    column = rows[0].index("remark")
    assert [row[column] for row in rows[1:]] == AWKWARD


def test_results_has_every_row_in_the_order_of_the_source(job, read_csv):
    job.stage(
        {"remark": "a"},
        {"user_id": "", "remark": "b", "reason": "empty-user-id", "message": "Column 'userId' is empty."},
        {"user_id": "twice", "remark": "early"},
        {"user_id": "twice", "remark": "late"},
        {"remark": "c"},
    )
    job.run({2: (State.ACCEPTED, 200, "accepted"), 5: (State.UNKNOWN, None, "no response in time")})
    job.write()
    assert read_csv("results.csv") == [
        ["row", "userId", "groupId", "remark", "state", "code", "message", "attempts", "request_id", "finished_at"],
        ["2", "u2", "g", "a", "accepted", "200", "accepted", "1", "request-2", "2026-09-21T14:13:20.250Z"],
        ["3", "", "g", "b", "rejected", "empty-user-id", "Column 'userId' is empty.", "0", "", ""],
        ["4", "twice", "g", "early", "superseded", "", "row 5 sets the same user and group later", "0", "", ""],
        ["5", "twice", "g", "late", "unknown", "", "no response in time", "1", "request-5", "2026-09-21T14:13:20.250Z"],
        ["6", "u6", "g", "c", "pending", "", "", "0", "", ""],
    ]
