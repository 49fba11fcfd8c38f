"""The reports for programs: the CSV files and the summary; and what happens when one cannot be written."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from batch_alias.errors import ReportError
from batch_alias.model import State
from batch_alias.records import LATENCY_STEP
from batch_alias.reports import write_reports
from batch_alias.reports.summary import percentiles
from batch_alias.settings import Reading
from batch_alias.sources import open_source

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


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_the_csv_files_begin_with_a_byte_order_mark_and_their_values_come_back(jobs, totals):
    ledger = jobs.stage([{"remark": value} for value in AWKWARD])
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=None))
    for name in ("results.csv", "not-accepted.csv"):
        assert (jobs.folder / name).read_bytes().startswith(b"\xef\xbb\xbf")
        rows = rows_of(jobs.folder / name)
        at = rows[0].index("remark")
        assert [row[at] for row in rows[1:]] == AWKWARD


def test_every_row_of_the_source_is_in_the_results_in_its_order(jobs, run, totals):
    ledger = jobs.stage(
        [
            {"remark": "a"},
            {"user_id": "", "remark": "b", "reason": "empty-user-id", "message": "The user id is empty."},
            {"user_id": "twice", "remark": "early"},
            {"user_id": "twice", "remark": "late"},
            {"remark": "c"},
        ]
    )
    run(ledger, {2: (State.ACCEPTED, 200, "accepted"), 5: (State.UNKNOWN, None, "no answer in time")})
    write_reports(jobs.folder, ledger, totals(ledger))
    assert rows_of(jobs.folder / "results.csv") == [
        ["row", "userId", "groupId", "remark", "state", "code", "message", "attempts", "request_id", "finished_at"],
        ["2", "u2", "g", "a", "accepted", "200", "accepted", "1", "request-2", "2026-09-21T14:13:20.250Z"],
        ["3", "", "g", "b", "rejected", "empty-user-id", "The user id is empty.", "0", "", ""],
        ["4", "twice", "g", "early", "superseded", "", "row 5 sets the same user and group later", "0", "", ""],
        ["5", "twice", "g", "late", "unknown", "", "no answer in time", "1", "request-5", "2026-09-21T14:13:20.250Z"],
        ["6", "u6", "g", "c", "pending", "", "", "0", "", ""],
    ]


def test_not_accepted_is_a_source_that_can_be_run_again(jobs, run, totals):
    ledger = jobs.stage([{"remark": value} for value in AWKWARD])
    run(ledger, {2: (State.FAILED, 1002, "parameter missing or invalid")})
    write_reports(jobs.folder, ledger, totals(ledger))
    with open_source(jobs.folder / "not-accepted.csv", Reading()) as source:
        (frame,) = source.batches()
        assert source.header == ("batch_alias_reason", "userId", "groupId", "remark")
    assert list(frame["remark"]) == AWKWARD
    assert list(frame["user_id"]) == [f"u{number}" for number in range(2, 2 + len(AWKWARD))]
    assert set(frame["reason"]) == {""}


def test_a_row_with_cells_too_many_or_too_few_keeps_them_as_they_were(jobs, totals):
    wide, narrow = ["u", "g", "a", "surplus", "more"], ["u"]
    bad = {"reason": "too-many-fields", "message": "5 fields, 3 expected."}
    ledger = jobs.stage([bad | {"cells": json.dumps(wide)}, bad | {"cells": json.dumps(narrow)}])
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=3))
    rows = rows_of(jobs.folder / "not-accepted.csv")
    assert rows[1:] == [["rejected: 5 fields, 3 expected.", *wide], ["rejected: 5 fields, 3 expected.", *narrow]]


def test_in_a_second_round_the_old_reasons_make_room_for_the_new(jobs, run, totals):
    cells = json.dumps(["failed: old", "u2", "g", "名"], ensure_ascii=False)
    ledger = jobs.stage(
        [{"remark": "名", "cells": cells}],
        header=("batch_alias_reason", "userId", "groupId", "remark"),
        columns=(1, 2, 3),
    )
    run(ledger, {2: (State.FAILED, 1005, "parameter too long")})
    write_reports(jobs.folder, ledger, totals(ledger))
    assert rows_of(jobs.folder / "not-accepted.csv") == [
        ["batch_alias_reason", "userId", "groupId", "remark"],
        ["failed: parameter too long", "u2", "g", "名"],
    ]


def test_the_summary_adds_up_what_all_runs_did(jobs, run, totals, second):
    ledger = jobs.stage([{"remark": "a"}, {"remark": "b"}])
    run(ledger, {}, [second(1_790_000_000, 7, retries=1, refusals=2, codes={"200": 5, "1008": 2})], exit_code=130)
    run(ledger, {2: (State.ACCEPTED, 200, "accepted")}, [second(1_790_000_100, 9, codes={"200": 9})])
    write_reports(jobs.folder, ledger, totals(ledger))
    said = json.loads((jobs.folder / "summary.json").read_text(encoding="utf-8"))
    assert (said["requests"], said["retries"], said["refusals"], said["runs"]) == (16, 1, 2, 2)
    assert said["codes"] == {"200": 14, "1008": 2}
    assert said["busiest_second"] == 9
    assert sum(said["states"].values()) == said["rows"] == 2


def test_percentiles_are_the_bounds_of_the_buckets_that_hold_them():
    found = percentiles(Counter({10: 50, 20: 40, 30: 9, 40: 1}))
    assert found == {
        name: round(LATENCY_STEP**bucket, 1) for name, bucket in {"p50": 10, "p90": 20, "p99": 30, "max": 40}.items()
    }
    assert percentiles(Counter()) == {}


@pytest.mark.parametrize("name", ["summary.json", "not-accepted.csv", "results.csv", "report.html", "results.xlsx"])
@pytest.mark.parametrize("in_the_way", ["{}", ".{}.new"])
def test_a_report_that_cannot_be_written_is_named_and_the_others_are_written(jobs, totals, name, in_the_way):
    ledger = jobs.stage([{"remark": "a"}])
    (jobs.folder / in_the_way.format(name)).mkdir()
    with pytest.raises(ReportError) as caught:
        write_reports(jobs.folder, ledger, totals(ledger, exit_code=None), workbook=True)
    assert str(jobs.folder / name) in caught.value.problem
    assert f"batch-alias report {jobs.folder}" in caught.value.advice
    others = {"summary.json", "not-accepted.csv", "results.csv", "report.html", "results.xlsx"} - {name}
    assert all((jobs.folder / other).is_file() for other in others)
    assert caught.value.problem.count(str(jobs.folder)) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("name", ["summary.json", "not-accepted.csv", "results.csv", "report.html", "results.xlsx"])
def test_a_full_disk_is_told_by_its_name(jobs, totals, name):
    ledger = jobs.stage([{"remark": "a"}])
    (jobs.folder / f".{name}.new").symlink_to("/dev/full")
    with pytest.raises(ReportError, match="No space left on device"):
        write_reports(jobs.folder, ledger, totals(ledger, exit_code=None), workbook=True)
    assert not (jobs.folder / name).exists()
    assert not [path for path in jobs.folder.iterdir() if path.name.startswith(".")]


def test_a_report_that_cannot_be_written_leaves_the_one_before_it_as_it_was(jobs, totals):
    ledger = jobs.stage([{"remark": "a"}])
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=None))
    before = (jobs.folder / "report.html").read_bytes()
    (jobs.folder / ".report.html.new").mkdir()
    with pytest.raises(ReportError):
        write_reports(jobs.folder, ledger, totals(ledger, exit_code=0))
    assert (jobs.folder / "report.html").read_bytes() == before


def test_where_the_folder_is_gone_every_report_is_named(jobs, totals, tmp_path):
    ledger = jobs.stage([{"remark": "a"}])
    with pytest.raises(ReportError, match="no-such-folder") as caught:
        write_reports(tmp_path / "no-such-folder", ledger, totals(ledger, exit_code=None), workbook=True)
    assert caught.value.problem.count("no-such-folder") == 5
