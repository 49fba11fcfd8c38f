"""The workbook, read back: it says what results.csv says, and every value is unchanged."""

import re
import shutil
import subprocess
from pathlib import Path

import openpyxl
import pytest
from openpyxl.utils.escape import unescape

from batch_alias.model import State
from batch_alias.reports import workbook
from batch_alias.reports.summary import summarize

OFFICE = shutil.which("soffice")
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
    # Spreadsheets undo the escapes of what XML cannot contain; openpyxl leaves that to its caller.
    return [
        [
            "" if cell.value is None else unescape(cell.value) if isinstance(cell.value, str) else cell.value
            for cell in row
        ]
        for row in book[sheet].iter_rows()
    ]


@pytest.fixture
def all_values(job):
    job.stage(*({"user_id": value, "group_id": value, "remark": value} for value in VALUES))
    job.run(dict.fromkeys(range(2, len(VALUES) + 2), (State.FAILED, 1002, "invalid")))
    job.write(xlsx=True)
    return job.folder


def test_every_value_comes_back_unchanged(all_values):
    for sheet in ("Results", "Not accepted"):
        assert [row[1:4] for row in cells(all_values, sheet)[1:]] == [[value] * 3 for value in VALUES]


def test_ids_and_aliases_are_text_cells_without_links(all_values):
    for sheet in openpyxl.load_workbook(all_values / "results.xlsx").worksheets[1:]:
        for row in sheet.iter_rows(min_row=2, min_col=2, max_col=4):
            assert {(cell.data_type, cell.number_format, cell.hyperlink) for cell in row} == {("s", "@", None)}
        assert sheet.column_dimensions["B"].width > 20


def test_the_results_sheet_has_the_cells_of_results_csv(job, read_csv):
    job.stage(
        {"remark": "a"},
        {"remark": "b"},
        {"user_id": "", "reason": "empty-user-id", "message": "Column 'userId' is empty."},
        {"user_id": "twice", "remark": "early"},
        {"user_id": "twice", "remark": "late"},
    )
    job.run({2: (State.ACCEPTED, 200, "accepted"), 3: (State.FAILED, 1002, "parameter missing or invalid")})
    job.write(xlsx=True)
    found = cells(job.folder, "Results")
    assert [[str(cell) for cell in row] for row in found] == read_csv("results.csv")
    assert {(type(row[0]), type(row[7])) for row in found[1:]} == {(int, int)}


def write_with_rows_of(job, most_rows):
    summary = summarize(job.ledger, exit_code=None, stopped="")
    workbook.write(job.folder / "results.xlsx", job.folder, job.ledger, summary, most_rows=most_rows)
    return openpyxl.load_workbook(job.folder / "results.xlsx")


def test_rows_beyond_the_limit_of_a_sheet_continue_on_the_next(job):
    job.stage(*({"remark": f"name {number}"} for number in range(10)))
    job.run(dict.fromkeys(range(2, 12), (State.FAILED, 1002, "invalid")))
    book = write_with_rows_of(job, 5)
    names = [*("Not accepted", "Not accepted 2", "Not accepted 3"), *("Results", "Results 2", "Results 3")]
    assert book.sheetnames == ["Summary", *names]
    shown = [row for name in names[3:] for row in cells(job.folder, name)[1:]]
    assert [row[3] for row in shown] == [f"name {number}" for number in range(10)]
    assert [book[name].auto_filter.ref for name in ("Results", "Results 3")] == ["A1:M5", "A1:M3"]
    assert {book[name].freeze_panes for name in names} == {"A2"}
    assert {book[name]["B1"].value for name in names} == {"userId"}


def test_a_full_sheet_is_not_followed_by_an_empty_one(job):
    job.stage(*({"remark": f"name {number}"} for number in range(8)))
    assert write_with_rows_of(job, 5).sheetnames[1:] == ["Results", "Results 2"]


def test_every_sheet_prints_in_landscape_on_the_width_of_a_page_with_its_header_on_each(job):
    job.stage({"remark": "a"}, {"remark": "b", "reason": "empty-user-id", "message": "Column 'userId' is empty."})
    job.write(xlsx=True)
    sheets = openpyxl.load_workbook(job.folder / "results.xlsx").worksheets
    assert [sheet.title for sheet in sheets] == ["Summary", "Not accepted", "Results"]
    for sheet in sheets:
        setup = sheet.page_setup
        assert (setup.orientation, setup.paperSize, setup.fitToWidth, setup.fitToHeight) == ("landscape", 9, None, 0)
        assert sheet.sheet_properties.pageSetUpPr.fitToPage
    assert [sheet.print_title_rows for sheet in sheets[1:]] == ["$1:$1", "$1:$1"]
    # All columns would be too small to read.
    assert sheets[2].print_area == "'Results'!$A$1:$J$3"


@pytest.mark.slow
@pytest.mark.skipif(OFFICE is None, reason="needs LibreOffice")
def test_five_hundred_rows_print_on_ten_pages(job, tmp_path):
    job.stage(*({"user_id": f"user{n}", "remark": f"产品经理 李雷 {n}"} for n in range(500)))
    job.run(dict.fromkeys(range(2, 502), (State.ACCEPTED, 200, "accepted")), exit_code=0)
    job.write(exit_code=0, xlsx=True)
    profile = (tmp_path / "profile").as_uri()
    flags = [f"-env:UserInstallation={profile}", "--headless", "--convert-to", "pdf", "--outdir", tmp_path]
    subprocess.run([OFFICE, *flags, job.folder / "results.xlsx"], capture_output=True, timeout=600, check=True)
    (pages,) = re.findall(rb"/Type\s*/Pages\b[^>]*/Count (\d+)", (tmp_path / "results.pdf").read_bytes(), re.DOTALL)
    assert 0 < int(pages) <= 10


def test_states_are_coloured(job):
    shown = [state for state in State if state not in {State.REJECTED, State.SUPERSEDED, State.PENDING}]
    job.stage(*({"remark": "a"} for _ in shown), {"user_id": "u2"}, {"reason": "bad"}, {"user_id": "last"})
    job.run({row: (state, None, "") for row, state in enumerate(shown[1:], 3)} | {7: (shown[0], None, "")})
    job.write(xlsx=True)
    states = openpyxl.load_workbook(job.folder / "results.xlsx")["Results"]["E"][1:]
    assert {cell.value for cell in states} == set(State)
    assert len({cell.fill.start_color.rgb for cell in states}) == len(State)


def test_the_summary_has_the_result_the_next_steps_and_counts_that_add_up(job):
    job.stage({"remark": "a"}, {"remark": "b"}, {"remark": "c"})
    argv = ["run", "names.xlsx", "--sandbox"]
    job.run({2: (State.ACCEPTED, 200, "accepted"), 3: (State.FAILED, 1002, "invalid")}, max_in_flight=512, argv=argv)
    job.write(xlsx=True)
    lines = cells(job.folder, "Summary")
    assert lines[0][0] == "1 of 3 rows was not accepted."
    texts = [text for _, _, text in lines]
    assert "Send 1 row not sent yet: the same command continues where it ended." in texts
    assert {"batch-alias run names.xlsx --sandbox", f"batch-alias retry {job.folder}"} <= set(texts)
    values = {name: (number, text) for name, number, text in lines}
    assert values["rows"][0] == sum(values[state][0] for state in State) == 3
    assert values["accepted"][0] == 1
    assert values["Sent with"][1] == "--rate 100 --max-in-flight 512"


def test_the_summary_has_what_was_read_first_and_read_back(job):
    job.stage({"remark": "a"}, {"remark": "b"})
    accepted = dict.fromkeys((2, 3), (State.ACCEPTED, 200, "accepted"))
    job.run(accepted, before={2: "", 3: "old"}, found={2: "a", 3: "other"})
    job.write(xlsx=True)
    values = {name: number for name, number, _ in cells(job.folder, "Summary") if number != ""}
    assert (values["Read first: set"], values["Read first: replace"], values["Read first: conflict"]) == (1, 1, 0)
    assert (values["Read back: as sent"], values["Read back: another alias"]) == (1, 1)


def test_a_value_longer_than_a_cell_can_hold_is_cut_off(job):
    job.stage({"remark": "😀" * 20_000}, {"remark": "x" * 40_000})
    job.write(exit_code=None, xlsx=True)
    emoji, letters = [row[3] for row in cells(job.folder, "Results")[1:]]
    assert emoji == "😀" * (32_767 // 2)
    assert letters == "x" * 32_767
