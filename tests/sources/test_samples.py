from pathlib import Path

import pytest

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


NUMBERED = {"no_header": True, "user_column": "1", "group_column": "2", "remark_column": "3"}


@pytest.mark.parametrize(
    ("name", "reading"),
    [
        ("excel-chinese-gb18030.csv", {}),
        ("excel-unicode-utf16.txt", {}),
        ("excel-utf8-mark.csv", {}),
        ("excel-sep-semicolon.csv", {}),
        ("excel-several-sheets.xlsx", {}),
        ("excel-2003.xls", {}),
        ("database-tab-utf8.tsv", {}),
        ("old-mac-pipe-cr.csv", {}),
        ("more-columns.csv", {}),
        ("no-header.csv", NUMBERED),
        ("objects.jsonl", {}),
        ("columns.parquet", {}),
        ("packed.csv.gz", {}),
    ],
)
def test_the_gallery_holds_the_same_rows_in_many_shapes(read, name, reading):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    rows = read(SAMPLES / "gallery" / name, **reading)
    assert (rows["reason"] == "").all()
    assert rows[ROW[1:]].equals(read(SAMPLES / "nicknames.csv")[ROW[1:]].head(20))


def test_the_workbook_that_an_office_sends_simply_works(read):
    rows = read(SAMPLES / "gallery" / "office.xlsx")
    *aliases, note = rows.itertuples()
    assert [row[2:5] for row in aliases] == [row[2:5] for row in read(SAMPLES / "nicknames.csv").head(20).itertuples()]
    assert {(row.reason, row.warning) for row in aliases} == {("", "")}
    assert (aliases[0].number, note.number) == (4, 25)
    assert note.reason


def test_the_gallery_shows_what_spreadsheets_do_to_ids(read):
    assert read(SAMPLES / "gallery" / "damaged-ids.xlsx")["reason"].tolist() == [
        "",
        "",
        "number-too-long",
        "decimal-in-id",
        "date-in-id",
        "boolean-in-id",
        "error-cell",
        "number-format",
        "scientific-notation-in-id",
    ]
    assert read(SAMPLES / "gallery" / "damaged-ids.csv")["reason"].tolist() == [
        "",
        "scientific-notation-in-id",
        "decimal-in-id",
        "error-value-in-id",
        "invisible-character-in-id",
        "invisible-character-in-id",
        "full-width-character-in-id",
        "invisible-character-in-id",
    ]


def test_every_file_of_the_gallery_is_read_by_a_test():
    here = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in (SAMPLES / "gallery").iterdir() if path.name not in here] == []
