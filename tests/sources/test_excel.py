import datetime as dt
import re
import sys

import openpyxl
import pytest
import xlsxwriter
import xlwt
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source, xlsx

HEADER = ["userId", "groupId", "remark"]
WRITABLE = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=70
).filter(lambda text: not text.startswith("="))
KINDS = pytest.mark.parametrize("name", ["rows.xlsx", "rows.xls"])
NUMBERED = {"no_header": True, "user_column": "1", "group_column": "2", "remark_column": "3"}
SHEET, STRINGS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"

READABLE = [
    ([12345, 10**13, 7], ["12345", "10000000000000", "7"]),
    ([12.0, 99_999_999_999_999, -3], ["12", "99999999999999", "-3"]),
    (["007", "1e5", "NA"], ["007", "1e5", "NA"]),
    (["u1", "g1", 1.5], ["u1", "g1", "1.5"]),
    (["u1", "g1", 0.1 + 0.2], ["u1", "g1", "0.3"]),
    (["u1", "g1", True], ["u1", "g1", "TRUE"]),
    (["u1", "g1", 123_456_789_012_345], ["u1", "g1", "123456789012345"]),
    (["u1", "g1", "two\nlines 🐼 & <b>"], ["u1", "g1", "two\nlines 🐼 & <b>"]),
]

REJECTED = [
    ([123_456_789_012_345, "g1", "a"], "number-too-long", "'userId' holds the number 123456789012345"),
    (["u1", 1.23457e15, "a"], "number-too-long", "'groupId' holds the number 1234570000000000"),
    (["u1", "g1", 12345678901234567890], "number-too-long", "'remark' holds the number 12345678901234600000"),
    (["u1", "g1", 1e-7], "number-format", "1e-07"),
    ([1.5, "g1", "a"], "decimal-in-id", "1.5"),
    ([True, "g1", "a"], "boolean-in-id", "TRUE"),
    (["u1", dt.datetime(2024, 3, 1), "a"], "date-in-id", "2024-03-01"),
    (["u1", "g1", dt.datetime(2024, 3, 1)], "date-in-remark", "2024-03-01"),
    (["u1", "g1", None], "empty-remark", "empty"),
]


@KINDS
def test_cells_become_the_text_that_is_shown(read, workbook, name):
    frame = read(workbook([row for row, _ in READABLE], name=name))
    assert frame[["user_id", "group_id", "remark"]].to_numpy().tolist() == [texts for _, texts in READABLE]
    assert (frame["reason"] == "").all()


@KINDS
def test_cells_whose_text_is_not_in_the_file_are_rejected(read, workbook, name):
    frame = read(workbook([["u0", "g0", "before"], *(row for row, _, _ in REJECTED), ["u2", "g2", "after"]], name=name))
    assert frame["number"].tolist() == list(range(2, len(REJECTED) + 4))
    assert frame["reason"].tolist() == ["", *(reason for _, reason, _ in REJECTED), ""]
    for (_, _, part), message, cells in zip(REJECTED, frame["message"][1:-1], frame["cells"][1:-1], strict=True):
        assert part in message
        assert cells.startswith("[")


@KINDS
def test_row_numbers_are_those_of_the_sheet_wherever_the_table_is(workbook, name):
    path = workbook([["u1", "g1", "a"], [None] * 3, ["u3", "g3", "c"]], name=name, at=(4, 3))
    with open_source(path, Reading()) as source:
        numbers = [int(number) for batch in source.batches() for number in batch["number"]]
        assert source.progress() == (path.stat().st_size, path.stat().st_size)
    assert numbers == [5, 7]
    assert source.blank_rows == 1
    assert source.description.startswith("workbook, sheet 'Sheet")


@pytest.mark.slow
@settings(max_examples=10)
@given(rows=st.lists(st.tuples(WRITABLE, WRITABLE, WRITABLE), min_size=1, max_size=20))
def test_text_cells_are_read_as_written_or_rejected(workbook_bytes, tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "rows.xlsx"
    path.write_bytes(workbook_bytes[".xlsx"](rows))
    with open_source(path, Reading()) as source:
        try:
            found = {row.number: row for batch in source.batches() for row in batch.itertuples()}
        except SourceError:
            found = {}
    for number, row in enumerate(rows, start=2):
        values = [value.strip() for value in row]
        if number not in found:
            assert not any(values)
        elif not found[number].reason:
            assert [found[number].user_id, found[number].group_id, found[number].remark] == values


@KINDS
def test_zeros_of_a_number_format_are_restored_with_a_warning(read, workbook, name):
    path = workbook([[(123, "000000"), (1234567, "000000"), "a"], [(7, "0"), "g1", (42, "0000")]], name=name)
    frame = read(path)
    assert frame[["user_id", "group_id", "remark"]].to_numpy().tolist() == [
        ["000123", "1234567", "a"],
        ["7", "g1", "0042"],
    ]
    assert frame["warning"].tolist() == ["zeros-restored", "zeros-restored"]
    assert read(path, strict=True)["reason"].tolist() == ["zeros-restored", "zeros-restored"]


@KINDS
def test_a_number_that_is_shown_in_another_way_is_rejected_unless_accepted(read, workbook, name):
    path = workbook([[(123, code), "g1", "a"] for code in ('"U"0', "000-0000", "0%", "#,##0", "0.00")], name=name)
    assert read(path)["reason"].tolist() == ["number-format"] * 5
    assert read(path, accept=("number-format",))["user_id"].tolist() == ["123"] * 5


@KINDS
def test_a_text_that_is_shown_in_another_way_is_rejected(read, workbook, name):
    path = workbook([["u1", "g1", ("王小明", '@"先生"')], ["u1", ("g1", "@"), ("a", "000000")]], name=name)
    assert read(path)["reason"].tolist() == ["number-format", ""]


def as_xlsx(path, cells):
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        for row, (number, code) in enumerate(cells, start=1):
            sheet.write_number(row, 0, number, book.add_format({"num_format": code}))
            sheet.write_row(row, 1, ["g1", "a"])


def as_xls(path, cells):
    book = xlwt.Workbook()
    sheet = book.add_sheet("Sheet")
    for row, (number, code) in enumerate([("userId", "@"), *cells]):
        style = xlwt.XFStyle()
        style.num_format_str = code
        sheet.write(row, 0, number, style)
        for column in (1, 2):
            sheet.write(row, column, f"g{row}" if row else HEADER[column])
    book.save(str(path))


# Formats that pad with zeros, by the number of digits; and formats that show more, or less, than the digits.
PADDING = {"General": 1, "@": 1, "0": 1, "0_ ": 1, "00": 2, "0000": 4, "00000000000": 11, "#00": 2, "[Red]000": 3}
PADDING |= {
    "[$-804]0000": 4,
    "_-0000": 4,
    "0000_);[Red]\\(0000\\)": 4,
    "[$-409]00000;@": 5,
    "* 000": 3,
    "0000;;0000": 4,
}
ODD = ['0000"号"', "\\A\\-0", "0%", "000-0000", "[>=1000]00000000;0", "[>=5]0000;0", "[DBNum1]0", "[DBNum2][$-804]0"]
ODD += [
    "[DBNum3]0",
    "#,##0",
    "0.00",
    "0.00E+00",
    "# ?/?",
    "¥#,##0",
    "[$€-2]0",
    "0;;;@"[1:],
    '"U"0',
    "0\\0",
    "yyyy-mm-dd",
]


@pytest.mark.slow
@pytest.mark.parametrize("write", [as_xlsx, as_xls])
@settings(max_examples=8)  # of many cells: each is a process
@given(
    cells=st.lists(st.tuples(st.integers(0, 10**14 - 1), st.sampled_from([*PADDING, *ODD])), min_size=1, max_size=60)
)
def test_a_number_is_read_as_its_format_shows_it_or_rejected(read, tmp_path_factory, write, cells):
    path = tmp_path_factory.mktemp("formats") / "rows"
    write(path, cells)
    for (number, code), user, reason in zip(cells, *(read(path)[name] for name in ("user_id", "reason")), strict=True):
        if code in PADDING:
            assert (user, reason) == (str(number).zfill(PADDING[code]), "")
        else:
            assert reason in {"number-format", "date-in-id"}, code


def test_an_id_of_15_digits_can_be_accepted_but_lost_digits_cannot(read, workbook):
    path = workbook([[123_456_789_012_345, "g1", "a"], [1_234_567_890_123_456, "g1", "b"]])
    rows = read(path, accept=("number-too-long",))
    assert rows["reason"].tolist() == ["", "number-too-long"]
    assert rows["user_id"][0] == "123456789012345"


def test_accepting_one_problem_of_a_row_does_not_accept_another(read, workbook):
    path = workbook([[(123, '"U"0'), True, "a"]])
    assert read(path, accept=("number-format",))["reason"].tolist() == ["boolean-in-id"]


def test_a_problem_found_in_the_cell_and_in_its_text_is_one_warning(read, workbook):
    rows = read(workbook([[1.5, "g1", "a"]]), accept=("decimal-in-id",))
    assert rows["warning"].tolist() == ["decimal-in-id,id-outside-letters-and-digits"]


def test_error_cells_are_rejected_and_a_row_of_them_is_not_blank(read, workbook):
    rows = read(workbook([["u1", "g1", "#N/A"], ["#REF!", "#N/A", "#DIV/0!"], ["u3", "g3", "a"]]))
    assert rows["reason"].tolist() == ["error-cell", "error-cell", ""]
    assert rows["number"].tolist() == [2, 3, 4]


@pytest.mark.parametrize("errors", [["#SPILL!", "#CALC!", "#BUSY!", "#GETTING_DATA"], ["#N/A"]])
def test_an_error_is_one_whatever_its_name(read, tmp_path, tampered, errors):
    with xlsxwriter.Workbook(tmp_path / "rows.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        sheet.write_row(1, 0, ["u1", "g1", "#SPILL!"])
        sheet.write_formula("A3", "=A1", None, "#NUM!")
        sheet.write_row(2, 1, ["g1", 5])
        for row in range(3, 3 + len(errors)):
            sheet.write_row(row, 0, ["u1", "g1"])
            sheet.write_formula(row, 2, "=A1:A9", None, "#N/A")

    def rename(xml: bytes) -> bytes:
        before, *after = xml.replace(b"<v>#NUM!</v>", b"").split(b"#N/A")
        return before + b"".join(error.encode() + rest for error, rest in zip(errors, after, strict=True))

    rows = read(tampered(tmp_path / "rows.xlsx", SHEET, rename))
    assert rows[["remark", "reason"]].to_numpy().tolist() == [
        ["#SPILL!", ""],
        ["5", "error-cell"],
        *[["", "error-cell"]] * len(errors),
    ]


def test_times_and_durations_are_not_ids(read, workbook):
    rows = read(workbook([[(dt.time(1, 2), "h:mm"), "g1", "a"], ["u1", (dt.timedelta(hours=30), "[h]:mm"), "b"]]))
    assert rows["reason"].tolist() == ["date-in-id", "date-in-id"]


def test_a_date_in_iso_8601_is_shown_in_another_way(read, workbook, tampered):
    date = b'<c r="C2" t="d"><v>2014-02-14T08:27:48.765Z</v></c>'
    path = tampered(workbook([["u1", "g1", 5]]), SHEET, lambda xml: re.sub(rb'<c r="C2".*?</c>', date, xml))
    assert read(path)["reason"].tolist() == ["number-format"]


def test_a_formula_has_its_stored_value_and_a_merged_cell_is_its_first(read, tmp_path):
    with xlsxwriter.Workbook(tmp_path / "rows.xlsx") as book:
        sheet = book.add_worksheet()
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


def test_a_formula_without_a_result_is_not_an_empty_cell(read, tmp_path, tampered):
    cases = [
        (b"<f>A1</f>", "formula-without-value"),
        (b"<f>A1</f><v></v>", "formula-without-value"),
        (b"<f>A1</f><v> </v>", "formula-without-value"),
        (b'<f t="shared" si="0"/><v/>', "formula-without-value"),
        (b"<f>A1</f><v>0</v>", "formula-without-value"),  # the workbook is to be calculated when it is opened
        (b"<f>A1</f><v>0.5</v>", ""),
        (b"<f>A1</f><v>7</v>", ""),
    ]
    with xlsxwriter.Workbook(tmp_path / "rows.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        for row in range(len(cases)):
            sheet.write_row(row + 1, 0, ["u1", "g1", 12340 + row])

    def calculate(xml: bytes) -> bytes:
        for row, (cell, _) in enumerate(cases):
            xml = xml.replace(b"<v>%d</v>" % (12340 + row), cell)
        return xml

    path = tampered(tmp_path / "rows.xlsx", SHEET, calculate)
    assert read(path)["reason"].tolist() == [reason for _, reason in cases]


@pytest.mark.parametrize(("attribute", "reason"), [(b"", "formula-without-value"), (b' t="str"', "blank-cell")])
def test_of_a_formula_at_the_end_an_empty_text_is_a_result_and_what_follows_the_table_is_none(
    read, tmp_path, tampered, attribute, reason
):
    with xlsxwriter.Workbook(tmp_path / "rows.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        sheet.write_row(1, 0, ["u1", "g1", 5])
        sheet.write_row(2, 0, ["u1", "g1"])
        sheet.write_formula(2, 2, '=""', None, "")
    extension = b'<extLst xmlns:xm="x"><xm:f>A1</xm:f><xm:v/></extLst></worksheet>'
    path = tampered(
        tmp_path / "rows.xlsx",
        SHEET,
        lambda xml: xml.replace(b"</worksheet>", extension).replace(b'r="C3"', b'r="C3"' + attribute),
    )
    assert read(path)["reason"].tolist() == ["", reason]


def test_rows_of_formulas_without_results_are_rows(read, tmp_path):
    book = openpyxl.Workbook()
    book.worksheets[0].append(HEADER)
    for row in (2, 3):
        book.worksheets[0].append([f'="u"&{row}', '="g"', "=A1"])
    book.save(tmp_path / "rows.xlsx")
    rows = read(tmp_path / "rows.xlsx")
    assert rows[["number", "reason"]].to_numpy().tolist() == [
        [2, "formula-without-value"],
        [3, "formula-without-value"],
    ]


@pytest.mark.parametrize(
    "cases",
    [
        [
            (b"_xD83D__xDE00_", "😀", ""),
            (b"a_x000d__xd83d__xde00_b_x4e2D_", "a\r😀b中", ""),
            (b"_x005F_xD83D__x005f_xDE00_", "_xD83D__xDE00_", ""),
            (b"_x005F__xD83D__xDE00__x005F_", "_😀_", ""),
            (b"_xD83D__xDE00", "", "surrogate-character"),
            (b"_xDE00__xD83D_", "", "surrogate-character"),
        ],
        [(b"_xD83D", "_xD83D", ""), (b"_x00411_", "_x00411_", "")],
    ],
    ids=["beyond U+00FF", "none beyond it"],  # a sheet without any is read as it is
)
@pytest.mark.parametrize("is_formula", [False, True])
def test_escaped_characters_are_decoded(read, tmp_path, tampered, cases, is_formula):
    with xlsxwriter.Workbook(tmp_path / "rows.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        for row in range(1, len(cases) + 1):
            sheet.write_row(row, 0, ["u1", "g1"])
            if is_formula:
                sheet.write_formula(row, 2, "=A1", None, f"here {row}")
            else:
                sheet.write_string(row, 2, f"here {row}")

    def escape(xml: bytes) -> bytes:
        for row, (escaped, _, _) in enumerate(cases, start=1):
            xml = xml.replace(b"here %d" % row, escaped)
        return xml

    rows = read(tampered(tmp_path / "rows.xlsx", SHEET if is_formula else STRINGS, escape))
    assert rows[["remark", "reason"]].to_numpy().tolist() == [[text, reason] for _, text, reason in cases]


@KINDS
def test_hidden_rows_are_sent_with_a_warning(read, tmp_path, name):
    rows = [HEADER, ["u1", "g1", "a"], ["u2", "g2", "b"], [], ["u4", "", "d"]]
    hidden = (2, 3, 4)
    if name == "rows.xlsx":
        with xlsxwriter.Workbook(tmp_path / name) as book:
            sheet = book.add_worksheet()
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
                sheet.set_row(number, None, None, {"hidden": number in hidden})
    else:
        book = xlwt.Workbook()
        sheet = book.add_sheet("Sheet")
        for number, row in enumerate(rows):
            for column, value in enumerate(row):
                sheet.write(number, column, value)
            sheet.row(number).hidden = number in hidden
        book.save(str(tmp_path / name))
    found = read(tmp_path / name)
    assert found["number"].tolist() == [2, 3, 5]
    assert found["warning"].tolist() == ["", "hidden-row", ""]
    assert read(tmp_path / name, strict=True)["reason"].tolist() == ["", "hidden-row", "hidden-row"]


@pytest.mark.slow
@pytest.mark.parametrize("touch", ["format", "empty text"])
def test_a_last_row_that_was_only_touched_is_no_row(tmp_path, touch):
    with xlsxwriter.Workbook(tmp_path / "rows.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        sheet.write_row(2, 0, ["u1", "g1", "a"])
        if touch == "format":
            sheet.write_blank(1_048_575, 16_383, None, book.add_format({"bold": True}))
        else:
            sheet.write_string(1_048_575, 2, "")
    with open_source(tmp_path / "rows.xlsx", Reading()) as source:
        assert [len(batch) for batch in source.batches()] == [1]
    assert source.blank_rows == 1


def test_phonetic_guides_are_not_part_of_a_text(read, tmp_path, tampered):
    with xlsxwriter.Workbook(tmp_path / "rows.xlsx") as book:
        sheet = book.add_worksheet()
        for y, row in enumerate([HEADER, ["u1", "g1", "田中"]]):
            sheet.write_row(y, 0, row)
    guide = "<t>田中</t><rPh sb='0' eb='2'><t>タナカ</t></rPh>".encode()
    path = tampered(tmp_path / "rows.xlsx", STRINGS, lambda xml: xml.replace("<t>田中</t>".encode(), guide))
    assert read(path)["remark"].tolist() == ["田中"]


def test_a_sheet_is_chosen_by_name(read, tmp_path):
    book = openpyxl.Workbook()
    book.worksheets[0].append(["notes"])
    data = book.create_sheet("数据")
    data.append(HEADER)
    data.append(["u1", "g1", "a"])
    book.save(tmp_path / "rows.xlsx")
    assert read(tmp_path / "rows.xlsx", sheet="数据")["remark"].tolist() == ["a"]
    with pytest.raises(SourceError, match="There is no sheet 'x'; the sheets are 'Sheet', '数据'"):
        read(tmp_path / "rows.xlsx", sheet="x")


def test_the_visible_sheet_with_the_columns_is_found(read, tmp_path):
    book = openpyxl.Workbook()
    book.worksheets[0].append(["how to fill this in"])
    for name, state, value in (("old", "hidden", "x"), ("veryold", "veryHidden", "y"), ("data", "visible", "a")):
        sheet = book.create_sheet(name)
        sheet.sheet_state = state
        sheet.append(HEADER)
        sheet.append(["u1", "g1", value])
    book.save(tmp_path / "rows.xlsx")
    assert read(tmp_path / "rows.xlsx")["remark"].tolist() == ["a"]
    assert read(tmp_path / "rows.xlsx", sheet="veryold")["remark"].tolist() == ["y"]
    book["old"].sheet_state = "visible"
    book.save(tmp_path / "rows.xlsx")
    with pytest.raises(
        SourceError, match=r"row 1 of sheet 'old' \(--sheet old\); row 1 of sheet 'data' \(--sheet data\)\."
    ):
        read(tmp_path / "rows.xlsx")


@pytest.mark.parametrize("letters", ["BCD", "234"])
def test_columns_are_those_of_the_sheet_wherever_the_table_is(read, tmp_path, letters):
    book = openpyxl.Workbook()
    for column, value in enumerate(["u1", "g1", "a"], start=2):
        book.worksheets[0].cell(3, column, value)
    book.save(tmp_path / "rows.xlsx")
    columns = zip(("user_column", "group_column", "remark_column"), letters, strict=True)
    rows = read(tmp_path / "rows.xlsx", no_header=True, **dict(columns))
    assert rows[["number", "user_id", "remark"]].to_numpy().tolist() == [[3, "u1", "a"]]


def test_an_xls_with_a_zip_archive_in_it_is_still_an_xls(read, workbook, workbook_bytes):
    path = workbook([["u1", "g1", "a"]], name="rows.xls")
    with path.open("ab") as file:  # Excel embeds the theme as one
        file.write(workbook_bytes[".xlsx"]([]))
    assert read(path)["remark"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("stream", "problem", "advice"),
    [
        ("EncryptedPackage", "protected by a password", "Save it without one"),
        ("WordDocument", "a Word document", "Name a file of rows"),
        ("PowerPoint Document", "a PowerPoint presentation", "Name a file of rows"),
    ],
)
def test_a_compound_file_without_a_workbook_is_refused_by_name(read, written, stream, problem, advice):
    envelope = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000) + stream.encode("utf-16-le") + bytes(1000)
    with pytest.raises(SourceError, match=problem) as refused:
        read(written(envelope, "rows.xlsx"))
    assert advice in refused.value.advice


def test_an_encrypted_xls_is_refused(read, workbook):
    path = workbook([["u1", "g1", "a"]], name="rows.xls")
    write_access, file_pass = b"\x5c\x00\x70\x00", b"\x2f\x00\x70\x00"  # types of records, with their size
    assert write_access in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(write_access, file_pass, 1))
    with pytest.raises(SourceError, match="protected by a password"):
        read(path)


def test_a_workbook_without_rows_is_refused(read, workbook, tmp_path):
    with pytest.raises(SourceError, match="has a header but no rows"):
        read(workbook([]))
    openpyxl.Workbook().save(tmp_path / "empty.xlsx")
    with pytest.raises(SourceError, match=r"The sheet 'Sheet' of empty\.xlsx is empty"):
        read(tmp_path / "empty.xlsx")


@pytest.mark.parametrize("reading", [{}, NUMBERED])
def test_a_sheet_without_cells_is_refused(read, workbook, tampered, reading):
    path = tampered(workbook([]), SHEET, lambda xml: re.sub(rb"<row.*</row>", b"", xml))
    with pytest.raises(SourceError, match=r"The sheet 'Sheet' of tampered\.xlsx is empty"):
        read(path, **reading)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit a process's memory")
def test_a_workbook_that_takes_too_much_memory_is_an_error(monkeypatch, read, workbook, tampered):
    monkeypatch.setattr(xlsx, "MOST_CELLS", 2**60)
    far = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    path = tampered(workbook([]), SHEET, lambda xml: xml.replace(b"</sheetData>", far))
    with pytest.raises(SourceError, match="it takes more memory or time than any workbook should"):
        read(path)
