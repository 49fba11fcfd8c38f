import datetime as dt

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


def test_a_damaged_file_is_an_error(read, stored, written):
    whole = stored(remark=["a"]).read_bytes()
    for content in (whole[:50], whole[:-20], b"PAR1" + bytes(50) + b"PAR1", whole[:4] + b"x" * 40 + whole[44:]):
        with pytest.raises(SourceError, match="is not a Parquet file that can be read"):
            read(written(content))
