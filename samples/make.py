"""Write the workbook and the gallery from ``nicknames.csv``: ``python samples/make.py`` (needs the dev extras).

The gallery has the same twenty rows in many formats, and ids that spreadsheets have damaged.
"""

import csv
import datetime
import gzip
import io
import json
from pathlib import Path

import openpyxl
import pyarrow
import xlwt
from pyarrow import parquet

HERE = Path(__file__).parent
GALLERY = HERE / "gallery"
Rows = list[list[str]]


def main() -> None:
    """Write every file."""
    with (HERE / "nicknames.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    GALLERY.mkdir(exist_ok=True)
    workbook(rows).save(HERE / "nicknames.xlsx")
    rows = rows[:21]
    texts(rows)
    workbooks(rows)
    office(rows)
    others(rows)
    damaged_ids()


def delimited(rows: Rows, delimiter: str = ",", line_end: str = "\r\n") -> str:
    """The rows as delimited text."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=line_end).writerows(rows)
    return text.getvalue()


def texts(rows: Rows) -> None:
    """Delimited text as Excel, databases and people write it."""
    chinese = [["用户ID", "群组ID", "群昵称"], *rows[1:]]
    written = {
        "excel-chinese-gb18030.csv": delimited(chinese).encode("gb18030"),
        "excel-unicode-utf16.txt": delimited(rows, "\t").encode("utf-16"),
        "excel-utf8-mark.csv": delimited(rows).encode("utf-8-sig"),
        "excel-sep-semicolon.csv": ("sep=;\r\n" + delimited(rows, ";")).encode("utf-8-sig"),
        "database-tab-utf8.tsv": delimited(rows, "\t", "\n").encode(),
        "old-mac-pipe-cr.csv": delimited(rows, "|", "\r").encode(),
        "no-header.csv": delimited(rows[1:]).encode(),
        "more-columns.csv": delimited([["no", *chinese[0], "部门"], *(["1", *row, "x"] for row in rows[1:])]).encode(),
    }
    for name, content in written.items():
        (GALLERY / name).write_bytes(content)


def workbook(rows: Rows) -> openpyxl.Workbook:
    """The rows as an Excel workbook, every cell as text."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "nicknames"
    for number, row in enumerate(rows, start=1):
        for place, value in enumerate(row, start=1):
            cell = sheet.cell(number, place, value)
            cell.data_type = "s"  # "=老板" is an alias, not a formula
            cell.number_format = "@"
    return book


def workbooks(rows: Rows) -> None:
    """Workbooks of several programs and times."""
    book = workbook(rows)
    book.worksheets[0].insert_rows(1, 3)
    book.worksheets[0].insert_cols(1, 2)
    book.create_sheet("说明", 0).append(["请勿修改表头"])
    hidden = book.create_sheet("旧数据")
    hidden.sheet_state = "hidden"
    for row in (rows[0], ["old", "old", "old"]):
        hidden.append(row)
    book.save(GALLERY / "excel-several-sheets.xlsx")

    old = xlwt.Workbook()
    sheet = old.add_sheet("Sheet1")
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            sheet.write(y, x, value)
    old.save(str(GALLERY / "excel-2003.xls"))


def office(rows: Rows) -> None:
    """The workbook that an office sends: instructions, titles, an empty column, a note, a touched last row."""
    book = openpyxl.Workbook()
    instructions = book.worksheets[0]
    instructions.title = "填写说明"
    for line in ("1. 请在“10月”工作表中填写。", "2. 带（必填）的列不能为空，请勿修改表头。"):
        instructions.append([line])
    sheet = book.create_sheet("10月")
    for number, title in enumerate(("群成员推送备注名登记表", "填表部门：市场部　填表日期：10月31日"), start=1):
        sheet.cell(number, 1, title)
        sheet.merge_cells(start_row=number, end_row=number, start_column=1, end_column=4)
    for number, (user, group, remark) in enumerate(
        [["用户ID（必填）", "群组ID（必填）", "群内昵称*"], *rows[1:]], start=3
    ):
        for column, value in ((1, user), (2, group), (4, remark)):
            cell = sheet.cell(number, column, value)
            cell.data_type = "s"
    sheet.cell(len(rows) + 4, 1, "注：离职员工请勿填写。")
    sheet.cell(1_048_576, 1).font = openpyxl.styles.Font(bold=True)
    sheet.cell(1_048_576, 2, " ")
    book.save(GALLERY / "office.xlsx")


def others(rows: Rows) -> None:
    """What programs exchange."""
    objects = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in objects)
    (GALLERY / "objects.jsonl").write_text(lines, encoding="utf-8")
    parquet.write_table(pyarrow.Table.from_pylist(objects), GALLERY / "columns.parquet")
    (GALLERY / "packed.csv.gz").write_bytes(gzip.compress(delimited(rows).encode(), mtime=0))


def damaged_ids() -> None:
    """Ids as spreadsheets leave them: most of these rows are rejected."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    cells = [
        ("u1001", "a good row", "General"),
        (123, "zeros that the format shows", "000000"),
        (123456789012345678, "more digits than Excel holds", "0"),
        (12.5, "not whole", "General"),
        (datetime.date(2024, 3, 1), "a date", "yyyy-mm-dd"),
        (True, "a truth value", "General"),
        ("#N/A", "a formula's error", "General"),
        (42, "a prefix that only the format has", '"U"0'),
        ("1.23457E+15", "text that was a number once", "@"),
    ]
    sheet.append(["userId", "groupId", "remark"])
    for number, (value, remark, code) in enumerate(cells, start=2):
        sheet.cell(number, 1, value).number_format = code
        sheet.cell(number, 2, "g2001")
        sheet.cell(number, 3, remark)
    book.save(GALLERY / "damaged-ids.xlsx")
    ids = ["u1001", "1.23457E+15", "123.0", "#N/A", "u\u200b1002", "u1003\u00a0x", "１２３", "u\u202e1004"]
    rows = [
        ["userId", "groupId", "remark"],
        *([value, "g2001", f"row {row}"] for row, value in enumerate(ids, start=2)),
    ]
    (GALLERY / "damaged-ids.csv").write_bytes(delimited(rows).encode("utf-8-sig"))


if __name__ == "__main__":
    main()
