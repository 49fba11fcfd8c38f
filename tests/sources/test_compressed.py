import gzip
import io
import zipfile

import pytest

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source

TEXT = "userId,groupId,remark\nu1,g1,王小明\n".encode()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (gzip.compress(TEXT), "gzip"),
        (gzip.compress(TEXT[:20]) + gzip.compress(TEXT[20:]), "gzip"),
        (zipped({"rows.csv": TEXT}), "zip"),
        (zipped({"folder/": b"", "folder/rows.csv": TEXT, "__MACOSX/folder/._rows.csv": b"x"}), "zip"),
        (
            gzip.compress(b'{"userId": "u1", "groupId": "g1", "remark": "\xe7\x8e\x8b\xe5\xb0\x8f\xe6\x98\x8e"}\n'),
            "gzip",
        ),
    ],
    # Compressed bytes have the time in them: as names they would differ from one process of the suite to the other.
    ids=["gzip", "two gzips in a row", "zip", "zip with a folder", "gzip of JSON Lines"],
)
def test_a_compressed_text_is_read_through(written, content, name):
    with open_source(written(content), Reading()) as source:
        [batch] = source.batches()
    assert name in source.description
    assert batch["remark"].tolist() == ["王小明"]
    assert source.progress() == (len(content), len(content))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (zipped({"a.csv": TEXT, "b.csv": TEXT}), "holds 2 files instead of one"),
        (zipped({}), "an empty zip archive"),
        (zipped({"a.csv": TEXT})[:60], "cannot be unpacked"),
        (gzip.compress(TEXT)[:-12], "cannot be unpacked"),
        (gzip.compress(TEXT * 1000)[:100], "cannot be unpacked"),
        (b"\x1f\x8b\x08 and then nothing of the kind", "cannot be unpacked"),
        (zipped({"a.csv": TEXT}).replace(b"a.csv", b"b.csv", 1), "cannot be unpacked"),
        (zipped({"rows.xlsx": zipped({"[Content_Types].xml": b""})}), "It is not text|not UTF-8"),
    ],
    ids=[
        "two files",
        "no file",
        "half a zip",
        "gzip without an end",
        "half a gzip",
        "a mark alone",
        "two names",
        "nested",
    ],
)
def test_a_broken_archive_is_an_error_in_one_sentence(read, written, content, says):
    with pytest.raises(SourceError, match=says):
        read(written(content, "rows.zip"))


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped({"rows.csv": content})])
def test_a_bomb_is_put_down_before_it_has_gone_off(read, written, pack):
    bomb = pack(TEXT + (b"u1,g1," + b"a" * 100_000 + b"\n") * 1_300)
    assert len(bomb) < 2**20
    with pytest.raises(SourceError, match="unpacks to far more than a table would"):
        read(written(bomb))
