import json

from batch_alias.model import State


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
