"""Which alias cells are truly empty, so that ``--empty clear`` clears the alias, and which only show nothing."""

import csv
import io
import json
import re

import openpyxl
import pytest
import xlsxwriter
import xlwt
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.problems import ACCEPTABLE

HEADER = "userId,groupId,remark\n"
SHEET, STRINGS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
CLEARED = ("", "")
BLANK = ("", "blank-cell")


def outcomes(frame):
    """The alias and the reason of each row; the kept cell of a rejected one is not empty when it is run again."""
    for cells, reason in zip(frame["cells"], frame["reason"], strict=True):
        assert not reason or json.loads(cells)[2] != ""
    return list(zip(frame["remark"], frame["reason"], strict=True))


@pytest.mark.parametrize("field", ["", '""'])
def test_a_field_without_characters_clears_the_alias_only_with_the_flag(read, written, field):
    path = written(f"{HEADER}u1,g1,{field}\nu2,g2,b\n")
    assert read(path)["reason"].tolist() == ["empty-remark", ""]
    frame = read(path, empty="clear", strict=True)
    assert frame[["remark", "reason", "message", "warning"]].to_numpy().tolist() == [[""] * 4, ["b", "", "", ""]]


@pytest.mark.parametrize("empty", ["reject", "clear"])
@pytest.mark.parametrize(
    "field", [" ", '" "', "\u3000", "\xa0\t", '="" ', '"="""""', ' ""', '"" ', ' "" ', '"\n"', '"\x1c"', " \u2003 "]
)
def test_a_field_that_only_shows_nothing_is_rejected_whatever_is_accepted(read, written, field, empty):
    path = written(f"{HEADER}u1,g1,{field}\nu2,g2,b\n")
    assert outcomes(read(path, empty=empty, accept=ACCEPTABLE)) == [BLANK, ("b", "")]


def test_invisible_characters_are_an_alias_to_be_accepted_and_clear_none(read, written):
    path = written(f"{HEADER}u1,g1,\u200b\n")
    assert outcomes(read(path, empty="clear")) == [("\u200b", "invisible-remark")]
    assert outcomes(read(path, empty="clear", accept=ACCEPTABLE)) == [("\u200b", "")]


@given(
    values=st.lists(st.text(" \t\n\r\x1c\x85\xa0\u200b\u3000\ufeff='\"\\,a", max_size=4), min_size=1, max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_only_a_field_without_characters_is_ever_an_alias_to_clear(read, tmp_path_factory, values, quoting):
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting)
    writer.writerows([["userId", "groupId", "remark"], *((f"u{n}", "g1", value) for n, value in enumerate(values))])
    path = tmp_path_factory.mktemp("any") / "rows.csv"
    path.write_bytes(text.getvalue().encode("utf-8-sig"))
    frame = read(path, empty="clear", accept=ACCEPTABLE)
    cleared = frame[(frame["remark"] == "") & (frame["reason"] == "")]["user_id"].tolist()
    assert cleared == [f"u{n}" for n, value in enumerate(values) if not value]


def test_rows_that_are_no_data_stay_what_they_were(read, written):
    rows = ["u1,g1,", ",,", " , , ", "userId,groupId,remark", "u2,g2", ",g3,", "note,,"]
    frame = read(written(HEADER + "".join(f"{row}\n" for row in rows)), empty="clear")
    assert frame["number"].tolist() == [2, 5, 6, 7, 8]
    assert frame["reason"].tolist() == ["", "repeated-header", "too-few-fields", "empty-user-id", "empty-group-id"]


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ('{"userId": "u1", "groupId": "g1", "remark": ""}', CLEARED),
        ('{"userId": "u1", "groupId": "g1", "remark": null}', CLEARED),
        ('{"userId": "u1", "groupId": "g1"}', BLANK),
        ('{"userId": "u1", "groupId": "g1", "remark": "\\u0020"}', BLANK),
        ('{"userId": "u1", "groupId": "g1", "remark": []}', ("[]", "not-text")),
    ],
)
def test_in_json_lines_an_empty_text_and_null_clear_the_alias(read, written, line, outcome):
    path = written('{"userId": "u0", "groupId": "g0", "remark": "a"}\n' + line + "\n", "rows.jsonl")
    assert outcomes(read(path, empty="clear", accept=ACCEPTABLE))[1] == outcome


def test_in_parquet_an_empty_text_and_null_clear_the_alias(read, tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    far = pa.array([None, 0, None], pa.timestamp("us", "Mars/Olympus"))
    columns = [
        (pa.array(["", None, " "]), [CLEARED, CLEARED, BLANK]),
        (pa.nulls(3), [CLEARED] * 3),
        (
            far,
            [CLEARED, ("", "not-text"), CLEARED],
        ),
    ]
    for values, expected in columns:
        table = pa.table({"userId": ["u1", "u2", "u3"], "groupId": ["g"] * 3, "remark": values})
        parquet.write_table(table, tmp_path / "rows.parquet")
        assert outcomes(read(tmp_path / "rows.parquet", empty="clear", accept=ACCEPTABLE)) == expected


def test_in_a_workbook_no_cell_and_a_cell_without_a_value_clear_the_alias(read, tmp_path, workbook):
    with xlsxwriter.Workbook(tmp_path / "rows.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["userId", "groupId", "remark", "note"])
        for row in (1, 2, 3):
            sheet.write_row(row, 0, ["u1", "g1"])
        sheet.write_blank(2, 2, None, book.add_format({"num_format": "0000", "bold": True}))
        sheet.write_string(3, 3, "a note")
    assert outcomes(read(tmp_path / "rows.xlsx", empty="clear")) == [CLEARED] * 3
    old = workbook([["u1", "g1", None], ["u2", "g2"], ["u3", "g3", "c"]], name="rows.xls")
    assert outcomes(read(old, empty="clear")) == [CLEARED, CLEARED, ("c", "")]


NOTHING = [
    (STRINGS, b"<si><t>here</t></si>", b"<si><t/></si>"),
    (STRINGS, b"<t>here</t>", b"<t></t>"),
    (STRINGS, b"<t>here</t>", b'<t xml:space="preserve"></t>'),
    (STRINGS, b"<t>here</t>", b'<t xml:space="preserve"/>'),
    (STRINGS, b"<t>here</t>", b"<t />"),
    (STRINGS, b"<t>here</t>", b"<t> \n</t>"),
    (STRINGS, b"<t>here</t>", b'<t xml:space="preserve"> </t>'),
    (STRINGS, b"<si><t>here</t></si>", b"<si/>"),
    (STRINGS, b"<si><t>here</t></si>", b"<si><r><rPr><b/></rPr><t></t></r><r><t/></r></si>"),
    (SHEET, rb'<c r="C2" t="s"><v>\d</v></c>', b'<c r="C2" t="inlineStr"><is><t/></is></c>'),
    (SHEET, rb'<c r="C2" t="s"><v>\d</v></c>', b'<c r="C2" t="inlineStr"><is><t></t></is></c>'),
    (SHEET, rb'<c r="C2" t="s"><v>\d</v></c>', b'<c r="C2" t="inlineStr"><is/></c>'),
    (SHEET, rb'<c r="C2" t="s"><v>\d</v></c>', b'<c r="C2" t="str"><v></v></c>'),
    (SHEET, rb'<c r="C2" t="s"><v>\d</v></c>', b'<c r="C2" t="str"><f>A1&amp;""</f><v></v></c>'),
    (SHEET, rb'<c r="C2" t="s"><v>\d</v></c>', b'<c r="C2" t="str"><f t="shared" si="0"/><v/></c>'),
    (SHEET, rb'<c r="C2" t="s"><v>\d</v></c>', b'<c r="C2" t="str"><f>A1</f><v> </v></c>'),
]


@pytest.mark.parametrize(("part", "old", "new"), NOTHING)
def test_a_cell_with_a_text_of_nothing_is_not_empty(read, tmp_path, tampered, part, old, new):
    with xlsxwriter.Workbook(tmp_path / "rows.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["userId", "groupId", "remark", "note"])
        sheet.write_row(1, 0, ["u1", "g1", "here", "a"])
        sheet.write_row(2, 0, ["u2", "g2"])
        sheet.write_rich_string(3, 2, book.add_format({"bold": True}), "one", " two")
        sheet.write_row(3, 0, ["u3", "g3"])
        sheet.write_row(4, 2, ["here"])  # with nothing else in its row
        sheet.write_row(5, 0, ["u5", "g5", "e"])
    path = tampered(tmp_path / "rows.xlsx", part, lambda xml: re.sub(old, new, xml))
    frame = read(path, empty="clear", accept=ACCEPTABLE)
    assert outcomes(frame)[:3] == [BLANK, CLEARED, ("one two", "")]
    assert frame["number"].tolist() == ([2, 3, 4, 6] if part == STRINGS else [2, 3, 4, 5, 6])


def test_a_text_of_nothing_is_found_in_a_part_with_prefixes(read, tmp_path, tampered, workbook):
    path = workbook([["u1", "g1", "a"], ["u2", "g2", 5], ["u3", "g3", None]])

    def prefixed(xml: bytes) -> bytes:
        cell = b'<x:c r="C3" t="str"><x:f>A1</x:f><x:v></x:v></x:c>'
        xml = re.sub(rb"<(/?)(?=[a-zA-Z])", rb"<\1x:", xml).replace(b"xmlns=", b"xmlns:x=")
        return re.sub(rb'<x:c r="C3".*?</x:c>', cell, xml)

    changed = tampered(path, SHEET, prefixed)
    assert outcomes(read(changed, empty="clear")) == [("a", ""), BLANK, CLEARED]


def test_what_has_no_text_in_a_workbook_is_rejected_and_not_empty_when_it_is_run_again(read, workbook):
    rows = [["u1", "g1", "#N/A"], ["u2", "g2", "=A1"], ["u3", "g3", (5, ";;;")], ["u4", "g4", ("a", ";;;")]]
    reasons = [reason for _, reason in outcomes(read(workbook(rows), empty="clear"))]
    assert reasons == ["error-cell", "formula-without-value", "number-format", "number-format"]


@pytest.mark.parametrize("name", ["rows.xlsx", "rows.xls"])
def test_a_cell_that_a_merged_one_covers_is_not_empty(read, tmp_path, name):
    if name == "rows.xlsx":
        book = openpyxl.Workbook()
        sheet = book.worksheets[0]
        for row, values in enumerate([["userId", "groupId", "remark"], *([f"u{n}", "g"] for n in range(5))], start=3):
            for column, value in enumerate(values, start=2):
                sheet.cell(row, column, value)
        sheet.cell(4, 4, "a")
        sheet.merge_cells("D4:D6")
        sheet.merge_cells("D8:E8")
    else:
        book = xlwt.Workbook()
        sheet = book.add_sheet("Sheet")
        for row, values in enumerate([["userId", "groupId", "remark"], *([f"u{n}", "g"] for n in range(5))], start=2):
            for column, value in enumerate(values, start=1):
                sheet.write(row, column, value)
        sheet.write_merge(3, 5, 3, 3, "a")
        sheet.write_merge(7, 7, 3, 4, "")
    book.save(str(tmp_path / name))
    frame = read(tmp_path / name, empty="clear")
    assert frame["number"].tolist() == [4, 5, 6, 7, 8]
    assert outcomes(frame) == [("a", ""), BLANK, BLANK, CLEARED, BLANK]


def test_in_an_xls_the_empty_text_of_a_formula_is_not_empty(read, tmp_path):
    book = xlwt.Workbook()
    sheet = book.add_sheet("Sheet")
    for row, values in enumerate([["userId", "groupId", "remark"], ["u1", "g1"], ["u2", "g2", "b"]]):
        for column, value in enumerate(values):
            sheet.write(row, column, value)
    sheet.write(1, 2, xlwt.Formula('""'))  # written with an empty text as its result
    sheet.write(3, 2, xlwt.Formula('""'))
    book.save(str(tmp_path / "rows.xls"))
    assert outcomes(read(tmp_path / "rows.xls", empty="clear")) == [BLANK, ("b", "")]
