import io

import openpyxl
import pytest

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source
from batch_alias.sources.header import SEARCHED_ROWS, Top, find_header

FORM = ["用户ID（必填）", "群组ID (required)", "群内昵称*"]
DATA = ["u1", "g1", "老王"]


def top(*rows, sheet="", first=1):
    return Top(sheet, list(enumerate(rows, start=first)))


def found(*tops, **reading):
    header = find_header(tops, Reading(**reading), file="names")
    return header.sheet, header.row


@pytest.mark.parametrize(
    ("rows", "reading", "row"),
    [
        ([["userId", "groupId", "remark"], DATA], {}, 1),
        ([["Names of October"], [], FORM, DATA], {}, 3),
        ([["说明：", "请勿修改"], ["no", *FORM], ["1", *DATA]], {}, 2),
        ([FORM, DATA, FORM, DATA], {}, 1),  # repeated on every page
        ([["reason", *FORM], ["", *DATA], ["repeated-header", *FORM]], {}, 1),
        ([["a title"], ["who", "groupId", "remark"], DATA], {"user_column": "who"}, 2),
        ([["a title"], ["who", "groupId", "remark"], DATA], {"user_column": "A"}, 2),
        ([["a title"], ["who", "groupId", "remark"], DATA], {"user_column": "1"}, 2),
        ([["who", "where", "name"], DATA], {"user_column": "A", "group_column": "b", "remark_column": "3"}, 1),
        ([["x"], ["who", "where", "name"]], {"user_column": "A", "group_column": "B", "remark_column": "C"}, 2),
        ([FORM, ["userId", "groupId", "remark"], DATA], {"header_row": 2}, 2),
        ([DATA, DATA], {"no_header": True, "user_column": "A", "group_column": "B", "remark_column": "C"}, 0),
        ([["x"]] * (SEARCHED_ROWS + 5) + [FORM, DATA], {"header_row": SEARCHED_ROWS + 6}, SEARCHED_ROWS + 6),
    ],
)
def test_the_header_is_the_row_that_has_the_columns(rows, reading, row):
    assert found(top(*rows), **reading) == ("", row)


def test_it_is_looked_for_in_every_sheet():
    notes, data, other = top(["how to"], sheet="说明"), top(["10月"], FORM, DATA, sheet="10月"), top(FORM, sheet="11月")
    assert found(notes, data) == ("10月", 2)
    with pytest.raises(SourceError) as several:
        found(notes, data, other)
    assert "row 2 of sheet '10月' (--sheet '10月'); row 1 of sheet '11月' (--sheet '11月')." in several.value.problem


def test_two_rows_of_one_sheet_that_differ_are_both_named():
    with pytest.raises(SourceError) as several:
        found(top(FORM, ["userId", "groupId", "remark"], DATA, sheet="my sheet"))
    assert "row 1 of sheet 'my sheet' (--sheet 'my sheet' --header-row 1);" in several.value.problem
    with pytest.raises(SourceError, match=r"row 1 \(--header-row 1\); row 2 \(--header-row 2\)"):
        found(top(FORM, ["userId", "groupId", "remark"], DATA))


@pytest.mark.parametrize(
    ("tops", "reading", "parts"),
    [
        (
            [top(["员工编号", "群组ID", "备注"], DATA)],
            {},
            [
                "No column for userId was found;",
                "If '员工编号' is meant: --user-column '员工编号'.",
                "row 2: A 'u1', B 'g1'",
            ],
        ),
        (
            [top(["how to"], sheet="说明"), top(["10月"], ["用户ID", "群组ID", "name"], sheet="10月")],
            {},
            [
                "No column for remark was found in row 2 of sheet '10月';",
                "Sheet '说明' begins:",
                "--remark-column name",
            ],
        ),
        ([top(["u1001", "g2001", "老王"])], {}, ["--no-header --user-column A --group-column B --remark-column C"]),
        ([top(["a"], ["b"])], {}, ["No row of names has columns for userId, groupId, remark.", "--header-row"]),
        ([top(["a"])], {"header_row": 7}, ["names has no row 7."]),
        ([top(FORM)], {"user_column": "Z"}, ["No column is named 'Z'"]),
        ([top(sheet="a"), top(sheet="b")], {}, ["The sheet 'a' of names is empty."]),
    ],
)
def test_where_no_row_has_the_columns_the_error_shows_what_was_read(tops, reading, parts):
    with pytest.raises(SourceError) as raised:
        found(*tops, **reading)
    shown = f"{raised.value.problem}\n{raised.value.advice}"
    assert all(part in shown for part in parts), shown


def test_the_row_of_the_header_is_part_of_the_description(read, written, tmp_path):
    text = "Names of October\n\n" + "用户ID（必填）,群组ID*,群内昵称：\nu1,g1,a\n"
    book = openpyxl.Workbook()
    for row in (["Names of October"], FORM, DATA):
        book.worksheets[0].append(row)
    content = io.BytesIO()
    book.save(content)
    for path, place in ((written(text), "row 3"), (written(content.getvalue(), "rows.xlsx"), "row 2")):
        with open_source(path, Reading()) as source:
            assert source.description.endswith(f"header in {place}")
            assert sum(len(batch) for batch in source.batches()) == 1


def test_a_column_without_a_name_is_called_by_its_letter(read, written):
    rows = read(written("userId,groupId,\nu1,g1,a\n"), remark_column="C")
    assert rows["remark"].tolist() == ["a"]
    with open_source(written("userId,groupId,\nu1,g1,a\n"), Reading(remark_column="C")) as source:
        assert source.columns.names == ("userId", "groupId", "C")
