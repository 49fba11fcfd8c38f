"""The workbook read back cell by cell: it says what results.csv says, and every value is still what it was."""

import csv
import json
from pathlib import Path

import openpyxl
import pytest
from openpyxl.utils.escape import unescape

from batch_alias.model import State
from batch_alias.reports import workbook, write_reports
from batch_alias.reports.causes import read_not_accepted
from batch_alias.reports.not_accepted import STATES

VALUES = [
    "00123",
    "1.23457E+15",
    "123456789012345678901",
    '=HYPERLINK("http://example.com","x")',
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "{=1+1}",
    "http://example.com/a b",
    "mailto:a@example.com",
    "internal:Sheet1!A1",
    "TRUE",
    "1/2",
    "2026-11-23",
    " leading and trailing ",
    "line\nbreak",
    "carriage\rreturn",
    "tab\tstop",
    "NUL\x00 and bell\x07 and escape\x1b",
    "delete\x7f and C1\x85",
    "_x0041_",
    "_x005F_",
    "not\ufffea\uffffcharacter",
    "<b>&amp;</b> ]]>",
    "<r></r>",
    "<r><t>rich</t></r>",
    "<r></sheetData></r>",
    "产品经理 李雷",
    "👩‍👩‍👧‍👦",
    "\u202eevil",
    "e\u0301",
]


def cells(folder: Path, sheet: str) -> list[list[object]]:
    book = openpyxl.load_workbook(folder / "results.xlsx")
    # Spreadsheets undo the escapes of what XML cannot hold; openpyxl leaves that to its caller.
    return [
        [
            "" if cell.value is None else unescape(cell.value) if isinstance(cell.value, str) else cell.value
            for cell in row
        ]
        for row in book[sheet].iter_rows()
    ]


def test_every_value_comes_back_as_it_was(jobs, totals):
    ledger = jobs.stage([{"user_id": value, "group_id": value, "remark": value} for value in VALUES])
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=None), workbook=True)
    rows = cells(jobs.folder, "Results")
    assert [row[1:4] for row in rows[1:]] == [[value] * 3 for value in VALUES]
    assert [row[1:4] for row in cells(jobs.folder, "Not accepted")[1:]] == [[value] * 3 for value in VALUES]


def test_ids_and_aliases_are_text_cells_without_links(jobs, totals):
    ledger = jobs.stage([{"user_id": value, "group_id": value, "remark": value} for value in VALUES])
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=None), workbook=True)
    for sheet in openpyxl.load_workbook(jobs.folder / "results.xlsx").worksheets[1:]:
        for row in sheet.iter_rows(min_row=2, min_col=2, max_col=4):
            assert {(cell.data_type, cell.number_format, cell.hyperlink) for cell in row} == {("s", "@", None)}
        assert sheet.column_dimensions["B"].width > 20


def test_the_results_sheet_says_what_the_csv_says(jobs, run, totals):
    ledger = jobs.stage(
        [
            {"remark": "a"},
            {"remark": "b"},
            {"user_id": "", "reason": "empty-user-id", "message": "No user id."},
            {"user_id": "twice", "remark": "early"},
            {"user_id": "twice", "remark": "late"},
        ]
    )
    run(ledger, {2: (State.ACCEPTED, 200, "accepted"), 3: (State.FAILED, 1002, "parameter missing or invalid")})
    write_reports(jobs.folder, ledger, totals(ledger), workbook=True)
    with (jobs.folder / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        said = list(csv.reader(file))
    assert [[str(cell) for cell in row] for row in cells(jobs.folder, "Results")] == said


def test_rows_beyond_the_limit_of_a_sheet_go_to_the_next(jobs, totals):
    ledger = jobs.stage([{"remark": f"name {number}"} for number in range(10)])
    workbook.write(
        jobs.folder / "results.xlsx",
        info=ledger.info(),
        totals=totals(ledger, exit_code=None),
        entries=ledger.entries(),
        not_accepted=ledger.entries(*STATES),
        causes=read_not_accepted(ledger.entries(*STATES), 0),
        most_rows=5,
    )
    book = openpyxl.load_workbook(jobs.folder / "results.xlsx")
    assert book.sheetnames == [
        "Summary",
        *("Not accepted", "Not accepted 2", "Not accepted 3"),
        *("Results", "Results 2", "Results 3"),
    ]
    shown = [row for name in ("Results", "Results 2", "Results 3") for row in cells(jobs.folder, name)[1:]]
    assert [row[3] for row in shown] == [f"name {number}" for number in range(10)]
    assert [book[name].auto_filter.ref for name in ("Results", "Results 3")] == ["A1:J5", "A1:J3"]
    assert {book[name].freeze_panes for name in book.sheetnames[1:]} == {"A2"}
    assert {book[name]["B1"].value for name in book.sheetnames[1:]} == {"userId"}


def test_a_sheet_that_is_just_full_has_no_empty_follower(jobs, totals):
    ledger = jobs.stage([{"remark": f"name {number}"} for number in range(8)])
    workbook.write(
        jobs.folder / "results.xlsx",
        info=ledger.info(),
        totals=totals(ledger, exit_code=None),
        entries=ledger.entries(),
        not_accepted=[],
        causes=read_not_accepted([], 0),
        most_rows=5,
    )
    assert openpyxl.load_workbook(jobs.folder / "results.xlsx").sheetnames[2:] == ["Results", "Results 2"]


def test_states_are_in_colour_and_the_summary_adds_up(jobs, run, totals):
    ledger = jobs.stage([{"remark": "a"}] * 3)
    run(ledger, {2: (State.ACCEPTED, 200, "accepted"), 3: (State.FAILED, 1002, "parameter missing or invalid")})
    write_reports(jobs.folder, ledger, totals(ledger), workbook=True)
    states = openpyxl.load_workbook(jobs.folder / "results.xlsx")["Results"]["E"][1:]
    assert [cell.value for cell in states] == ["accepted", "failed", "pending"]
    assert len({cell.fill.start_color.rgb for cell in states}) == 3
    lines = cells(jobs.folder, "Summary")
    assert lines[0][0] == "2 of 3 rows were not accepted."
    counts = {name: number for name, number, _ in lines[2:9]}
    assert counts.pop("rows") == sum(counts.values()) == 3
    assert counts["accepted"] == 1


def test_a_value_longer_than_a_cell_holds_is_cut_and_the_file_stays_whole(jobs, totals):
    ledger = jobs.stage([{"remark": "😀" * 20_000}, {"remark": "x" * 40_000}])
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=None), workbook=True)
    emoji, letters = [row[3] for row in cells(jobs.folder, "Results")[1:]]
    assert emoji == "😀" * (32_767 // 2)
    assert letters == "x" * 32_767


def test_a_workbook_that_is_there_is_never_older_than_the_other_reports(jobs, run, totals):
    ledger = jobs.stage([{"remark": "a"}])
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=None), workbook=True)
    run(ledger, {2: (State.ACCEPTED, 200, "accepted")}, exit_code=0)
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=0))
    assert cells(jobs.folder, "Summary")[0][0] == "The alias was accepted."
    assert json.loads((jobs.folder / "summary.json").read_text(encoding="utf-8"))["states"]["accepted"] == 1


def test_without_being_asked_for_there_is_no_workbook(jobs, totals):
    ledger = jobs.stage([{"remark": "a"}])
    written = write_reports(jobs.folder, ledger, totals(ledger, exit_code=None))
    assert "results.xlsx" not in {path.name for path in written}
    assert not (jobs.folder / "results.xlsx").exists()


@pytest.mark.parametrize("workbook_too", [True, False])
def test_nothing_but_reports_and_ledger_is_left_in_the_folder(jobs, totals, workbook_too):
    ledger = jobs.stage([{"remark": "a"}])
    before = {path.name for path in jobs.folder.iterdir()}
    written = write_reports(jobs.folder, ledger, totals(ledger, exit_code=None), workbook=workbook_too)
    assert {path.name for path in jobs.folder.iterdir()} - before == {path.name for path in written}
