import base64
import datetime as dt
import json
import zlib

import pytest

from batch_alias.errors import SourceError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def stored(tmp_path):
    def store(**columns):
        path = tmp_path / "rows.parquet"
        parquet.write_table(pa.table({"userId": ["u1"], "groupId": ["g1"], "remark": ["a"]} | columns), path)
        return path

    return store


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array([" 王小明 🐼", None], pa.string()), ["王小明 🐼"]),
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        (pa.array(["a", "a"]).dictionary_encode(), ["a", "a"]),
        (pa.array([2**63 - 1, 7], pa.int64()), ["9223372036854775807", "7"]),
        (pa.array([1.5, 2.0], pa.float64()), ["1.5", "2.0"]),
    ],
)
def test_values_become_text(read, stored, values, texts):
    rows = read(stored(userId=["u1", "u2"], groupId=["g1", "g2"], remark=values))
    assert rows["number"].tolist() == [2, 3]
    assert rows[rows["reason"] == ""]["remark"].tolist() == texts


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"userId": [123.0]}, "decimal-in-id"),
        ({"userId": [1.5e20]}, "scientific-notation-in-id"),
        ({"userId": [True]}, "not-text"),
        ({"groupId": [dt.datetime(2024, 1, 2)]}, "not-text"),
        ({"remark": [b"bytes"]}, "not-text"),
        ({"remark": [["a", "b"]]}, "not-text"),
        ({"remark": pa.array([None], pa.string())}, "empty-remark"),
    ],
)
def test_values_that_are_not_text_are_rejected(read, stored, columns, reason):
    rows = read(stored(**columns))
    assert rows["reason"].tolist() == [reason]
    assert f"Column '{next(iter(columns))}'" in rows["message"][0]


FAR = pa.array([253_402_300_800_000, 0, None], pa.timestamp("ms"))  # the first second of the year 10000


def not_utf_8():
    return pa.StringArray.from_buffers(3, pa.py_buffer(bytes([0, 0, 0, 0] + [1, 0, 0, 0] * 3)), pa.py_buffer(b"\xff"))


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (FAR, ["10000-01-01 00:00:00.000", "1970-01-01 00:00:00.000", ""]),
        (FAR.cast(pa.timestamp("us", "Mars/Olympus")), ["", "", ""]),
        (pa.array([10_000_000, 0, None], pa.date32()), ["29349-01-26", "1970-01-01", ""]),
        (pa.array([{"at": value} for value in FAR], pa.struct({"at": FAR.type})), ["", "", ""]),
        (not_utf_8(), ["", "", ""]),
        (pa.array([b"ab", b"c", None]), ["b'ab'", "b'c'", ""]),
    ],
    ids=["far timestamp", "unknown time zone", "far date", "nested", "not UTF-8", "bytes"],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_value_of_another_column_costs_no_row_whatever_it_is(read, tmp_path, values, texts, first):
    rows = {"userId": ["u1", "u2", "u3"], "groupId": ["g1", "g2", "g3"], "remark": ["a", "b", "c"]}
    table = {"more": values, **rows} if first else {**rows, "more": values}
    parquet.write_table(pa.table(table), tmp_path / "rows.parquet")
    frame = read(tmp_path / "rows.parquet")
    assert frame[["user_id", "group_id", "remark", "reason"]].to_numpy().tolist() == [
        [f"u{n}", f"g{n}", "abc"[n - 1], ""] for n in (1, 2, 3)
    ]
    assert [json.loads(cells)[0 if first else 3] for cells in frame["cells"]] == texts


def test_a_timestamp_in_a_wanted_column_rejects_its_row_whatever_it_is(read, stored):
    frame = read(stored(userId=["u1"] * 3, groupId=["g1"] * 3, remark=FAR))
    assert frame["reason"].tolist() == ["not-text", "not-text", "empty-remark"]
    assert "holds '10000-01-01 00:00:00.000' of type timestamp[ms]" in frame["message"][0]


def test_two_columns_of_one_name_are_an_error(read, tmp_path):
    columns = [pa.array([name]) for name in "ugrxy"]
    parquet.write_table(pa.table(columns, ["userId", "groupId", "remark", "x", "x"]), tmp_path / "rows.parquet")
    with pytest.raises(SourceError, match=r"rows\.parquet has more than one column with the name 'x'"):
        read(tmp_path / "rows.parquet")


def test_row_groups_without_rows_are_read(read, tmp_path):
    table = pa.table({"userId": ["u1"], "groupId": ["g1"], "remark": ["a"]})
    with parquet.ParquetWriter(tmp_path / "rows.parquet", table.schema) as writer:
        for part in (table.slice(0, 0), table, table.slice(0, 0), table):
            writer.write_table(part)
    assert read(tmp_path / "rows.parquet")["number"].tolist() == [2, 3]


# Of DuckDB's tests (MIT), written by parquet-go: int64 id = 1, a group without fields, int32 optional_data = 100.
WITH_AN_EMPTY_GROUP = (
    "c-n1}zfZzI6vtl=#13d8`YyesLt~_Y1QAFCOc*dG#({w_IhdG23pT+Pq3FWkpW*0$i9;tx{{%<>5C;=?-xUq@$KAE}eRuDD-s?--hn+H}aEoU6"
    "^zpLVLWU4MNra59sR}H{QgO)rb4r6L-v$xWH18hXU)O&VleUbD-b9L75kU%(0kH(fB!b|OH-Rl&qNuMecBOL_=L(m1Iu8|`Nr_2uc9Q7$H<*%z"
    "+$zX4=GxhvR=C;RAcuXXr95X6I5skAthk=%j1gq%O>$oIM}g~m*6`f60xP>safXcJOz5Iuf=(H-kP?!LbjqoOxnin~>i_K$IyH&l&^VA)1D_|5"
    "^GAlqAYp6)`<XT3&iKp>6^V`a?ho!+;@%imf!{MKGR;*IAkx~=zzr^@-D1zb+#6ZrtEm(04*ZxjuAT9OvKpmgrCO}yx>I*(8})j>V%7Sko>Q*n"
    "ML`Fk1*h~uZTg2k0XPL!<p"
)


def test_a_column_without_fields_shifts_no_other(read, written):
    path = written(zlib.decompress(base64.b85decode(WITH_AN_EMPTY_GROUP)))
    [row] = read(path, user_column="id", group_column="optional_data", remark_column="nested").itertuples()
    assert (row.user_id, row.group_id, row.remark, row.reason) == ("1", "100", "", "blank-cell")


def test_a_damaged_file_is_an_error(read, stored, written):
    whole = stored(remark=["a"]).read_bytes()
    for content in (whole[:50], whole[:-20], b"PAR1" + bytes(50) + b"PAR1", whole[:4] + b"x" * 40 + whole[44:]):
        with pytest.raises(SourceError, match="is not a Parquet file that can be read"):
            read(written(content))
