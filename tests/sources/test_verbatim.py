"""CSV files that batch-alias has written itself are read back exactly."""

import csv

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch_alias.errors import SourceError, UsageError
from batch_alias.settings import Format, Reading

HEADER = ("userId", "groupId", "before", "expected")
READING = {
    "user_column": "userId",
    "group_column": "groupId",
    "remark_column": "before",
    "expect_column": "expected",
    "empty": "clear",
    "encoding": "utf-8-sig",
    "delimiter": "comma",
    "format": "csv",
    "verbatim": True,
}
ODD = st.sampled_from(
    [
        "",
        " ",
        "\r",
        "\n",
        "\r\n",
        '"',
        '""',
        '=""',
        '="007"',
        "\0",
        "\ufeff",
        " x\t",
        "a,b",
        "'a'",
        "NULL",
        "#N/A",
        *HEADER,
    ]
)
VALUES = st.one_of(ODD, st.text(max_size=80), st.lists(ODD, max_size=4).map("".join))
ROWS = st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), min_size=1, max_size=25)


@pytest.fixture(scope="session")
def write(tmp_path_factory):
    def write(rows, header=HEADER):
        path = tmp_path_factory.mktemp("exact") / "undo.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return write


def why(user: str, group: str) -> str:
    """Why a row cannot be sent."""
    if not user or not group:
        return "empty-group-id" if user else "empty-user-id"
    if len(user.encode()) > 64:
        return "user-id-too-long"
    return "group-id-too-long" if len(group) > 64 else ""


@given(rows=ROWS)
@example(rows=[HEADER, HEADER[::-1], ("", "", "", ""), (" ", " ", " ", " "), ("u", "g", "", "")])
@example(
    rows=[
        ("u", "", "", ""),
        ("u1", "g1", "\ufeff\ufeff a", ""),
        ("u1", "g1", "a\r", "\n"),
        ("\ufeffu", "g", "=1+1", "sep=;"),
    ]
)
def test_any_values_come_back_exactly(read, write, rows):
    frame = read(write(rows), **READING)
    assert frame[["user_id", "group_id", "remark", "expected"]].to_numpy().tolist() == [list(row) for row in rows]
    assert frame["number"].tolist() == list(range(2, len(rows) + 2))
    assert frame["reason"].tolist() == [why(user, group) for user, group, _, _ in rows]
    assert (frame["warning"] == "").all()


def test_more_columns_are_kept_and_a_row_of_another_width_is_rejected(read, write):
    rows = [("u1", "g1", " a", "", " n "), ("u2", "g2", "b"), ("u3", "g3", "c", "", "n", "more")]
    frame = read(write(rows, (*HEADER, "note")), **READING)
    assert frame["reason"].tolist() == ["", "too-few-fields", "too-many-fields"]
    assert frame["cells"][0] == '["u1", "g1", " a", "", " n "]'


def test_what_csv_does_not_write_is_an_error(read, write):
    path = write([("u1", "g1", "a", "b")])
    path.write_bytes(path.read_bytes() + b'u2,g2,"a"b,\r\n')
    with pytest.raises(SourceError, match=r"undo\.csv is not as csv writes it"):
        read(path, **READING)


@pytest.mark.parametrize("kind", [None, *(kind for kind in Format if kind != Format.CSV)])
def test_only_csv_can_be_read_so(kind):
    with pytest.raises(UsageError, match="Only CSV can be read verbatim"):
        Reading(format=kind, verbatim=True)
