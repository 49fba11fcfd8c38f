"""The same table is read alike from every format."""

import csv
import gzip
import io
import json
import random
import re

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

HEADER = ["userId", "groupId", "remark"]

# Characters that every format can hold: XML has no control characters.
ALIAS = st.text(
    st.one_of(
        st.sampled_from("王小明李思远张浩然欧阳陳怡君"),
        st.sampled_from("abcXYZ0189&+%=\"',;|\\<>#@/-_.é🐼"),
        st.characters(exclude_categories=["C", "Z"]),
    ),
    min_size=1,
    max_size=30,
).filter(
    lambda alias: not re.search(r'\\("|\Z)|\A="', alias)
)  # CSV rejects a quote after a backslash, and has ="…" for text
ODD_IDS = ["007", "1e5", "NA", "null", "TRUE", "1234567890123456789", "1.5E+10", "123.0", "１２", "u\u200b1", "a-b"]
IDS = st.one_of(st.text("abcxyzABC0123456789", min_size=1, max_size=20), st.sampled_from(ODD_IDS))
TABLES = st.lists(st.tuples(IDS, IDS, ALIAS), min_size=1, max_size=12)


def as_text(rows, delimiter=",", line_end="\r\n", encoding="utf-8-sig"):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows([HEADER, *rows])
    return text.getvalue().encode(encoding)


def as_xlsxwriter(rows):
    content = io.BytesIO()
    with xlsxwriter.Workbook(content) as book:
        sheet = book.add_worksheet()
        for y, row in enumerate([HEADER, *rows]):
            for x, value in enumerate(row):
                sheet.write_string(y, x, value)
    return content.getvalue()


def as_objects(rows):
    return [dict(zip(HEADER, row, strict=True)) for row in rows]


def as_json_lines(rows, *, ascii_only):
    return "".join(json.dumps(item, ensure_ascii=ascii_only) + "\n" for item in as_objects(rows)).encode()


def as_parquet(rows):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    content = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(as_objects(rows)), content)
    return content.getvalue()


FORMATS = {
    "tab": lambda rows: as_text(rows, "\t", "\n"),
    "semicolon and lone CR": lambda rows: as_text(rows, ";", "\r"),
    "pipe, UTF-16": lambda rows: as_text(rows, "|", encoding="utf-16"),
    "gzip": lambda rows: gzip.compress(as_text(rows)),
    "xlsxwriter": as_xlsxwriter,
    "JSON Lines": lambda rows: as_json_lines(rows, ascii_only=False),
    "JSON Lines, escaped": lambda rows: as_json_lines(rows, ascii_only=True),
    "Parquet": as_parquet,
}


def content_of(frame):
    return frame[["user_id", "group_id", "remark", "reason", "message", "warning"]].to_numpy().tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FORMATS, "openpyxl", "xls"])
@settings(max_examples=8)
@given(rows=TABLES)
def test_every_format_gives_the_same_rows_as_csv(read, workbook_bytes, tmp_path_factory, name, rows):
    formats = FORMATS | {
        # Excel, too, writes a literal "_x0041_" with its underscore escaped.
        "openpyxl": lambda rows: workbook_bytes[".xlsx"](
            [[re.sub("_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", value) for value in row] for row in rows], as_text=True
        ),
        "xls": workbook_bytes[".xls"],
    }
    folder = tmp_path_factory.mktemp("formats")
    (folder / "plain.csv").write_bytes(as_text(rows))
    (folder / "other").write_bytes(formats[name](rows))
    plain = read(folder / "plain.csv")
    assert plain[["user_id", "group_id", "remark"]].to_numpy().tolist() == [list(row) for row in rows]
    assert content_of(read(folder / "other")) == content_of(plain)


def test_a_chinese_table_is_the_same_in_gb18030(read, written):
    names = ["王小明", "李思远", "张浩然", "欧阳娜娜", "🐼 测试"]
    rows = [(f"u{n}", "g1", random.Random(n).choice(names)) for n in range(50)]
    in_gb18030 = written(as_text(rows, encoding="gb18030"))
    assert content_of(read(in_gb18030)) == content_of(read(written(as_text(rows), "b.csv")))
