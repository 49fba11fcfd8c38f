"""The column with the alias that must be set now."""

import datetime as dt
import json

import pytest

from batch_alias.errors import SourceError
from batch_alias.problems import ACCEPTABLE
from batch_alias.settings import Reading
from batch_alias.sources import open_source
from batch_alias.sources.columns import find_columns

HEADER = "userId,was,groupId,remark\n"


def found(frame):
    return frame[["remark", "expected", "reason", "warning"]].to_numpy().tolist()


def test_without_the_flag_no_alias_is_expected(read, written):
    assert read(written(f"{HEADER}u1,old,g1,a\nu-2, ,g2,b\n"))["expected"].tolist() == [None, None]


@pytest.mark.parametrize("name", ["was", "WAS", "B", "2"])
def test_the_column_is_named_by_header_letter_or_number(read, written, name):
    path = written(f"{HEADER}u1,old,g1,a\nu2,,g2,b\nu-3,,g3,c\nu-4,old,g4,d\n")
    frame = read(path, expect_column=name)
    odd = "id-outside-letters-and-digits"
    assert found(frame) == [["a", "old", "", ""], ["b", "", "", ""], ["c", "", "", odd], ["d", "old", "", odd]]
    assert frame["cells"].isna().all()  # the four values are all there is


def test_its_values_are_read_as_aliases_are(read, written):
    rows = ['u1,"a ""b""",g1,a', 'u2," x ",g2,b', "u3, ,g3,c", 'u4,="",g4,d', 'u5,="7",g5,e', "u6,a\0b,g6,f", "u7,g7,g"]
    frame = read(written(HEADER + "".join(f"{row}\n" for row in rows)), expect_column="was", accept=ACCEPTABLE)
    assert frame["reason"].tolist() == ["", "", "blank-cell", "blank-cell", "", "nul-character", "too-few-fields"]
    assert frame["expected"].tolist()[:6] == ['a "b"', "x", "", "", "7", "a\0b"]
    assert frame["warning"].tolist()[:2] == ["", "white-space-removed"]
    assert all("Column 'was' shows nothing" in message for message in frame["message"][2:4])


@pytest.mark.parametrize("name", ["rows.xlsx", "rows.xls"])
def test_its_cells_are_read_as_those_of_aliases_are(read, written, workbook_bytes, name):
    rows = [["u1", "g1", "a", 1.5], ["u2", "g2", "b", dt.datetime(2024, 3, 1)], ["u3", "g3", "c", None]]
    rows.append(["u4", "g4", "d", (5, "000")])
    path = written(workbook_bytes[f".{name.partition('.')[2]}"](rows), name)
    frame = read(path, expect_column="D")
    assert frame["reason"].tolist() == ["", "date-in-remark", "", ""]
    assert frame["expected"].tolist() == ["1.5", "2024-03-01", "", "005"]
    assert "Column 'D' holds the date" in frame["message"][1]


def test_in_json_lines_a_missing_key_expects_nothing_certain(read, written):
    row = {"userId": "u1", "groupId": "g1", "remark": "a"}
    lines = [row | {"was": "x"}, row | {"was": None}, row | {"was": []}, row]
    frame = read(written("\n".join(map(json.dumps, lines))), expect_column="was")
    assert frame["reason"].tolist() == ["", "", "not-text", "blank-cell"]
    assert frame["expected"].tolist()[:2] == ["x", ""]


def test_the_column_is_not_taken_for_that_of_another_role():
    header = ("userId", "groupId", "alias", "nickname")
    columns = find_columns(header, Reading(expect_column="alias"))
    assert columns.indexes == (0, 1, 3, 2)
    assert [column.why for column in columns][3] == "named by --expect-column"


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (
            {"expect_column": "remark", "remark_column": "remark"},
            "for two roles: .*'remark', 'remark'",
        ),
        ({"expect_column": "before"}, "No column is named 'before'; .*--expect-column: its header, letter or number"),
    ],
)
def test_a_column_of_two_roles_and_one_that_does_not_exist_are_errors(written, reading, message):
    with (
        pytest.raises(SourceError, match=message),
        open_source(written("userId,groupId,remark\nu1,g1,a\n"), Reading(**reading)),
    ):
        pass


def test_the_row_of_the_header_has_the_column(read, written):
    path = written(f"Names of October\nuserId,groupId,remark\n{HEADER}u1,old,g1,a\n")
    assert read(path, expect_column="was")[["number", "expected"]].to_numpy().tolist() == [[4, "old"]]
