import datetime as dt
import json
import sys

import pytest

from batch_alias.sources import calamine_worker
from tests.support.processes import finish


def output_of(path, *sheet):
    command = [sys.executable, "-P", calamine_worker.__file__, str(path), *sheet]
    return [json.loads(line) for line in finish(command).out.splitlines()]


def test_sheets_are_listed(workbook):
    assert output_of(workbook([])) == [[["Sheet", True]], None]


def test_rows_follow_the_number_of_empty_columns_before_them(workbook):
    path = workbook([["u1", 12, dt.date(2024, 3, 1)]], at=(2, 3))
    offset, rows, end = output_of(path, "Sheet")
    assert (offset, end) == ([[2]], None)
    assert rows[1:] == [["userId", "groupId", "remark"], ["u1", 12.0, {"time": "2024-03-01"}]]


def test_many_rows_come_in_several_lists(workbook):
    rows = [["u1", "g1", "a"]] * (2 * calamine_worker.ROWS)
    _, *lists, end = output_of(workbook(rows), "Sheet")
    assert end is None
    assert [len(some) for some in lists] == [calamine_worker.ROWS, calamine_worker.ROWS, 1]


def test_a_damaged_workbook_is_reported(written):
    [result] = output_of(written(b"no workbook"))
    assert result.keys() == {"damage"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit a process's memory")
def test_rows_that_take_too_much_memory_have_no_end(workbook, tampered):
    far = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    path = tampered(workbook([]), "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"</sheetData>", far))
    assert None not in output_of(path, "Sheet")
