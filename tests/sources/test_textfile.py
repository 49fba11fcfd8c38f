import csv
import gzip
import io
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source, textfile
from batch_alias.sources.textfile import TextReader, UndecodableByteError

TEXT = "userId,groupId,remark\nu1,g1,王小明\n".encode()


def lines_of(path, encoding=None):
    with closing(TextReader(path, encoding)) as text:
        return [line for block in text.blocks() for line in block]


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


def test_a_line_of_the_last_block_is_known_by_its_number(written):
    with closing(TextReader(written("".join(f"line {n}\n" for n in range(1, 20_001))), None)) as text:
        for number, line in enumerate((line for block in text.blocks() for line in block), start=1):
            assert text.line(number) == line == f"line {number}\n"
    assert number == 20_000


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "gb18030", "utf-16-le", "utf-16"])
@pytest.mark.parametrize("length", [10, 70_000])
@pytest.mark.parametrize("begun", ["", "名字"])
def test_the_whole_lines_before_an_undecodable_byte_are_read(written, codec, length, begun):
    good = ("王" * length + "\n" + begun).encode(codec)
    bad = b"\x00\xdc\x20\x00" if codec.startswith("utf-16") else b"\xff"
    with closing(TextReader(written(good + bad + "\n".encode(codec)), codec)) as text:
        lines = []
        with pytest.raises(UndecodableByteError) as error:
            lines.extend(line for block in text.blocks() for line in block)
    assert lines == ["王" * length + "\n"]
    assert (error.value.byte, error.value.offset) == (bad[0], len(good))


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


def test_a_gzip_that_unpacks_to_far_more_than_a_table_is_refused(written):
    bomb = written(gzip.compress(b"a,b,c\n" * 2**16))
    assert len(lines_of(bomb)) == 2**16
    with pytest.raises(SourceError, match="unpacks to far more than a table"):
        TextReader(bomb, None, bomb_bytes=2**15)


def test_a_long_line_is_refused_before_it_is_read(written):
    path = written(b"userId,groupId,remark\n" + b"u1,g1,a\n" * 10_000)
    with path.open("r+b") as file:
        file.truncate(2**40)  # a sparse file: a terabyte of NUL in one line
    with pytest.raises(SourceError, match="has a line of more than 262,144 characters"):
        lines_of(path)


@pytest.mark.parametrize("length", [textfile.LONGEST_LINE - 1, textfile.LONGEST_LINE])
def test_the_longest_line_has_one_character_less_than_the_limit(written, length):
    path = written("a\n" + "x" * (length - 1) + "\n" + "b\n" * 50_000)
    if length < textfile.LONGEST_LINE:
        assert len(lines_of(path)) == 50_002
    else:
        with pytest.raises(SourceError, match="has a line of more than"):
            lines_of(path)


def test_the_longest_line_is_longer_than_the_longest_field():
    assert csv.field_size_limit() < textfile.LONGEST_LINE
