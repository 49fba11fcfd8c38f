from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "samples"
ROW = ["number", "user_id", "group_id", "remark"]


def test_the_nicknames_are_some_hundred_good_rows_without_a_repetition(read):
    rows = read(SAMPLES / "nicknames.csv")
    assert len(rows) == 300
    assert (rows["reason"] == "").all()
    assert not rows.duplicated(["user_id", "group_id"]).any()


def test_the_workbook_holds_the_same_rows(read):
    assert read(SAMPLES / "nicknames.xlsx")[ROW].equals(read(SAMPLES / "nicknames.csv")[ROW])


def test_the_bad_rows_have_one_of_each_kind(read):
    rows = read(SAMPLES / "bad-rows.csv")
    rejected = rows[rows["reason"] != ""]
    assert rejected["reason"].tolist() == [
        "empty-user-id",
        "empty-group-id",
        "empty-remark",
        "too-few-fields",
        "too-many-fields",
        "user-id-too-long",
        "group-id-too-long",
        "control-character-in-id",
        "control-character-in-id",
        "nul-character",
        "misplaced-quote",
    ]
    good = rows[rows["reason"] == ""]
    assert good.duplicated(["user_id", "group_id"]).sum() == 1
