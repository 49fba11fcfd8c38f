import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.errors import UsageError
from batch_alias.settings import Reading
from batch_alias.sources import rules
from batch_alias.sources.reasons import ACCEPTABLE, REJECTIONS, WARNINGS

HEADER = "userId,groupId,remark\n"

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
]

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

USUAL = ["12e5", "1e5", "007", "5f3759df", "1234567890123456", "u1", "TRUE", "x" * 64]


@pytest.mark.parametrize(("value", "reason"), DAMAGED_IDS)
@pytest.mark.parametrize("column", [0, 1])
def test_an_id_that_was_damaged_is_rejected_and_shown(read, written, value, reason, column):
    row = ["u1", "g1", "a"]
    row[column] = value
    frame = read(written(f"{HEADER}{','.join(row)}\n"))
    assert frame["reason"].tolist() == [reason]
    assert repr(value) in frame["message"][0]
    assert repr(["userId", "groupId"][column]) in frame["message"][0]


@pytest.mark.parametrize("value", USUAL)
def test_an_id_that_may_be_meant_passes_without_a_word(read, written, value):
    frame = read(written(f"{HEADER}{value},{value},a\n"))
    assert frame.loc[0, ["user_id", "reason", "warning"]].tolist() == [value, "", ""]


@pytest.mark.parametrize(("row", "warning"), ODD_ROWS)
def test_what_is_odd_is_sent_with_a_warning_and_strictly_rejected(read, written, row, warning):
    path = written(f"{HEADER}{row}\n")
    assert read(path).loc[0, ["reason", "message", "warning"]].tolist() == ["", "", warning]
    strict = read(path, strict=True)
    assert strict.loc[0, ["reason", "warning"]].tolist() == [warning.split(",")[0], ""]
    assert strict["message"][0]


@pytest.mark.parametrize(("value", "reason"), DAMAGED_IDS)
def test_one_kind_of_rejection_can_be_let_through_and_stays_marked(read, written, value, reason):
    frame = read(written(f"{HEADER}{value},g1,a\n"), accept=frozenset({reason}))
    assert frame.loc[0, ["user_id", "reason"]].tolist() == [value, ""]
    assert reason in frame["warning"][0].split(",")


def test_a_warning_can_be_let_through_a_strict_run(read, written):
    path = written(f"{HEADER}u-1,g1,NULL\nu-2,g1,a\n")
    frame = read(path, strict=True, accept=frozenset({"id-outside-letters-and-digits"}))
    assert frame["reason"].tolist() == ["null-word-in-remark", ""]


@pytest.mark.parametrize("reason", ["empty-remark", "date-in-id", "nonsense", "too-many-fields"])
def test_what_holds_no_text_to_send_cannot_be_let_through(read, written, reason):
    with pytest.raises(UsageError, match="not a reason that --accept can let through"):
        read(written(HEADER + "u1,g1,a\n"), accept=frozenset({reason}))


def test_every_reason_is_named_and_explained_once():
    used = {rule.reason for rule in rules.RULES}
    assert used <= set(REJECTIONS)
    assert {rule.reason for rule in rules.WARNING_RULES} <= set(WARNINGS)
    assert not set(REJECTIONS) & set(WARNINGS)
    assert set(ACCEPTABLE) <= set(REJECTIONS)


def test_every_space_and_format_character_of_unicode_is_seen_in_an_id():
    hidden = [
        chr(point)
        for point in range(128, sys.maxunicode)
        if unicodedata.category(chr(point)) in {"Cf", "Zs", "Zl", "Zp"}
    ]
    assert [hex(ord(character)) for character in hidden if not re.match(rules.INVISIBLE, character)] == []


@given(
    st.one_of(
        st.text(max_size=80),
        st.from_regex(rules.SCIENTIFIC),
        st.from_regex(rules.FORMULA_ERROR),
        st.from_regex(rules.NULL_WORD),
        st.from_regex(r"\d{12,20}0*"),
    )
)
def test_values_beyond_suspicion_break_no_rule(value):
    import pandas as pd

    value = value.strip()
    frame = pd.DataFrame({field: pd.Series([value], dtype=object) for field in rules.FIELDS})
    frame = frame.assign(surplus=0, nul=False, trimmed=False)
    plain = {
        "user_id": re.fullmatch(rules.PLAIN_ID, value),
        "group_id": re.fullmatch(rules.PLAIN_ID, value),
        "remark": re.fullmatch(rules.PLAIN_REMARK, value),
    }
    for rule in (*rules.RULES, *rules.WARNING_RULES):
        if rule.field and plain[rule.field]:
            assert not rule.broken(frame).any(), rule.reason


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"encoding": "utf-9"}, "no encoding 'utf-9'"),
        ({"encoding": "hex"}, "no encoding 'hex'"),
        ({"delimiter": "ab"}, "cannot separate"),
        ({"delimiter": '"'}, "cannot separate"),
        ({"delimiter": "x"}, "cannot separate"),
        ({"delimiter": ""}, "cannot separate"),
    ],
)
def test_a_reading_that_cannot_be_is_refused(given, says):
    with pytest.raises(UsageError, match=says):
        Reading(**given)


def test_a_delimiter_has_a_name_or_is_itself():
    assert (Reading(delimiter="tab").separator, Reading(delimiter=";").separator, Reading().separator) == (
        "\t",
        ";",
        None,
    )
