import json
import re
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_alias import problems

HEADER = "userId,groupId,remark\n"
FIELDS = ("user_id", "group_id", "remark")


@pytest.mark.parametrize(
    ("row", "reason", "message"),
    [
        ("u1,g1", "too-few-fields", "1 missing"),
        ("u1,g1,Smith, Jane", "too-many-fields", "1 too many"),
        ("u1,g1,a\0b", "nul-character", "NUL"),
        (",g1,a", "empty-user-id", "'userId' is empty"),
        ("u1, \u3000,a", "empty-group-id", "'groupId' is empty"),
        ("u" * 65 + ",g1,a", "user-id-too-long", "65 bytes"),
        ("用" * 22 + ",g1,a", "user-id-too-long", "66 bytes"),
        ("u1," + "g" * 65 + ",a", "group-id-too-long", "65 characters; RongCloud takes at most 64"),
        ("u\x071,g1,a", "control-character-in-id", "'u␇1'"),
        ("u1,g\x851,a", "control-character-in-id", "'g⟨U+0085⟩1'"),
        ('u1,"g\n1",a', "control-character-in-id", "'g␊1'"),
        ("'userId','groupId','remark'", "repeated-header", "repeats the header"),
        ("u1,g1,\u200b \u2060\x85", "invisible-remark", "'⟨U+200B⟩ ⟨U+2060⟩', in which nothing can be seen"),
        ("'u1',g1,a", "single-quotes", "'userId' holds ''u1''"),
        ("u1,g1,'a'", "single-quotes", "'remark' holds ''a''"),
        ("u1,g1,", "empty-remark", "'remark' is empty"),
        ('u1,g1,"say "hi" twice"', "misplaced-quote", "closed in the middle of a field"),
    ],
)
def test_a_bad_row_is_rejected_and_those_around_it_are_not(read, written, row, reason, message):
    frame = read(written(f"{HEADER}u0,g0,before\n{row}\nu2,g2,after\n"))
    assert frame["number"].tolist() == [2, 3, 4]
    assert frame["reason"].tolist() == ["", reason, ""]
    assert message in frame["message"][1]
    assert json.loads(frame["cells"][1])
    assert frame["cells"].isna().tolist() == [True, False, True]


@pytest.mark.parametrize(("row", "reason"), [(",g1,a", "empty-user-id"), ("u1,,a", "empty-group-id")])
def test_an_empty_id_is_rejected_in_the_first_row_too(read, written, row, reason):
    assert read(written(f"{HEADER}{row}\nu2,g2,b\n"))["reason"].tolist() == [reason, ""]


@pytest.mark.parametrize(
    "row",
    [
        ("NA1", "null0", "None"),
        ("007", "1e5", "nan"),
        ("-1", "g.", "-"),
        ("u" * 64, "群" * 64, "x" * 1000),
        ("u-1_2", "g=+", "a&b=c+d%41"),
        ("u1", "g1", "👨\u200d👩\u200d👧 \u202eabc"),
        ("u1", "g1", "\ufeffmark\u200b"),
        ("u1", "g1", "quote ' tick"),
    ],
)
def test_values_are_not_changed_or_taken_for_missing(read, written, row):
    frame = read(written(HEADER + ",".join(row) + "\n"))
    assert frame[list(FIELDS)].to_numpy().tolist() == [list(row)]
    assert frame["reason"].tolist() == [""]


def test_only_the_white_space_around_a_value_is_removed(read, written):
    frame = read(written(f"{HEADER} u1\t, g1 ,\u3000two  words\xa0\n"))
    assert frame.loc[0, list(FIELDS)].tolist() == ["u1", "g1", "two  words"]


def test_a_row_with_several_problems_is_rejected_for_the_first(read, written):
    frame = read(written(f"{HEADER},g\x07,\n,x\nu\x07,g１,a\n"))
    assert frame["reason"].tolist() == ["empty-user-id", "too-few-fields", "control-character-in-id"]


def test_with_more_columns_the_cells_of_every_row_are_kept(read, written):
    frame = read(written("no,userId,groupId,remark\n 1,u1,g1, a \n2,u2,g2,b\n"))
    assert [json.loads(cells) for cells in frame["cells"]] == [[" 1", "u1", "g1", " a "], ["2", "u2", "g2", "b"]]


DAMAGED_IDS = [
    ("1.23457E+15", "scientific-notation-in-id"),
    ("1E+15", "scientific-notation-in-id"),
    ("-1.2e-7", "scientific-notation-in-id"),
    ("1.23457e15", "scientific-notation-in-id"),
    ("123.0", "decimal-in-id"),
    ("123.", "decimal-in-id"),
    ("0.5", "decimal-in-id"),
    ("u1\u200b", "invisible-character-in-id"),
    ("\ufeffu1", "invisible-character-in-id"),
    ("u\xa01", "invisible-character-in-id"),
    ("u1\u202e2", "invisible-character-in-id"),
    ("u\u30001", "invisible-character-in-id"),
    ("u\u00ad1", "invisible-character-in-id"),
    ("１２３", "full-width-character-in-id"),
    ("ｕ1", "full-width-character-in-id"),
    ("#N/A", "error-value-in-id"),
    ("#REF!", "error-value-in-id"),
    ("######", "error-value-in-id"),
    ("u\x7f1", "control-character-in-id"),
    ("NULL", "no-value-in-id"),
    ("null", "no-value-in-id"),
    ("NaN", "no-value-in-id"),
    ("None", "no-value-in-id"),
    ("N/A", "no-value-in-id"),
    ("NA", "no-value-in-id"),
    ("nil", "no-value-in-id"),
    ("undefined", "no-value-in-id"),
    ("\\N", "no-value-in-id"),
    ("TRUE", "no-value-in-id"),
    ("false", "no-value-in-id"),
    ("-", "no-value-in-id"),
    ("--", "no-value-in-id"),
    ("?", "no-value-in-id"),
    ("无", "no-value-in-id"),
]


def shown(value):
    """As a message shows it."""
    hidden = {"\u200b": "⟨U+200B⟩", "\ufeff": "⟨U+FEFF⟩", "\xa0": "⟨U+00A0⟩", "\u202e": "⟨U+202E⟩"}
    hidden |= {"\u3000": "⟨U+3000⟩", "\u00ad": "⟨U+00AD⟩", "\x7f": "␡"}
    return f"'{''.join(hidden.get(character, character) for character in value)}'"


@pytest.mark.parametrize(("field", "row"), [("userId", "{},g1,a"), ("groupId", "u1,{},a")])
def test_damaged_ids_are_rejected_and_shown(read, written, field, row):
    frame = read(written(HEADER + "".join(row.format(value) + "\n" for value, _ in DAMAGED_IDS)))
    assert frame["reason"].tolist() == [reason for _, reason in DAMAGED_IDS]
    for message, (value, _) in zip(frame["message"], DAMAGED_IDS, strict=True):
        assert f"Column '{field}' holds {shown(value)}" in message


@pytest.mark.parametrize("accepted", sorted({reason for _, reason in DAMAGED_IDS}))
def test_an_accepted_kind_of_damaged_id_is_sent_with_a_warning(read, written, accepted):
    frame = read(written(HEADER + "".join(f"{value},g1,a\n" for value, _ in DAMAGED_IDS)), accept=(accepted,))
    assert frame["user_id"].tolist() == [value for value, _ in DAMAGED_IDS]
    for place, (_, reason) in enumerate(DAMAGED_IDS):
        if reason == accepted:
            assert frame["reason"][place] == ""
            assert reason in frame["warning"][place].split(",")
        else:
            assert frame.loc[place, ["reason", "warning"]].tolist() == [reason, ""]


def test_ids_that_only_look_odd_are_sent_without_a_warning(read, written):
    ids = ["12e5", "1e5", "007", "5f3759df", "1234567890123456", "u1", "trueman", "x" * 64]
    frame = read(written(HEADER + "".join(f"{value},{value},a\n" for value in ids)))
    assert frame["user_id"].tolist() == ids
    assert (frame[["reason", "warning"]] == "").all(axis=None)


ODD_ROWS = [
    ("u-1,g1,a", "id-outside-letters-and-digits"),
    ("u1,群1,a", "id-outside-letters-and-digits"),
    ("用户,群1,a", "id-outside-letters-and-digits"),
    ("123456789012345000,g1,a", "zeros-after-15-digits-in-id"),
    ("u1,g1," + "长" * 65, "remark-over-64-characters"),
    ('u1,g1,"two\nlines"', "line-break-in-remark"),
    ("u1,g1,a\tb", "line-break-in-remark"),
    ("u1,g1,a\u202eb", "bidi-control-in-remark"),
    ("u1,g1,#N/A", "formula-error-in-remark"),
    ("u1,g1,#DIV/0!", "formula-error-in-remark"),
    ("u1,g1,NULL", "null-word-in-remark"),
    ("u1,g1,None", "null-word-in-remark"),
    ("u1,g1,nan", "null-word-in-remark"),
    ("u1,g1,\\N", "null-word-in-remark"),
    ("u1,g1, a", "white-space-removed"),
    ("u1 ,g1,a", "white-space-removed"),
    ("u-1,g1, a\tb", "id-outside-letters-and-digits,line-break-in-remark,white-space-removed"),
]


def test_odd_rows_are_sent_with_a_warning_and_rejected_by_strict(read, written):
    path = written(HEADER + "".join(f"{row}\n" for row, _ in ODD_ROWS))
    usual, strict = read(path), read(path, strict=True)
    assert (usual[["reason", "message"]] == "").all(axis=None)
    assert usual["warning"].tolist() == [warning for _, warning in ODD_ROWS]
    assert strict["reason"].tolist() == [warning.split(",")[0] for _, warning in ODD_ROWS]
    assert (strict["message"] != "").all()
    assert (strict["warning"] == "").all()


def test_strict_does_not_reject_for_an_accepted_warning(read, written):
    path = written(f"{HEADER}u-1,g1,NULL\nu-2,g1,a\n")
    frame = read(path, strict=True, accept=("id-outside-letters-and-digits",))
    assert frame["reason"].tolist() == ["null-word-in-remark", ""]


@pytest.mark.parametrize(
    ("rows", "reading", "reasons"),
    [
        (["uid,gid,alias", "UID,G id,Alias", "user id,群组ID,昵称"], {}, ["repeated-header"] * 3),
        (["uid,gid,Anna", "u1,gid,alias"], {}, ["", ""]),
        (["员工,gid,名"], {"user_column": "A", "remark_column": "C"}, ["repeated-header"]),
        (["1,2,3"], {"user_column": "1", "group_column": "2", "remark_column": "3", "no_header": True}, [""]),
        (["uid,gid,alias"], {"accept": ("repeated-header",)}, [""]),
    ],
)
def test_a_header_is_repeated_where_all_three_cells_are_names_of_the_columns(read, written, rows, reading, reasons):
    header = "员工,gid,名" if "user_column" in reading else "uid,gid,alias"
    path = written("\n".join([header, *["u0,g0,a"] * 20, *rows]))
    assert read(path, **reading)["reason"].tolist()[-len(rows) :] == reasons


def test_every_space_and_format_character_of_unicode_is_found_in_an_id():
    hidden = [
        chr(point)
        for point in range(128, sys.maxunicode)
        if unicodedata.category(chr(point)) in {"Cf", "Zs", "Zl", "Zp"}
    ]
    assert [hex(ord(character)) for character in hidden if not re.match(problems.INVISIBLE, character)] == []


@settings(max_examples=10)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=80),
            st.from_regex(problems.SCIENTIFIC),
            st.from_regex(problems.FORMULA_ERROR),
            st.from_regex(problems.NO_ID),
            st.from_regex(f"{problems.INVISIBLE}*"),
            st.from_regex("'.*'"),
            st.from_regex(r"\d{12,20}0*"),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_no_test_finds_a_problem_in_a_plain_value(values):
    patterns = {"user_id": problems.PLAIN_ID, "group_id": problems.PLAIN_ID, "remark": problems.PLAIN_REMARK}
    for problem in problems.PROBLEMS.values():
        for field in problem.fields:
            plain = [text for value in values if re.fullmatch(patterns[field], text := value.strip())]
            assert [text for text in plain if problem.test(text)] == [], problem.name
