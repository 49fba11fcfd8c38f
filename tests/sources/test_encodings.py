import json
import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.errors import SourceError
from batch_alias.sources.encodings import find_encoding

ENGLISH = "userId,groupId,remark"
SIMPLIFIED, NICKNAMES, TRADITIONAL, JAPANESE, KOREAN = (
    names.split()
    for names in (
        "王小明 李思远 张浩然 欧阳娜娜 赵敏 客服小孙 刘子涵 陈伟 黄志强 周雨桐 吴佳怡 徐静蕾 马超 郭建国",
        "老王 财务-李思远 产品部张三 爱吃鱼的猫 Tony老师 风一样的男子 ★小美★ 平安是福 销售一部-孙健 豆豆妈 今天要加油",
        "王小明 陳怡君 張志豪 黃俊傑 廖雅雯 蘇承恩 鄭詩涵 林佩珊 業務部陳經理 愛吃魚的貓 許家銘 葉寶珠 劉淑芬 蔡宗翰",
        "田中太郎 鈴木一郎 佐藤花子 高橋健太 渡辺美咲 山本翔 中村さくら 小林直樹 ヤマダ太郎 加藤舞 清水翼 三浦香織",
        "김민준 이서연 박지훈 최수빈 정예은 강하늘 조현우 윤아름 장동건 임윤아 한지민 오세훈 문채원",
    )
)
POLISH = ["Łukasz Żak", "Małgorzata Wiśniewska", "Paweł Wąs", "Stanisław Dąbrowski", "Wałęsa", "Jaśmin", "Święch"]
CZECH = ["Jiří Dvořák", "Božena Němcová", "Lukáš Kříž", "Věra Šťastná", "Tomáš Černý", "Zdeněk Bureš"]
HUNGARIAN = ["Győző Kósz", "Ágnes Tóth", "Zoltán Kovács", "Gergő Szűcs", "Lőrinc Vörös", "Ödön Nagy"]
VIETNAMESE = ["Nguyê\u0303n Ha\u0309i", "Trâ\u0300n Quang Đă\u0323ng", "Lê Thi\u0323 Hô\u0300ng", "Pha\u0323m Vu\u0303"]
THAI = ["สมชาย ใจดี", "กนกเนตร คำลือ", "ปิยนาฎ นิลสุวรรณ์", "บุญเกิด ถนัดการเขียน", "วรรณา ศรีสุข"]
RUSSIAN = ["Иван Петров", "Ольга Смирнова", "Ёлкин Артём", "Наталья Кузнецова", "МАРИЯ", "Сергей Орлов-Щукин"]
WESTERN = ["Hélène", "José Muñoz", "Jürgen Müller", "Åsa Öberg", "Çelik", "François", "Núñez", "Ångström"]
FOREIGN = {
    "euc-jp": JAPANESE,
    "cp932": JAPANESE,
    "euc-kr": KOREAN,
    "cp949": [*KOREAN, "뷁뷁이", "펲시맨"],
    "cp1250": POLISH + CZECH + HUNGARIAN,
    "iso8859-2": POLISH + CZECH + HUNGARIAN,
    "cp1258": VIETNAMESE,
    "cp874": THAI,
    "koi8-r": RUSSIAN,
    "cp1251": RUSSIAN,
    "cp1252": WESTERN,
    "latin-1": WESTERN,
}


def table(names, header=ENGLISH):
    return header + "\r\n" + "".join(f"u{1001 + place},g2001,{name}\r\n" for place, name in enumerate(names))


def samples(names, sizes, each=20):
    """Tables of names drawn from a list; the same in every run."""
    return [table(random.Random(f"{size} {n}").choices(names, k=size)) for size in sizes for n in range(each)]


def found(text, codec):
    return find_encoding(text.encode(codec), None, file="names.csv")


def refusal(text, codec):
    with pytest.raises(SourceError) as caught:
        found(text, codec)
    return caught.value


@pytest.mark.parametrize(
    ("codec", "names", "name"),
    [
        ("gb18030", SIMPLIFIED, ("gb18030", "GB18030")),
        ("gb18030", NICKNAMES, ("gb18030", "GB18030")),
        ("gb18030", TRADITIONAL, ("gb18030", "GB18030")),
        ("big5", TRADITIONAL, ("cp950", "Big5")),
    ],
    ids=["simplified", "nicknames", "traditional in GB18030", "Big5"],
)
def test_ten_names_or_nicknames_show_the_encoding(codec, names, name):
    assert {found(text, codec) for text in samples(names, (10, 30))} == {name}


@pytest.mark.parametrize(("codec", "names"), [("gb18030", SIMPLIFIED + NICKNAMES), ("big5", TRADITIONAL)])
def test_a_few_names_are_read_right_or_refused(codec, names):
    right = 0
    texts = samples(names, (1, 2, 3), each=50)
    for text in texts:
        with suppress(SourceError):
            assert text.encode(codec).decode(found(text, codec)[0]) == text
            right += 1
    assert right > len(texts) / 2


@pytest.mark.parametrize("codec", FOREIGN)
def test_another_encoding_is_refused_and_one_proposed_that_reads_the_text(codec):
    refused = {text: refusal(text, codec) for text in samples(FOREIGN[codec], (2, 3, 10, 30))}
    for error in refused.values():
        assert error.problem.startswith("The encoding of names.csv is not certain: '")
        assert "--encoding" in error.advice
    texts = samples(FOREIGN[codec], (10, 30))
    proposed = [refused[text].advice.partition("such as --encoding ")[2].partition(";")[0] for text in texts]
    right = sum(text.encode(codec).decode(name) == text for text, name in zip(texts, proposed, strict=True))
    assert right >= 0.9 * len(texts)


def test_the_error_shows_a_name_as_each_encoding_would_read_it():
    error = refusal(table(["田中太郎", "鈴木一郎"]), "euc-jp")
    assert error.problem == (
        "The encoding of names.csv is not certain: '田中太郎' in EUC-JP, '拍面吕虾' in GB18030, '鼴醱臍牬' in Big5."
    )
    assert error.advice == "Name it with --encoding, such as --encoding euc-jp; or save it as CSV UTF-8."


@pytest.mark.parametrize(
    ("codec", "names", "shown"),
    [
        ("gb18030", ["Anna", "王小明"], "'王小明' in GB18030, '卼苤隴' in Big5."),
        ("latin-1", ["José", "Muñoz"], "'Muñoz' in Windows-1252, 'Muńoz' in Windows-1250."),
        ("koi8-r", ["Ольга"], "'Ольга' in KOI8-R."),
    ],
    ids=["one name proves nothing", "the first name that differs", "one encoding fits"],
)
def test_the_error_shows_what_tells_the_encodings_apart(codec, names, shown):
    assert refusal(table(names), codec).problem.endswith(f": {shown}")


def test_names_that_would_be_chinese_ones_too_are_refused():
    names = ["北川敬子", "玉木吉保", "市川里純"]  # 颂李飞灰, 短腾等瘦, 辉李韦姐
    assert "'颂李飞灰' in GB18030, '北川敬子' in EUC-JP" in refusal(table(names), "euc-jp").problem


def test_an_encoding_that_hardly_fits_is_not_proposed():
    error = refusal(table(["夨夬夵"]), "gb18030")
    assert "'夨夬夵' in GB18030" in error.problem
    assert error.advice == "Save it as CSV UTF-8, or name its encoding with --encoding."


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("gb18030", table(["夨"], "用户ID,群组ID,群昵称")),
        ("gb18030", table(["夨"], "用户ID|群组ID|群昵称").replace(",", "|")),
        ("gb18030", table(["夨"], "填写说明：夨夬夵\r\n\r\n用户ID（必填）\t群组ID\t群内昵称*")),
        ("gb18030", table(["檀倩", "陈兵", "庄颖"], "用户ID,群组ID,群昵称")),  # seven of its pairs are UTF-8 too
        ("gb18030", json.dumps({"userId": "u1", "groupId": "g1", "群昵称": "夨"}, ensure_ascii=False)),
        ("gb18030", table(["夨"], "員工編號,群組ID,備註")),
        ("cp950", table(["彳"], "用戶ID,群組ID,備註")),
        ("cp950", table(["彳"], "userId,groupId,群暱稱")),
    ],
    ids=["CSV", "pipe", "under a title", "part UTF-8", "keys of JSON", "traditional", "Big5", "one name in Big5"],
)
def test_a_known_name_of_a_column_decides(codec, text):
    assert found(text, codec)[0] == codec


def test_a_known_name_in_an_encoding_that_is_not_taken_decides_nothing():
    assert "in EUC-JP" in refusal(table(["田中太郎", "鈴木一郎"], "userId,groupId,別名"), "euc-jp").problem


@pytest.mark.parametrize(
    "content",
    [
        table(SIMPLIFIED).encode() + b"\xff\r\n" + table(SIMPLIFIED).encode(),
        table(["Anna"]).encode() + b"\xff\r\n",
        b"u1,g1,Jos\xe9",
        table(["a\ufffdb"]).encode(),
    ],
    ids=["one wrong byte", "nothing but a wrong byte", "half a character at the end", "replacement characters"],
)
def test_what_is_in_no_encoding_is_read_as_utf_8_to_name_the_byte(content):
    assert find_encoding(content, None, file="names.csv") == ("utf-8", "UTF-8")


@pytest.mark.parametrize(("codec", "names"), [("gb18030", SIMPLIFIED), ("big5", TRADITIONAL), ("utf-8", SIMPLIFIED)])
def test_the_sample_may_end_within_a_character(codec, names):
    content = table(names).encode(codec).rstrip()
    whole = find_encoding(content, None, file="names.csv")
    assert find_encoding(content[:-1], None, file="names.csv") == whole


def test_bytes_that_are_not_text_are_refused():
    with pytest.raises(SourceError, match=r"rows\.csv is not text"):
        find_encoding(bytes(10) + bytes(range(90)), None, file="rows.csv")


@given(st.binary(max_size=40).map(lambda content: b"u1,g1," + content))
def test_any_bytes_have_an_encoding_or_are_refused(content):
    try:
        codec, _ = find_encoding(content, None, file="names.csv")
    except SourceError:
        return
    assert codec in {"utf-8", "utf-16-le", "utf-16-be", "gb18030", "cp950", "big5hkscs"}
