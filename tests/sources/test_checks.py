import json

import pytest

from batch_alias.sources.checks import RULES

HEADER = "userId,groupId,remark\n"


@pytest.mark.parametrize(
    ("row", "reason", "says"),
    [
        ("u1,g1", "too-few-fields", "1 missing"),
        ("u1,g1,Smith, Jane", "too-many-fields", "1 too many"),
        ("u1,g1,a\0b", "nul-character", "NUL"),
        (",g1,a", "empty-user-id", "'userId' is empty"),
        ("u1, \u3000,a", "empty-group-id", "'groupId' is empty"),
        ("u" * 65 + ",g1,a", "user-id-too-long", "65 bytes"),
        ("用" * 22 + ",g1,a", "user-id-too-long", "66 bytes"),
        ("u1," + "g" * 65 + ",a", "group-id-too-long", "at most 64 characters"),
        ("u\x071,g1,a", "control-character-in-id", r"'u\x071'"),
        ("u1,g\x851,a", "control-character-in-id", r"'g\x851'"),
        ('u1,"g\n1",a', "control-character-in-id", r"'g\n1'"),
        ("u1,g1,", "empty-remark", "'remark' is empty"),
        ('u1,g1,"say "hi" twice"', "misplaced-quote", "a quote that belongs to a value twice"),
    ],
)
def test_each_kind_of_bad_row_has_its_reason_and_the_rows_around_it_live(read, written, row, reason, says):
    frame = read(written(f"{HEADER}u0,g0,before\n{row}\nu2,g2,after\n"))
    assert frame["number"].tolist() == [2, 3, 4]
    assert frame["reason"].tolist() == ["", reason, ""]
    assert says in frame["message"][1]
    assert json.loads(frame["cells"][1])
    assert frame["cells"].isna().tolist() == [True, False, True]


@pytest.mark.parametrize(
    "row",
    [
        ("NA", "null", "None"),
        ("007", "1e5", "nan"),
        ("u" * 64, "群" * 64, "x" * 1000),
        ("u-1_2", "g=+", "a&b=c+d%41"),
        ("u1", "g1", "👨\u200d👩\u200d👧 \u202eabc"),
        ("u1", "g1", "\ufeffmark\u200b"),
        ("u1", "g1", "quote ' tick"),
    ],
)
def test_no_value_is_changed_or_taken_for_missing(read, written, row):
    frame = read(written(HEADER + ",".join(row) + "\n"))
    assert frame[["user_id", "group_id", "remark"]].to_numpy().tolist() == [list(row)]
    assert frame["reason"].tolist() == [""]


def test_only_the_white_space_around_a_value_goes(read, written):
    frame = read(written(f"{HEADER} u1\t, g1 ,\u3000two  words\xa0\n"))
    assert frame.loc[0, ["user_id", "group_id", "remark"]].tolist() == ["u1", "g1", "two  words"]


def test_a_row_that_breaks_several_rules_is_rejected_for_the_first(read, written):
    frame = read(written(f"{HEADER},g\x07,\n,x\n"))
    assert frame["reason"].tolist() == ["empty-user-id", "too-few-fields"]


def test_every_reason_is_a_stable_slug():
    assert all(rule.reason.replace("-", "").isalpha() and rule.reason.islower() for rule in RULES)


def test_a_source_with_further_columns_keeps_every_rows_cells(read, written):
    frame = read(written("no,userId,groupId,remark\n 1,u1,g1, a \n2,u2,g2,b\n"))
    assert [json.loads(cells) for cells in frame["cells"]] == [[" 1", "u1", "g1", " a "], ["2", "u2", "g2", "b"]]
