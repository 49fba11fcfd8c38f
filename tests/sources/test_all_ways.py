"""The same table through every way in makes the same rows."""

import csv
import gzip
import io
import json
import random
import re
import zipfile

import openpyxl
import pytest
import xlsxwriter
import xlwt
from hypothesis import given, settings
from hypothesis import strategies as st
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P

HEADER = ["userId", "groupId", "remark"]

# What all of them can hold: no control characters (XML has none) and no white space (OpenDocument folds it).
ALIAS = st.text(
    st.one_of(
        st.sampled_from("王小明李思远张浩然欧阳陳怡君"),
        st.sampled_from("abcXYZ0189&+%=\"',;|\\<>#@/-_.é🐼"),
        st.characters(exclude_categories=["C", "Z"]),
    ),
    min_size=1,
    max_size=30,
)
NASTY_IDS = ["007", "1e5", "NA", "null", "TRUE", "1234567890123456789", "1.5E+10", "123.0", "１２", "u\u200b1", "a-b"]
IDS = st.one_of(st.text("abcxyzABC0123456789", min_size=1, max_size=20), st.sampled_from(NASTY_IDS))
TABLES = st.lists(st.tuples(IDS, IDS, ALIAS), min_size=1, max_size=6)


def as_text(rows, delimiter=",", line_end="\r\n", encoding="utf-8-sig"):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows([HEADER, *rows])
    return text.getvalue().encode(encoding)


def as_zip(rows):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("rows.csv", as_text(rows))
    return packed.getvalue()


def as_openpyxl(rows):
    book = openpyxl.Workbook()
    for y, row in enumerate([HEADER, *rows], start=1):
        for x, value in enumerate(row, start=1):
            # Excel, too, writes a literal "_x0041_" with its underscore escaped.
            book.worksheets[0].cell(y, x, re.sub("_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", value)).data_type = "s"
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


def as_xlsxwriter(rows):
    made = io.BytesIO()
    with xlsxwriter.Workbook(made) as book:
        sheet = book.add_worksheet()
        for y, row in enumerate([HEADER, *rows]):
            for x, value in enumerate(row):
                sheet.write_string(y, x, value)
    return made.getvalue()


def as_xls(rows):
    book = xlwt.Workbook(encoding="utf-8")
    sheet = book.add_sheet("Sheet1")
    for y, row in enumerate([HEADER, *rows]):
        for x, value in enumerate(row):
            sheet.write(y, x, value)
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


def as_ods(rows):
    document = OpenDocumentSpreadsheet()
    table = Table(name="Sheet1")
    for row in [HEADER, *rows]:
        line = TableRow()
        for value in row:
            cell = TableCell(valuetype="string")
            cell.addElement(P(text=value))
            line.addElement(cell)
        table.addElement(line)
    document.spreadsheet.addElement(table)
    made = io.BytesIO()
    document.write(made)
    return made.getvalue()


def as_objects(rows):
    return [dict(zip(HEADER, row, strict=True)) for row in rows]


def as_jsonl(rows, *, ascii_only):
    return "".join(json.dumps(item, ensure_ascii=ascii_only) + "\n" for item in as_objects(rows)).encode()


def as_parquet(rows):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    made = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(as_objects(rows)), made)
    return made.getvalue()


WAYS = {
    "tab": lambda rows: as_text(rows, "\t", "\n"),
    "semicolon and lone CR": lambda rows: as_text(rows, ";", "\r"),
    "pipe, UTF-16": lambda rows: as_text(rows, "|", encoding="utf-16"),
    "gzip": lambda rows: gzip.compress(as_text(rows)),
    "zip": as_zip,
    "openpyxl": as_openpyxl,
    "xlsxwriter": as_xlsxwriter,
    "xls": as_xls,
    "ods": as_ods,
    "JSON Lines": lambda rows: as_jsonl(rows, ascii_only=False),
    "JSON Lines, escaped": lambda rows: as_jsonl(rows, ascii_only=True),
    "Parquet": as_parquet,
}


def findings(frame):
    return frame[["user_id", "group_id", "remark", "reason", "message", "warning"]].to_numpy().tolist()


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=15, deadline=None)
@given(rows=TABLES)
def test_every_way_in_gives_the_same_rows_as_plain_csv(read, tmp_path_factory, way, rows):
    folder = tmp_path_factory.mktemp("ways")
    (folder / "plain.csv").write_bytes(as_text(rows))
    (folder / "other").write_bytes(WAYS[way](rows))
    plain = read(folder / "plain.csv")
    assert plain[["user_id", "group_id", "remark"]].to_numpy().tolist() == [list(row) for row in rows]
    assert findings(read(folder / "other")) == findings(plain)


def test_a_chinese_table_is_the_same_in_gb18030(read, written):
    names = ["王小明", "李思远", "张浩然", "欧阳娜娜", "🐼 测试"]
    rows = [(f"u{n}", "g1", random.Random(n).choice(names)) for n in range(50)]
    assert findings(read(written(as_text(rows, encoding="gb18030")))) == findings(read(written(as_text(rows), "b.csv")))
