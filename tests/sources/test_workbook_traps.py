"""What calamine does not say, and files that were made to hurt."""

import datetime as dt
import re
import zipfile
from contextlib import suppress

import openpyxl
import pytest
import xlsxwriter
import xlwt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source
from batch_alias.sources.formats import AS_IS, Shown, shown

HEADER = ["userId", "groupId", "remark"]
LONG = frozenset({"number-too-long"})
SHEET, END = "xl/worksheets/sheet1.xml", b"</sheetData>"
FAR_CELL = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
NO_CELL = b'<row r="9"><c r="ZZZZZ9"><v>1</v></c></row></sheetData>'
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.fixture
def book(tmp_path):
    """Make an .xlsx of rows; a value may be a pair of value and number format."""

    def make(*rows, name="rows.xlsx"):
        made = openpyxl.Workbook()
        for y, row in enumerate([HEADER, *rows], start=1):
            for x, value in enumerate(row, start=1):
                value, code = value if isinstance(value, tuple) else (value, "General")
                made.worksheets[0].cell(y, x, value).number_format = code
        made.save(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def tampered(tmp_path):
    """Copy a zip with one part changed."""

    def change(path, part, edit):
        made = tmp_path / "tampered.xlsx"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                content = old.read(name)
                new.writestr(name, edit(content) if name == part else content)
        return made

    return change


def with_shared_strings(path, *rows):
    with xlsxwriter.Workbook(path) as made:
        sheet = made.add_worksheet()
        for y, row in enumerate([HEADER, *rows]):
            sheet.write_row(y, 0, row)
    return path


def open_document(path, rows, repeat_rows=1, repeat_columns=1):
    made = OpenDocumentSpreadsheet()
    table = Table(name="Sheet1")
    for row in rows:
        line = TableRow(numberrowsrepeated=repeat_rows if row is rows[-1] else 1)
        for value in row:
            kind = {"valuetype": "float", "value": str(value)} if isinstance(value, float) else {"valuetype": "string"}
            cell = TableCell(numbercolumnsrepeated=repeat_columns if row is rows[-1] else 1, **kind)
            cell.addElement(P(text=str(value)))
            line.addElement(cell)
        table.addElement(line)
    made.spreadsheet.addElement(table)
    made.save(str(path))
    return path


@pytest.mark.parametrize(
    ("code", "style"),
    [
        ("General", AS_IS),
        ("0", AS_IS),
        ("@", AS_IS),
        ("#,##0", AS_IS),
        ("0_ ", AS_IS),
        ("0.00", AS_IS),
        ("0.00E+00", AS_IS),
        ("000000", Shown(width=6)),
        ("00000_ ;[Red]-00000", Shown(width=5)),
        ("[$-804]00000", Shown(width=5)),
        ('"U"0', Shown(otherwise=True)),
        ("000-0000", Shown(otherwise=True)),
        ("0%", Shown(otherwise=True)),
        ("¥#,##0", Shown(otherwise=True)),
        ("yyyy-mm-dd", Shown(otherwise=True)),
    ],
)
def test_number_formats_are_understood_as_far_as_ids_need_it(code, style):
    assert shown(code) == style


def test_zeros_that_a_format_shows_are_restored_and_the_row_is_marked(read, book):
    rows = read(book([(123, "000000"), (1234567, "000000"), "a"], [(7, "0"), "g1", (42, "0000")]))
    assert rows[["user_id", "group_id", "remark"]].to_numpy().tolist() == [
        ["000123", "1234567", "a"],
        ["7", "g1", "0042"],
    ]
    assert rows["warning"].tolist() == ["zeros-restored", "zeros-restored"]
    assert read(book([(123, "000000"), "g1", "a"]), strict=True)["reason"].tolist() == ["zeros-restored"]


@pytest.mark.parametrize("code", ['"U"0', "000-0000", "0%"])
def test_a_number_shown_in_another_way_is_rejected_unless_let_through(read, book, code):
    path = book([(123, code), "g1", "a"])
    assert read(path)["reason"].tolist() == ["number-format"]
    assert read(path, accept=frozenset({"number-format"}))["user_id"].tolist() == ["123"]


def test_an_id_of_15_digits_can_be_let_through_but_lost_digits_cannot(read, book):
    rows = read(book([123_456_789_012_345, "g1", "a"], [1_234_567_890_123_456, "g1", "b"]), accept=LONG)
    assert rows["reason"].tolist() == ["", "number-too-long"]
    assert rows["user_id"][0] == "123456789012345"


def test_letting_one_flaw_through_does_not_let_another_through(read, book):
    path = book([(123, '"U"0'), True, "a"])
    assert read(path, accept=frozenset({"number-format"}))["reason"].tolist() == ["boolean-in-id"]


def test_error_cells_are_rejected_and_even_a_row_of_them_is_no_blank_row(read, book):
    rows = read(book(["u1", "g1", "#N/A"], ["#REF!", "#N/A", "#DIV/0!"], ["u3", "g3", "a"]))
    assert rows["reason"].tolist() == ["error-cell", "error-cell", ""]
    assert rows["number"].tolist() == [2, 3, 4]


def test_formulas_count_by_their_stored_values_and_merged_cells_by_their_first(read, tmp_path):
    with xlsxwriter.Workbook(tmp_path / "rows.xlsx") as made:
        sheet = made.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        sheet.write_formula("A2", '="u"&1', None, "u1")
        sheet.write_formula("B2", "=12", None, 12)
        sheet.write_formula("C2", "=NA()", None, "#N/A")
        sheet.merge_range("A3:A4", "u3")
        for row in (2, 3):
            sheet.write_row(row, 1, ["g3", "c"])
    rows = read(tmp_path / "rows.xlsx")
    assert rows["user_id"].tolist() == ["u1", "u3", ""]
    assert rows["group_id"].tolist() == ["12", "g3", "g3"]
    assert rows["reason"].tolist() == ["error-cell", "", "empty-user-id"]


def test_phonetic_guides_are_no_part_of_a_text(read, tmp_path, tampered):
    path = with_shared_strings(tmp_path / "rows.xlsx", ["u1", "g1", "田中"])
    guide = "<t>田中</t><rPh sb='0' eb='2'><t>タナカ</t></rPh>".encode()
    tampered_path = tampered(path, "xl/sharedStrings.xml", lambda xml: xml.replace("<t>田中</t>".encode(), guide))
    assert read(tampered_path)["remark"].tolist() == ["田中"]


def test_the_sheet_that_has_the_columns_is_found_and_hidden_ones_are_left_alone(read, tmp_path):
    made = openpyxl.Workbook()
    made.worksheets[0].append(["how to fill this in"])
    for name, state, value in (("old", "hidden", "x"), ("veryold", "veryHidden", "y"), ("data", "visible", "a")):
        sheet = made.create_sheet(name)
        sheet.sheet_state = state
        sheet.append(HEADER)
        sheet.append(["u1", "g1", value])
    made.save(tmp_path / "rows.xlsx")
    assert read(tmp_path / "rows.xlsx")["remark"].tolist() == ["a"]
    assert read(tmp_path / "rows.xlsx", sheet="veryold")["remark"].tolist() == ["y"]
    made["old"].sheet_state = "visible"
    made.save(tmp_path / "rows.xlsx")
    with pytest.raises(SourceError, match="Several sheets have the columns: 'old', 'data'"):
        read(tmp_path / "rows.xlsx")


def test_a_workbook_without_a_header_is_read_by_number(read, tmp_path):
    made = openpyxl.Workbook()
    made.worksheets[0].cell(3, 2, "u1")
    made.worksheets[0].cell(3, 3, "g1")
    made.worksheets[0].cell(3, 4, "a")
    made.save(tmp_path / "rows.xlsx")
    columns = {"user_column": "1", "group_column": "2", "remark_column": "3"}
    rows = read(tmp_path / "rows.xlsx", header=False, **columns)
    assert rows[["number", "user_id", "remark"]].to_numpy().tolist() == [[3, "u1", "a"]]


@pytest.mark.parametrize("claim", [b"A1", b"A1:XFD1048576", b"B2:B2"])
def test_a_declared_size_that_lies_is_not_believed(read, book, tampered, claim):
    path = book(["u1", "g1", "a"])
    lying = tampered(path, SHEET, lambda xml: re.sub(rb'(<dimension ref=)"[^"]*"', rb'\1"%s"' % claim, xml))
    assert read(lying)["remark"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("part", "old", "new", "says"),
    [
        (SHEET, END, FAR_CELL, "too many cells"),
        (SHEET, END, NO_CELL, "there is no column"),
        (SHEET, END, b"", "is not a workbook"),
        (SHEET, b"<worksheet", LAUGHS + b"<worksheet", "document type"),
        ("xl/workbook.xml", b"<workbook ", LAUGHS + b"<workbook ", "document type"),
        ("xl/workbook.xml", b"rId1", b"rId99", "is not a workbook"),
        (SHEET, END, b" " * 2**27 + END, "far more than a table"),
        ("xl/sharedStrings.xml", b"</sst>", b"<si><t>" + b"x" * 2**27 + b"</t></si></sst>", "far more than a table"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_workbook_made_to_hurt_is_an_error_in_one_sentence(read, tmp_path, tampered, part, old, new, says):
    path = with_shared_strings(tmp_path / "rows.xlsx", ["u1", "g1", "a"])
    with zipfile.ZipFile(path) as archive:
        assert old in archive.read(part)
    with pytest.raises(SourceError, match=says):
        read(tampered(path, part, lambda content: content.replace(old, new, 1)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods"])
def test_no_scratch_in_a_workbook_gives_a_traceback(book, tmp_path, kind, data):
    path = tmp_path / f"whole.{kind}"
    if not path.exists():
        if kind == "xlsx":
            book(["u1", "g1", (12, "000000")]).rename(path)
        elif kind == "ods":
            open_document(path, [HEADER, ["u1", "g1", "a"]])
        else:
            old = xlwt.Workbook()
            sheet = old.add_sheet("S")
            for y, row in enumerate([HEADER, ["u1", "g1", 12]]):
                for x, value in enumerate(row):
                    sheet.write(y, x, value)
            old.save(str(path))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    scratched = tmp_path / f"scratched.{kind}"
    scratched.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    with suppress(SourceError), open_source(scratched, Reading()) as source:
        for batch in source.batches():
            assert len(batch)


def test_an_encrypted_workbook_is_said_to_be_one(read, written):
    envelope = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000) + "EncryptedPackage".encode("utf-16-le") + bytes(1000)
    with pytest.raises(SourceError, match="protected by a password"):
        read(written(envelope, "rows.xlsx"))


@pytest.mark.parametrize(("code", "reason"), [("000000", "number-format"), ("0", ""), ("0.00", "")])
def test_in_an_old_workbook_numbers_are_not_trusted_once_a_format_pads(read, tmp_path, code, reason):
    made = xlwt.Workbook()
    sheet = made.add_sheet("S")
    for place, name in enumerate(HEADER):
        sheet.write(0, place, name)
    sheet.write(1, 0, 123, xlwt.easyxf(num_format_str=code))
    sheet.write(1, 1, "g1")
    sheet.write(1, 2, 5)
    made.save(str(tmp_path / "rows.xls"))
    assert read(tmp_path / "rows.xls")["reason"].tolist() == [reason]


def test_an_open_document_is_read(read, tmp_path):
    path = open_document(
        tmp_path / "rows.ods", [HEADER, [123.0, "g1", "王小明 🐼"], ["u2", 1.5, "b"], ["u3", "#N/A", "c"]]
    )
    rows = read(path)
    assert rows["user_id"].tolist() == ["123", "u2", "u3"]
    assert rows["reason"].tolist() == ["", "decimal-in-id", "error-value-in-id"]
    assert rows["remark"].tolist() == ["王小明 🐼", "b", "c"]


@pytest.mark.parametrize(
    "repeats", [{"repeat_rows": 1_048_576, "repeat_columns": 5000}, {"repeat_columns": 100_000_000}]
)
def test_an_open_document_that_repeats_its_cells_beyond_measure_is_refused(read, tmp_path, repeats):
    with pytest.raises(SourceError, match="more than can be held"):
        read(open_document(tmp_path / "rows.ods", [HEADER, ["u1", "g1", "a"]], **repeats))


def test_a_time_is_no_id(read, book):
    rows = read(book([(dt.time(1, 2), "h:mm"), "g1", "a"], ["u1", (dt.timedelta(hours=30), "[h]:mm"), "b"]))
    assert rows["reason"].tolist() == ["date-in-id", "date-in-id"]
