import datetime as dt
import zipfile

import openpyxl
import pytest
import xlwt
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source

HEADER = ["userId", "groupId", "remark"]
A_DATE = xlwt.easyxf(num_format_str="YYYY-MM-DD")
WRITABLE = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=70
).filter(lambda text: not text.startswith("="))


@pytest.fixture
def workbook(tmp_path):
    def make(rows, *, name="rows.xlsx", at=(1, 1)):
        path = tmp_path / name
        if name.endswith(".xls"):
            old = xlwt.Workbook()
            sheet = old.add_sheet("Sheet1")
            for y, row in enumerate([HEADER, *rows]):
                for x, value in enumerate(row):
                    style = A_DATE if isinstance(value, dt.date) else xlwt.Style.default_style
                    sheet.write(y + at[0] - 1, x + at[1] - 1, value, style)
            old.save(str(path))
        else:
            book = openpyxl.Workbook()
            for y, row in enumerate([HEADER, *rows]):
                for x, value in enumerate(row):
                    book.worksheets[0].cell(y + at[0], x + at[1], value)
            book.save(path)
        return path

    return make


@pytest.mark.parametrize("name", ["rows.xlsx", "rows.xls"])
@pytest.mark.parametrize(
    ("row", "texts"),
    [
        ([12345, 10**13, 7], ["12345", "10000000000000", "7"]),
        ([12.0, 99_999_999_999_999, -3], ["12", "99999999999999", "-3"]),
        (["007", "1e5", "NA"], ["007", "1e5", "NA"]),
        (["u1", "g1", 1.5], ["u1", "g1", "1.5"]),
        (["u1", "g1", 0.1 + 0.2], ["u1", "g1", "0.3"]),
        (["u1", "g1", True], ["u1", "g1", "TRUE"]),
        (["u1", "g1", 123_456_789_012_345], ["u1", "g1", "123456789012345"]),
        (["u1", "g1", "two\nlines 🐼 & <b>"], ["u1", "g1", "two\nlines 🐼 & <b>"]),
    ],
)
def test_cells_become_the_text_a_person_sees(read, workbook, name, row, texts):
    frame = read(workbook([row], name=name))
    assert frame.loc[0, ["user_id", "group_id", "remark"]].tolist() == texts
    assert frame["reason"].tolist() == [""]


@pytest.mark.parametrize("name", ["rows.xlsx", "rows.xls"])
@pytest.mark.parametrize(
    ("row", "reason", "says"),
    [
        ([123_456_789_012_345, "g1", "a"], "number-too-long", "'userId' holds the number 123456789012345"),
        (["u1", 1.23457e15, "a"], "number-too-long", "'groupId' holds the number 1234570000000000"),
        (["u1", "g1", 12345678901234567890], "number-too-long", "'remark' holds the number 12345678901234600000"),
        (["u1", "g1", 1e-7], "number-format", "1e-07"),
        ([1.5, "g1", "a"], "decimal-in-id", "1.5"),
        ([True, "g1", "a"], "boolean-in-id", "TRUE"),
        (["u1", dt.datetime(2024, 3, 1), "a"], "date-in-id", "2024-03-01"),
        (["u1", "g1", dt.datetime(2024, 3, 1)], "date-in-remark", "format the column as text"),
        (["u1", "g1", None], "empty-remark", "empty"),
    ],
)
def test_cells_whose_text_is_not_in_the_file_are_rejected(read, workbook, name, row, reason, says):
    frame = read(workbook([["u0", "g0", "before"], row, ["u2", "g2", "after"]], name=name))
    assert frame["number"].tolist() == [2, 3, 4]
    assert frame["reason"].tolist() == ["", reason, ""]
    assert says in frame["message"][1]
    assert frame["cells"][1].startswith("[")


@pytest.mark.parametrize("name", ["rows.xlsx", "rows.xls"])
def test_row_numbers_are_the_spreadsheets_wherever_the_table_stands(workbook, name):
    path = workbook([["u1", "g1", "a"], [None] * 3, ["u3", "g3", "c"]], name=name, at=(4, 3))
    with open_source(path, Reading()) as source:
        numbers = [int(number) for batch in source.batches() for number in batch["number"]]
    assert numbers == [5, 7]
    assert source.blank_rows == 1


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(WRITABLE, WRITABLE, WRITABLE), min_size=1, max_size=5))
def test_text_cells_are_read_as_written_or_rejected_with_a_reason(read, tmp_path_factory, rows):
    book = openpyxl.Workbook()
    book.worksheets[0].append(HEADER)
    for y, row in enumerate(rows, start=2):
        for x, value in enumerate(row, start=1):
            book.worksheets[0].cell(y, x, value)
    path = tmp_path_factory.mktemp("any") / "rows.xlsx"
    book.save(path)
    with open_source(path, Reading()) as source:
        try:
            found = {row.number: row for batch in source.batches() for row in batch.itertuples()}
        except SourceError:
            found = {}
    for number, row in enumerate(rows, start=2):
        meant = [value.strip() for value in row]
        if number not in found:
            assert not any(meant)
        elif not found[number].reason:
            assert [found[number].user_id, found[number].group_id, found[number].remark] == meant


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


def test_content_decides_not_the_extension(read, workbook, written, tmp_path):
    assert read(workbook([["u1", "g1", "a"]]).rename(tmp_path / "rows.csv"))["remark"].tolist() == ["a"]
    assert read(written("userId\tgroupId\tremark\nu1\tg1\ta\n", "rows.xls"))["remark"].tolist() == ["a"]


def test_a_broken_workbook_is_an_error_in_one_sentence(read, workbook, written, tmp_path):
    whole = workbook([["u1", "g1", "a"]]).read_bytes()
    old = workbook([["u1", "g1", "a"]], name="rows.xls").read_bytes()
    with zipfile.ZipFile(tmp_path / "other.xlsx", "w") as other:
        other.writestr("[Content_Types].xml", "hello")
    encrypted = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000)
    for content in (whole[:2000], whole[:-30], old[:3000], encrypted, (tmp_path / "other.xlsx").read_bytes()):
        with pytest.raises(SourceError, match="is not a workbook that can be read"):
            read(written(content, "rows.xlsx"))


def test_a_workbook_without_rows_says_so(read, workbook, tmp_path):
    with pytest.raises(SourceError, match="has a header but no rows"):
        read(workbook([]))
    openpyxl.Workbook().save(tmp_path / "empty.xlsx")
    with pytest.raises(SourceError, match="is empty"):
        read(tmp_path / "empty.xlsx")
