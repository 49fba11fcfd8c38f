import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source, textfile
from batch_alias.sources.textfile import TextReader

SIMPLIFIED = ["王小明", "李思远", "张浩然", "欧阳娜娜", "测试-陈伟", "产品经理 赵敏", "客服小孙", "𠮷野家🐼"]
TRADITIONAL = ["王小明", "陳怡君", "張志豪", "黃俊傑", "廖雅雯", "蘇承恩", "業務部 鄭詩涵"]
KOREAN = ["김민준", "이서연", "박지훈", "최수빈", "정예은"]
JAPANESE = ["田中さくら", "鈴木ゆうき", "ヤマダタロウ", "たかはし"]
WESTERN = ["Hélène", "Jürgen Müller", "Åsa", "Çelik", "José"]
TEXT = "userId,groupId,remark\nu1,g1,王小明\n".encode()


def lines_of(path, encoding=None):
    with path.open("rb") as file:
        return list(TextReader(file, path.name, encoding).lines())


@given(
    text=st.text(st.sampled_from("ab\n\r\x85\u2028王🐼"), max_size=60),
    position=st.integers(-30, 30),
    codec=st.sampled_from(["utf-8", "gb18030", "utf-16-le"]),
)
def test_lines_end_where_python_ends_them_across_blocks(tmp_path_factory, text, position, codec):
    content = ("x" * (textfile.BLOCK + position) + text).encode(codec)
    path = tmp_path_factory.mktemp("any") / "text"
    path.write_bytes(content)
    assert lines_of(path, codec) == io.StringIO(content.decode(codec), newline="").readlines()


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(TEXT),
        gzip.compress(TEXT[:20]) + gzip.compress(TEXT[20:]),
        gzip.compress('{"userId": "u1", "groupId": "g1", "remark": "王小明"}\n'.encode()),
    ],
    # Compressed bytes contain the time: as names of tests they would differ from process to process.
    ids=["gzip", "two gzips in a row", "gzip of JSON Lines"],
)
def test_a_gzip_is_read_like_the_text_in_it(written, content):
    with open_source(written(content), Reading()) as source:
        [batch] = source.batches()
    assert "gzip" in source.description
    assert batch["remark"].tolist() == ["王小明"]
    assert source.progress() == (len(content), len(content))


@pytest.mark.parametrize(
    "content",
    [gzip.compress(TEXT)[:-12], gzip.compress(TEXT * 1000)[:100], b"\x1f\x8b\x08 and then something else"],
    ids=["no end", "half", "only a magic number"],
)
def test_a_damaged_gzip_is_an_error(read, written, content):
    with pytest.raises(SourceError, match=r"rows\.csv cannot be unpacked: "):
        read(written(content))


def test_a_gzip_that_unpacks_to_far_more_than_a_table_is_refused(monkeypatch, written):
    bomb = written(gzip.compress(b"a,b,c\n" * 2**16))
    assert len(lines_of(bomb)) == 2**16
    monkeypatch.setattr(textfile, "BOMB_BYTES", 2**15)
    with pytest.raises(SourceError, match="unpacks to far more than a table"):
        lines_of(bomb)


def test_a_long_line_is_refused_before_it_is_read(written):
    path = written(b"userId,groupId,remark\n" + b"u1,g1,a\n" * 10_000)
    with path.open("r+b") as file:
        file.truncate(2**40)  # a sparse file: a terabyte of NUL in one line
    with pytest.raises(SourceError, match="has a line of more than 262,144 characters"):
        lines_of(path)


def table(names, header="userId,groupId,remark"):
    return header + "\r\n" + "".join(f"u{place},g1,{name}\r\n" for place, name in enumerate(names))


@pytest.mark.parametrize(
    ("codec", "names", "name"),
    [
        ("utf-8", SIMPLIFIED, "UTF-8"),
        ("utf-8-sig", SIMPLIFIED, "UTF-8 with mark"),
        ("utf-16", SIMPLIFIED, "UTF-16 with mark"),
        ("utf-16-le", SIMPLIFIED, "UTF-16 LE"),
        ("utf-16-be", SIMPLIFIED, "UTF-16 BE"),
        ("utf-32", SIMPLIFIED, "UTF-32 with mark"),
        ("gb18030", SIMPLIFIED, "GB18030"),
        ("gbk", SIMPLIFIED[:-1], "GB18030"),
        ("big5", TRADITIONAL, "Big5"),
        ("cp950", TRADITIONAL, "Big5"),
    ],
)
def test_each_encoding_is_found_and_its_text_read(written, codec, names, name):
    path = written(table(names).encode(codec))
    with open_source(path, Reading()) as source:
        [batch] = source.batches()
    assert f", {name}, comma" in source.description
    assert batch["remark"].tolist() == names
    assert batch["number"].tolist() == list(range(2, len(names) + 2))
    assert source.columns.names == ("userId", "groupId", "remark")


@pytest.mark.parametrize(
    ("codec", "names"), [("cp949", KOREAN), ("shift_jis", JAPANESE), ("cp1252", WESTERN), ("latin-1", WESTERN)]
)
def test_another_encoding_has_to_be_named(read, written, codec, names):
    path = written(table(names).encode(codec))
    with pytest.raises(SourceError, match="--encoding"):
        read(path)
    assert read(path, encoding=codec)["remark"].tolist() == names


def test_a_byte_that_is_not_in_the_named_encoding_is_an_error(read, written):
    with pytest.raises(SourceError, match=r"is not UTF-8: byte 0xcd at 29, in line 2"):
        read(written(table(["王小明"]).encode("gb18030")), encoding="utf-8")
    with pytest.raises(SourceError, match=r"is not BIG5: byte 0x"):
        read(written(table(["𠮷野家🐼"]).encode("gb18030")), encoding="big5")


@pytest.mark.parametrize("name", ["utf-8", "utf-16-le", "utf-16"])
def test_a_byte_order_mark_is_not_part_of_the_header_when_the_encoding_is_named(written, name):
    path = written(("\ufeff" + table(["a"])).encode("utf-8" if name == "utf-8" else "utf-16-le"))
    with open_source(path, Reading(encoding=name)) as source:
        assert source.header == ("userId", "groupId", "remark")


@pytest.mark.parametrize("name", ["utf-16", "UTF_32"])
def test_without_a_byte_order_mark_the_byte_order_has_to_be_named(read, written, name):
    path = written(table(["王小明"]).encode(f"{name}-le"))
    with pytest.raises(SourceError, match=r"does not begin with the byte order mark .*-LE or .*-BE"):
        read(path, encoding=name)
    assert read(path, encoding=f"{name}-le")["remark"].tolist() == ["王小明"]


@pytest.mark.parametrize("codec", ["gb18030", "utf-16-le", "utf-8"])
def test_an_undecodable_byte_behind_the_sample_is_an_error_with_its_line(read, written, codec):
    good = table(SIMPLIFIED * 1000).encode(codec)
    bad = {"gb18030": b"\xff", "utf-16-le": b"\x00\xdc\x20\x00", "utf-8": b"\xc0"}[codec]
    with pytest.raises(SourceError, match=rf"byte 0x{bad[0]:02x} at {len(good):,}, in line 8,002"):
        read(written(good + bad + "u,g,a\r\n".encode(codec)))


@pytest.mark.parametrize("codec", ["gb18030", "utf-16-le", "utf-16-be"])
def test_the_encoding_is_found_in_a_text_that_begins_with_ascii(read, written, codec):
    path = written(table(["Anna"] * 10_000 + SIMPLIFIED).encode(codec))
    assert read(path)["remark"].tolist()[-len(SIMPLIFIED) :] == SIMPLIFIED


def test_replacement_characters_in_the_text_are_kept(read, written):
    assert read(written(table(["a\ufffdb"])))["remark"].tolist() == ["a\ufffdb"]
