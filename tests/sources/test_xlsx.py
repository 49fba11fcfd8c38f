"""Workbooks that are damaged, or made to do harm, and what is read of their styles."""

import re
import zipfile
from contextlib import suppress

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source, xlsx
from batch_alias.sources.cells import Flaw, parse_format
from batch_alias.sources.xlsx import Package

SHEET, STRINGS, END = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", b"</sheetData>"
FAR_CELL = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
ENTITIES = b'<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.fixture
def shared(tmp_path):
    """A workbook with a part for its strings, as Excel writes it."""
    path = tmp_path / "rows.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        for y, row in enumerate([["userId", "groupId", "remark"], ["u1", "g1", "a"]]):
            sheet.write_row(y, 0, row)
    return path


def test_error_cells_and_formatted_values_are_found(workbook):
    path = workbook([[(12, "000000"), "#N/A", 7], [("u2", "@"), ("g2", '"g"@'), (1, "0%")]], at=(3, 2))
    scan = Package(path).scan("Sheet")
    assert (scan.rows, scan.columns) == (5, 4)
    assert list(scan) == [
        (3, 1, parse_format("000000")),
        (3, 2, Flaw.ERROR),
        (4, 2, parse_format('"g"@')),
        (4, 3, parse_format("0%")),
    ]


def test_cells_and_rows_without_references_are_counted(shared, tampered):
    bare = tampered(shared, SHEET, lambda xml: re.sub(rb'<(row|c) r="[A-Z0-9]+"', rb"<\1", xml))
    scan = Package(bare).scan("Sheet1")
    assert (scan.rows, scan.columns) == (2, 3)


def test_a_row_without_a_number_has_that_of_its_cells(read, shared, tampered):
    path = tampered(shared, SHEET, lambda xml: re.sub(rb'<row r="2"', b"<row", xml).replace(b'2"', b'7"'))
    assert Package(path).scan("Sheet1").rows == 7
    assert read(path)["number"].tolist() == [7]


def test_sheets_and_whether_they_are_visible(tmp_path):
    with xlsxwriter.Workbook(tmp_path / "rows.xlsx") as book:
        for name in ("a", "b", "c"):
            book.add_worksheet(name)
        chart = book.add_chart({"type": "line"})
        chart.add_series({"values": "=a!$A$1:$A$2"})
        book.add_chartsheet("chart").set_chart(chart)
        book.worksheets()[1].hide()
        book.worksheets()[2].very_hidden()
    assert Package(tmp_path / "rows.xlsx").sheets == [("a", True), ("b", False), ("c", False)]


@pytest.mark.parametrize("claim", [b"A1", b"A1:XFD1048576", b"B2:B2"])
def test_the_declared_size_of_a_sheet_is_not_used(read, shared, tampered, claim):
    path = tampered(shared, SHEET, lambda xml: re.sub(rb'(<dimension ref=)"[^"]*"', rb'\1"%s"' % claim, xml))
    assert read(path)["remark"].tolist() == ["a"]


def test_a_style_that_is_not_in_the_workbook_formats_nothing(read, workbook, tampered):
    styles = [b"", b"7", b"-1", b"-9", b"99999999999"]

    def style(xml: bytes) -> bytes:
        for row, number in enumerate(styles, start=2):
            xml = xml.replace(b'<c r="C%d"' % row, b'<c r="C%d" s="%s"' % (row, number))
        return xml

    path = tampered(workbook([["u1", "g1", 5]] * len(styles)), SHEET, style)
    assert read(path)[["remark", "reason", "warning"]].to_numpy().tolist() == [["5", "", ""]] * len(styles)


@pytest.mark.parametrize(
    ("part", "old", "new", "message"),
    [
        (SHEET, END, FAR_CELL, r"The sheet 'Sheet1' reaches to row 1,048,576 and column 16,384: too many cells"),
        (SHEET, END, b'<row r="9"><c r="ZZZZZ9"/></row></sheetData>', "there is no column 'ZZZZZ'"),
        (SHEET, END, b'<row r="9"><c r="A1048577"/></row></sheetData>', "there is no row 1048577"),
        (SHEET, END, b'<c r="C2"/></sheetData>', "The cell C2 occurs twice in the sheet, or not in its place"),
        (SHEET, END, b'<row r="9"><c r="C9"/><c r="B9"/></row></sheetData>', "The cell B9 occurs twice"),
        (SHEET, END, b'<row r="9"><c r="A1"/></row></sheetData>', "The row 1 occurs twice"),
        (SHEET, END, b'<row r="2"/></sheetData>', "The row 2 occurs twice"),
        (SHEET, END, b"", "is not a workbook"),
        (SHEET, b"<worksheet", ENTITIES + b"<worksheet", "document type"),
        ("xl/workbook.xml", b"<workbook ", ENTITIES + b"<workbook ", "document type"),
        ("xl/workbook.xml", b"rId1", b"rId99", "is not a workbook"),
        ("_rels/.rels", b"officeDocument", b"other", "it names no workbook"),
        (SHEET, END, b" " * 2**20 + END, "far more than a table"),
        (STRINGS, b"</sst>", b"<si><t>" + b"x" * 2**20 + b"</t></si></sst>", "far more than a table"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_workbook_made_to_do_harm_is_an_error(monkeypatch, shared, tampered, part, old, new, message):
    monkeypatch.setattr(xlsx, "BOMB_BYTES", 2**16)
    with zipfile.ZipFile(shared) as archive:
        content = archive.read(part)
    assert old in content
    changed = tampered(shared, part, lambda content: content.replace(old, new))
    with pytest.raises(SourceError, match=message):
        Package(changed).scan("Sheet1")


def test_such_a_workbook_is_refused_when_it_is_opened(read, shared, tampered):
    with pytest.raises(SourceError, match="too many cells"):
        read(tampered(shared, SHEET, lambda content: content.replace(END, FAR_CELL)))


def test_a_part_that_is_longer_than_declared_is_an_error(shared, written):
    content = bytearray(shared.read_bytes())
    with zipfile.ZipFile(shared) as archive:
        part = archive.getinfo(STRINGS)
    entry = content.rindex(STRINGS.encode()) - 46  # its entry in the central directory; the size is at 24
    content[entry + 24 : entry + 28] = (part.file_size - 1).to_bytes(4, "little")
    with pytest.raises(SourceError, match="is not a workbook"):
        Package(written(bytes(content), "rows.xlsx")).scan("Sheet1")


def test_a_damaged_workbook_is_an_error(read, workbook, written):
    whole = workbook([["u1", "g1", "a"]]).read_bytes()
    old = workbook([["u1", "g1", "a"]], name="rows.xls").read_bytes()
    for content in (whole[:2000], whole[:-30], old[:3000], b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000)):
        with pytest.raises(SourceError, match="is not a workbook that can be read"):
            read(written(content, "rows.xlsx"))


@pytest.fixture(scope="module", params=[".xlsx", ".xls"])
def intact(request, workbook_bytes):
    return workbook_bytes[request.param]([["u1", "g1", (12, "000000")]])


@pytest.mark.slow
@settings(max_examples=20)
@given(data=st.data())
def test_no_damage_to_a_workbook_is_a_crash(intact, tmp_path_factory, data):
    content = bytearray(intact)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("any") / "rows.xlsx"
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    with suppress(SourceError), open_source(path, Reading()) as source:
        for batch in source.batches():
            assert len(batch)
