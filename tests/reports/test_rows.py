import json

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


def test_not_accepted_keeps_the_columns_of_the_source_after_the_reason(job, read_csv):
    job.stage({"remark": "a", "user_id": "u"}, {"remark": "b"}, header=("备注", "x", "gid", "uid"), columns=(3, 2, 0))
    job.run({2: (State.FAILED, 1002, "parameter missing or invalid"), 3: (State.ACCEPTED, 200, "accepted")})
    job.write()
    assert read_csv("not-accepted.csv") == [
        ["batch_alias_reason", "备注", "x", "gid", "uid"],
        ["failed: parameter missing or invalid", "a", "", "g", "u"],
    ]


def test_a_row_with_too_many_or_too_few_fields_keeps_them(job, read_csv):
    wide, narrow = ["u", "g", "a", "surplus", "more"], ["u"]
    bad = {"reason": "too-many-fields", "message": "The row has 2 fields more than the header."}
    job.stage(bad | {"cells": json.dumps(wide)}, bad | {"cells": json.dumps(narrow)})
    job.write(exit_code=3)
    reason = "rejected: The row has 2 fields more than the header."
    assert read_csv("not-accepted.csv")[1:] == [[reason, *wide], [reason, *narrow]]


def test_the_reasons_of_an_earlier_not_accepted_file_are_replaced(job, read_csv):
    cells = json.dumps(["failed: old", "u2", "g", "名"], ensure_ascii=False)
    header = ("batch_alias_reason", "userId", "groupId", "remark")
    job.stage({"remark": "名", "cells": cells}, header=header, columns=(1, 2, 3))
    job.run({2: (State.FAILED, 1005, "parameter too long")})
    job.write()
    assert read_csv("not-accepted.csv") == [[*header], ["failed: parameter too long", "u2", "g", "名"]]
