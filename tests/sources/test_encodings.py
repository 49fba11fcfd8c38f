import random

import pytest

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source
from batch_alias.sources.encodings import find_encoding

SIMPLIFIED = ["王小明", "李思远", "张浩然", "欧阳娜娜", "测试-陈伟", "产品经理 赵敏", "客服小孙", "𠮷野家🐼"]
TRADITIONAL = ["王小明", "陳怡君", "張志豪", "黃俊傑", "廖雅雯", "蘇承恩", "業務部 鄭詩涵"]
KOREAN = ["김민준", "이서연", "박지훈", "최수빈", "정예은"]
JAPANESE = ["田中さくら", "鈴木ゆうき", "ヤマダタロウ", "たかはし"]
WESTERN = ["Hélène", "Jürgen Müller", "Åsa", "Çelik", "José"]


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


@pytest.mark.parametrize("count", [5, 20, 100])
@pytest.mark.parametrize(("codec", "names"), [("gb18030", SIMPLIFIED), ("big5", TRADITIONAL)])
def test_the_two_chinese_tables_are_never_taken_for_each_other(codec, names, count):
    for seed in range(50):
        text = table(random.Random(seed).choices(names, k=count))
        assert find_encoding(text.encode(codec)).codec in {codec, "cp950"}


@pytest.mark.parametrize(
    ("codec", "names"), [("cp949", KOREAN), ("shift_jis", JAPANESE), ("cp1252", WESTERN), ("latin-1", WESTERN)]
)
def test_another_encoding_is_an_error_until_it_is_said(read, written, codec, names):
    path = written(table(names).encode(codec))
    with pytest.raises(SourceError, match="--encoding"):
        read(path)
    assert read(path, encoding=codec)["remark"].tolist() == names


def test_what_could_be_either_is_asked():
    with pytest.raises(SourceError, match="could be GB18030 as well as Big5"):
        find_encoding("u1,g1,李明李明\n".encode("gb18030"))


def test_an_encoding_that_was_said_is_held_to(read, written):
    with pytest.raises(SourceError, match=r"is not UTF-8: byte 0xcd at 29, in row 2"):
        read(written(table(["王小明"]).encode("gb18030")), encoding="utf-8")
    with pytest.raises(SourceError, match=r"is not BIG5: byte 0x"):
        read(written(table(["𠮷野家🐼"]).encode("gb18030")), encoding="big5")


@pytest.mark.parametrize("said", ["utf-8", "utf-16-le", "utf-16"])
def test_a_mark_is_no_part_of_the_first_header_even_when_the_encoding_was_said(written, said):
    path = written(("\ufeff" + table(["a"])).encode(said.replace("utf-16", "utf-16-le").replace("-le-le", "-le")))
    with open_source(path, Reading(encoding=said)) as source:
        assert source.header == ("userId", "groupId", "remark")


@pytest.mark.parametrize("codec", ["gb18030", "utf-16-le", "utf-8"])
def test_a_wrong_byte_far_behind_the_sample_is_named_with_its_row(read, written, codec):
    good = table(SIMPLIFIED * 3000).encode(codec)
    bad = {"gb18030": b"\xff", "utf-16-le": b"\x00\xdc\x20\x00", "utf-8": b"\xc0"}[codec]
    with pytest.raises(SourceError, match=rf"byte 0x{bad[0]:02x} at {len(good):,}, in row 24,002"):
        read(written(good + bad + "u,g,a\r\n".encode(codec)))


def test_an_encoding_is_told_by_characters_far_behind_an_ascii_beginning(read, written):
    path = written(table(["Anna"] * 20_000 + SIMPLIFIED).encode("gb18030"))
    assert read(path)["remark"].tolist()[-len(SIMPLIFIED) :] == SIMPLIFIED


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_told_by_an_ascii_beginning(read, written, codec):
    path = written(table(["Anna"] * 20_000 + SIMPLIFIED).encode(codec))
    assert read(path)["remark"].tolist()[-len(SIMPLIFIED) :] == SIMPLIFIED


def test_no_character_is_ever_replaced(read, written):
    frame = read(written(table(["a\ufffdb"])))
    assert frame["remark"].tolist() == ["a\ufffdb"]
