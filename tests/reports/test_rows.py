import csv
import json

import pytest

from batch_alias.ledger import Place
from batch_alias.model import State
from batch_alias.reports.rows import write_not_accepted
from batch_alias.settings import Reading
from batch_alias.staging import staged

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
ROW = ["row", "userId", "groupId", "remark"]
READ_BACK = ["found", "verified_at"]
ENDED, VERIFIED = "2026-09-21T14:13:20.250Z", "2026-09-21T14:13:24.500Z"


@pytest.mark.parametrize("name", ["results.csv", "not-accepted.csv"])
def test_the_file_begins_with_a_byte_order_mark_and_values_come_back_unchanged(job, read_csv, name):
    job.stage(*({"remark": value} for value in AWKWARD))
    job.run(dict.fromkeys(range(2, len(AWKWARD) + 2), (State.FAILED, 1002, "refused")))
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
    outcomes = {2: (State.ACCEPTED, 200, "accepted"), 5: (State.UNKNOWN, None, "no response in time")}
    job.run(outcomes, before={2: "old", 5: ""}, found={2: "other", 5: ""})
    job.write()
    assert read_csv("results.csv") == [
        [*ROW, "state", "code", "message", "attempts", "request_id", "finished_at", "before", *READ_BACK],
        ["2", "u2", "g", "a", "accepted", "200", "accepted", "1", "request-2", ENDED, "old", "other", VERIFIED],
        ["3", "", "g", "b", "rejected", "empty-user-id", "Column 'userId' is empty.", "0", *[""] * 5],
        ["4", "twice", "g", "early", "superseded", "", "row 5 sets the same user and group later", "0", *[""] * 5],
        ["5", "twice", "g", "late", "unknown", "", "no response in time", "1", "request-5", ENDED, "", "", VERIFIED],
        ["6", "u6", "g", "c", "pending", "", "", "0", *[""] * 5],
    ]


def test_differs_has_the_accepted_rows_that_were_read_back_as_another_alias(job, read_csv):
    job.stage(*({"remark": "=1+1"} for _ in range(6)))
    accepted = (State.ACCEPTED, 200, "accepted")
    job.run({2: accepted, 3: accepted, 4: accepted, 5: accepted, 6: (State.UNKNOWN, None, "no response in time")})
    job.run(command="verify", found={2: "=1+1", 3: "=2+2", 4: "", 6: "other"})
    job.write()
    assert read_csv("differs.csv") == [
        [*ROW, *READ_BACK],
        ["3", "u3", "g", "=1+1", "=2+2", VERIFIED],
        ["4", "u4", "g", "=1+1", "", VERIFIED],
    ]


def test_a_row_that_was_sent_after_it_was_read_back_does_not_differ(job, start):
    job.stage({"remark": "new"})
    job.ledger.record_found(2, "old", start - 60.0)
    job.run({2: (State.ACCEPTED, 200, "accepted")})
    summary = job.write()
    assert (summary.verified, summary.differs) == (0, 0)


def test_not_accepted_has_the_rows_that_ended_without_being_accepted_and_not_those_to_be_sent_yet(job, read_csv):
    job.stage(
        *({"remark": "a"} for _ in range(6)),
        {"user_id": "", "remark": "b", "reason": "empty-user-id", "message": "Column 'userId' is empty."},
        {"user_id": "twice", "remark": "early"},
        {"user_id": "twice", "remark": "late"},
    )
    states = (State.ACCEPTED, State.UNCHANGED, State.CONFLICT, State.FAILED, State.UNKNOWN)
    job.run({number: (state, None, f"it is {state}") for number, state in enumerate(states, 2)}, exit_code=130)
    job.write(exit_code=130)
    assert [row[:2] for row in read_csv("not-accepted.csv")[1:]] == [
        ["conflict: it is conflict", "4"],
        ["failed: it is failed", "5"],
        ["unknown: it is unknown", "6"],
        ["rejected: Column 'userId' is empty.", "8"],
    ]


def test_not_accepted_keeps_the_columns_of_the_source_after_the_reason(job, read_csv):
    job.stage({"remark": "a", "user_id": "u"}, {"remark": "b"}, header=("备注", "x", "gid", "uid"), columns=(3, 2, 0))
    job.run({2: (State.FAILED, 1002, "parameter missing or invalid"), 3: (State.ACCEPTED, 200, "accepted")})
    job.write()
    assert read_csv("not-accepted.csv") == [
        ["batch_alias_reason", "batch_alias_row", "备注", "x", "gid", "uid"],
        ["failed: parameter missing or invalid", "2", "a", "", "g", "u"],
    ]


@pytest.mark.parametrize("more", ["", "x"])
def test_not_accepted_has_the_expected_aliases_and_is_read_like_the_source(tmp_path, more):
    rows = ["userId,was,groupId,new", "u2,old,g,a", ",old,g,c", "u-4 ,,,d", "u5, ,g,b", "u6,old,g, ", "u7,,g,"]
    reading = Reading(expect_column="was", remark_column="new", empty="clear")
    source = tmp_path / "names.csv"
    source.write_text("".join(f"{row}{more and ','}{more}\n" for row in rows))
    found = []
    for folder in (tmp_path / "first", tmp_path / "again"):
        with staged(source, reading, Place(folder)) as ledger:
            found.append([(row.user_id, row.remark, row.expected, row.reason) for row in ledger.rows()])
            source = folder / "not-accepted.csv"
            write_not_accepted(source, ledger)
    rejected = [
        ("", "c", "old", "empty-user-id"),
        ("u-4", "d", "", "empty-group-id"),
        ("u5", "b", "", "blank-cell"),
        ("u6", "", "old", "blank-cell"),
    ]
    assert found == [[("u2", "a", "old", ""), *rejected, ("u7", "", "", "")], rejected]
    with source.open(encoding="utf-8-sig") as file:
        assert next(row[:2] for row in csv.reader(file)) == ["batch_alias_reason", "batch_alias_row"]
    with (tmp_path / "again" / "not-accepted.csv").open(encoding="utf-8-sig") as file:
        header, *written = csv.reader(file)
    assert (header.count("batch_alias_row"), [row[1] for row in written]) == (1, ["2", "3", "4", "5"])


def test_a_row_with_too_many_or_too_few_fields_keeps_them(job, read_csv):
    wide, narrow = ["u", "g", "a", "surplus", "more"], ["u"]
    bad = {"reason": "too-many-fields", "message": "The row has 2 fields more than the header."}
    job.stage(bad | {"cells": json.dumps(wide)}, bad | {"cells": json.dumps(narrow)})
    job.write(exit_code=3)
    reason = "rejected: The row has 2 fields more than the header."
    assert read_csv("not-accepted.csv")[1:] == [[reason, "2", *wide], [reason, "3", *narrow]]


def test_the_reasons_of_an_earlier_not_accepted_file_are_replaced(job, read_csv):
    cells = json.dumps(["failed: old", "77", "u2", "g", "名"], ensure_ascii=False)
    header = ("batch_alias_reason", "batch_alias_row", "userId", "groupId", "remark")
    job.stage({"remark": "名", "cells": cells}, header=header, columns=(2, 3, 4))
    job.run({2: (State.FAILED, 1005, "parameter too long")})
    job.write()
    assert read_csv("not-accepted.csv") == [[*header], ["failed: parameter too long", "2", "u2", "g", "名"]]


@pytest.mark.parametrize(
    ("header", "written"),
    [
        (("batch_alias_row", "groupId", "remark"), ["batch_alias_reason", "batch_alias_row", "groupId", "remark"]),
        (("userId", "batch_alias_reason", "remark"), ["batch_alias_row", "userId", "batch_alias_reason", "remark"]),
    ],
)
def test_a_column_of_ids_keeps_them_whatever_its_name(header, written, job, read_csv):
    job.stage({"user_id": "u7", "group_id": "g7", "remark": "名"}, header=header)
    job.run({2: (State.FAILED, 1005, "parameter too long")})
    job.write()
    rows = read_csv("not-accepted.csv")
    assert rows[0] == written
    assert [dict(zip(rows[0], row, strict=True))[name] for row in rows[1:] for name in header] == ["u7", "g7", "名"]
