import datetime as dt
import json
import sys

import pytest
import xlwt

from batch_alias.sources import workbook_worker
from tests.support.processes import finish

HEADER = ["userId", "groupId", "remark"]


def output_of(path, *sheet):
    command = [sys.executable, "-P", workbook_worker.__file__, str(path), *sheet]
    return [json.loads(line) for line in finish(command).out.splitlines()]


KINDS = pytest.mark.parametrize("name", ["rows.xlsx", "rows.xls"])


def test_the_sheets_of_an_xls_are_listed(tmp_path):
    book = xlwt.Workbook()
    for visibility, name in enumerate(("a", "b", "c")):
        book.add_sheet(name).visibility = visibility
    book.save(str(tmp_path / "rows.xls"))
    assert output_of(tmp_path / "rows.xls") == [[["a", True], ["b", False], ["c", False]], None]


@KINDS
def test_rows_follow_the_number_of_empty_columns_before_them_and_the_hidden_rows(workbook, name):
    path = workbook([["u1", 12, dt.date(2024, 3, 1)]], at=(2, 3), name=name)
    (offset, hidden, *rows), end = output_of(path, "Sheet")
    assert (hidden, end) == ([], None)
    rows = [[""] * offset[0] + row for row in rows]
    assert rows[1:] == [["", "", *HEADER], ["", "", "u1", 12.0, {"time": "2024-03-01"}]]


def test_cells_of_an_xls_have_what_there_is_to_say_of_them(tmp_path):
    book = xlwt.Workbook()
    sheet = book.add_sheet("Sheet")
    codes = [*["General"] * 4, "0000", "@", "yyyy-mm-dd hh:mm", "hh:mm", "yyyy-mm-dd"]
    for column, value in enumerate(["a", True, 1.5, None, 12, 12, 45352.5, 0.5, 10.0**9]):
        sheet.write(0, column, value, xlwt.easyxf(num_format_str=codes[column]))
    sheet.row(0).set_cell_error(9, "#REF!")
    sheet.row(0).hidden = True
    book.save(str(tmp_path / "rows.xls"))
    [_, hidden, row], _ = output_of(tmp_path / "rows.xls", "Sheet")
    assert hidden == [1]
    assert row == [
        *("a", True, 1.5, ""),
        {"value": 12.0, "format": "0000"},
        12.0,
        {"time": "2024-03-01T12:00:00"},
        {"time": "12:00:00"},
        {"time": "1000000000.0"},
        {"flaw": "error-cell"},
    ]


@pytest.mark.slow
@KINDS
def test_many_rows_come_in_several_lists(workbook, name):
    rows = [["u1", "g1", "a"]] * (2 * workbook_worker.ROWS)
    *lists, end = output_of(workbook(rows, name=name), "Sheet")
    assert end is None
    assert [len(some) for some in lists] == [workbook_worker.ROWS, workbook_worker.ROWS, 3]


@pytest.mark.parametrize("content", [b"no workbook", b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])
def test_a_damaged_workbook_is_reported(written, content):
    [result] = output_of(written(content), "Sheet")
    assert result.keys() == {"damage", "kind"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit a process's memory")
def test_rows_that_take_too_much_memory_have_no_end(workbook, tampered):
    far = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    path = tampered(workbook([]), "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"</sheetData>", far))
    assert None not in output_of(path, "Sheet")
