import datetime as dt
import re
import sys

import pytest

from batch_alias.errors import SourceError
from batch_alias.sources.calamine_sheet import Sheet, list_sheets
from batch_alias.sources.cells import DateOrTime


def test_sheets_and_rows_are_read_by_another_process(workbook):
    path = workbook([["u1", 12, dt.date(2024, 3, 1)]], at=(2, 3))
    assert list_sheets(path) == [("Sheet", True)]
    sheet = Sheet(path, "Sheet", no_header=False)
    assert (sheet.header, sheet.row, sheet.offset) == (("userId", "groupId", "remark"), 2, 2)
    assert list(sheet.rows) == [["u1", 12.0, DateOrTime("2024-03-01")]]
    sheet.close()


@pytest.mark.parametrize("no_header", [True, False])
def test_an_empty_sheet_has_no_header(workbook, tampered, no_header):
    empty = tampered(workbook([]), "xl/worksheets/sheet1.xml", lambda xml: re.sub(rb"<row.*</row>", b"", xml))
    sheet = Sheet(empty, "Sheet", no_header=no_header)
    assert sheet.header == ()
    sheet.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit a process's memory")
def test_a_workbook_that_takes_too_much_memory_is_an_error(workbook, tampered):
    far = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    path = tampered(workbook([]), "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"</sheetData>", far))
    with pytest.raises(SourceError, match="it takes more memory or time than any workbook should"):
        Sheet(path, "Sheet", no_header=False)
