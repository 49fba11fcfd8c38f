"""The reports of one job that has every state, compared with the files in ``snapshots/``.

After an intended change: ``UPDATE_SNAPSHOTS=1 pytest tests/reports/test_snapshots.py``, and review the difference.
"""

import json

import pytest

from batch_alias.model import Event, EventKind, RequestKind, State
from batch_alias.problems import found
from batch_alias.reports import write_plan


@pytest.fixture
def folder(job, second, start):
    def rejected(name, **values):
        return {"reason": name, "message": found(name, **values).message}

    job.stage(
        {"remark": "产品经理 李雷"},
        {"user_id": "", "remark": "b"} | rejected("empty-user-id", column="'who'"),
        {"user_id": "1.23E+15", "remark": "c"}
        | rejected("scientific-notation-in-id", column="'who'", value="'1.23E+15'"),
        {"remark": "d", "cells": json.dumps(["u5", "g", "d", "more"])} | rejected("too-many-fields", number=1),
        {"user_id": "twice", "remark": "early"},
        {"user_id": "twice", "remark": "late", "warning": "white-space-removed"},
        {"remark": "f"},
        {"remark": "g"},
        {"remark": "h"},
        {"remark": "=1+1,\"'"},
        {"remark": "null", "warning": "null-word-in-remark,white-space-removed"},
        {"remark": "j"},
        {"remark": "k"},
        {"remark": "l"},
        source="名单.csv",
        header=("who", "groupId", "remark"),
        blank_rows=2,
        reading={"user_column": "who", "strict": False, "accept": ["decimal-in-id"], "sheet": None},
    )
    settings = {"masked_key": "abc…xyz", "max_in_flight": 512, "timeout": 10.0, "max_failed": 0.1, "patience": 1800.0}
    events = [
        Event(
            at=start + 1,
            kind=EventKind.RATE_LOWERED,
            values={"signals": 12, "responses": 60, "rate": 45.0},
        ),
        Event(at=start + 2, kind=EventKind.OUTAGE_BEGAN, values={"detail": "HTTP 503"}),
        Event(at=start + 3, kind=EventKind.HOST_SWITCHED, values={"host": "api-b.example.com"}),
        Event(at=start + 4, kind=EventKind.OUTAGE_ENDED, values={}),
        Event(at=start + 5, kind=EventKind.ASKED_TO_WAIT, values={"seconds": 3.0}),
    ]
    codes = {"200": 3, "1008": 2, "HTTP 503": 4, "timeout": 1, "4321": 1}
    job.run(
        {2: (State.ACCEPTED, 200, "accepted"), 10: (State.FAILED, None, "no connection: refused")},
        [second(start, 11, retries=5, refusals=2, codes=codes, latencies={80: 10, 140: 1})],
        events,
        exit_code=None,
        times=(start, None),
        **settings,
        limit=2,
    )
    job.run(
        {
            7: (State.ACCEPTED, 200, "accepted"),
            8: (State.FAILED, 1002, "parameter missing or invalid: userId"),
            9: (State.FAILED, 1005, "parameter too long: remark"),
            11: (State.UNKNOWN, None, "no response in time"),
            12: (State.ACCEPTED, 200, "accepted"),
            14: (State.UNCHANGED, None, "it was so already"),
            15: (State.CONFLICT, None, "an alias is set: 旧名"),
        },
        [
            second(start + 86_400, 5, codes={"200": 2, "1002": 1, "1005": 1, "timeout": 1}),
            second(start + 86_400, 8, kind=RequestKind.READ, refusals=1),
        ],
        before={7: "旧名", 12: "", 13: "旧名", 14: "k", 15: "旧名"},
        times=(start + 86_400, start + 86_410),
        **settings,
        limit=None,
        only_absent=True,
    )
    verified = [second(start + 90_000, 3, kind=RequestKind.READ)]
    times = (start + 90_000, start + 90_001)
    job.run(
        {}, verified, command="verify", found={2: "产品经理 李雷", 7: "改了", 12: ""}, times=times, sample=3, seed=7
    )
    job.write(exit_code=1)
    return job.folder


def test_the_reports_are_as_they_were(folder, job, snapshot):
    write_plan(folder / "plan.csv", job.ledger)
    for name in ("results.csv", "not-accepted.csv", "differs.csv", "plan.csv", "summary.json"):
        snapshot(name, (folder / name).read_text(encoding="utf-8-sig"))
    snapshot("report.txt", job.page().text.replace(str(folder), "JOB"))
