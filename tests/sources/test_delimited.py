import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source, textlines

HEADER = "userId,groupId,remark\n"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@given(
    rows=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=8),
    delimiter=st.sampled_from(",\t;|"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    mark=st.booleans(),
)
def test_what_was_written_is_read_or_rejected_with_a_reason(
    read, tmp_path_factory, rows, delimiter, line_end, quoting, mark
):
    if any("\r" in value or "\n" in value for row in rows for value in row):
        quoting = csv.QUOTE_ALL  # csv.writer leaves a line end that is not its own bare
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerow(["userId", "groupId", "remark"])
    writer.writerows(rows)
    path = tmp_path_factory.mktemp("any") / "rows.csv"
    path.write_bytes(text.getvalue().encode("utf-8-sig" if mark else "utf-8"))

    with open_source(path, Reading()) as source:
        try:
            found = {row.number: row for batch in source.batches() for row in batch.itertuples()}
        except SourceError:
            found = {}
    for number, row in enumerate(rows, start=2):
        meant = [value.strip() for value in row]
        if number not in found:
            assert not any(meant)
        elif not found[number].reason:
            assert [found[number].user_id, found[number].group_id, found[number].remark] == meant
        else:
            assert found[number].message


def test_rows_are_counted_as_a_spreadsheet_counts_them(written):
    path = written(f'\n{HEADER}\nu1,g1,"two\nlines"\n\n  \nu2,g2,a\n,,\n')
    with open_source(path, Reading()) as source:
        numbers = [int(number) for batch in source.batches() for number in batch["number"]]
    assert numbers == [4, 7]
    assert source.blank_rows == 4


def test_mixed_line_ends_end_rows(read, written):
    assert len(read(written("userId,groupId,remark\r\nu1,g1,a\nu2,g2,b\ru3,g3,c"))) == 3


@pytest.mark.parametrize(("delimiter", "name"), [(",", "comma"), ("\t", "tab"), (";", "semicolon"), ("|", "pipe")])
def test_the_delimiter_is_the_one_that_makes_the_header_make_sense(written, delimiter, name):
    header = delimiter.join(["userId", "groupId", "remark", "a,b;c|d"])
    with open_source(written(f"{header}\n"), Reading()) as source:
        assert name in source.description
        assert source.header[:3] == ("userId", "groupId", "remark")


@pytest.mark.parametrize("line", ["sep=;\n", "sep=;\r\n", '"sep=;"\n', "SEP=;\n", "\ufeffsep=;\n"])
def test_excels_separator_line_names_the_delimiter_and_is_no_row(written, line):
    with open_source(written(f"{line}userId;groupId;remark\nu1;g1;a,b\n"), Reading()) as source:
        [batch] = source.batches()
    assert batch[["number", "remark"]].to_numpy().tolist() == [[2, "a,b"]]


def test_a_delimiter_can_be_said(read, written):
    path = written("userId^groupId^remark\nu1^g1^a,b\n")
    assert read(path, delimiter="^")["remark"].tolist() == ["a,b"]
    assert read(written("userId;groupId;remark\nu1;g1;a\n"), delimiter="semicolon")["remark"].tolist() == ["a"]


def test_without_a_header_columns_have_numbers_and_the_first_row_is_a_row(written):
    columns = {"user_column": "3", "group_column": "1", "remark_column": "2"}
    with open_source(written("\ng1;a;u1\ng2;b;u2\n"), Reading(header=False, **columns)) as source:
        [batch] = source.batches()
    assert source.header == ("1", "2", "3")
    assert batch[["number", "user_id", "group_id", "remark"]].to_numpy().tolist() == [
        [2, "u1", "g1", "a"],
        [3, "u2", "g2", "b"],
    ]


def test_without_a_header_the_columns_must_be_said(read, written):
    with pytest.raises(SourceError, match="--user-column NUMBER, counted from 1"):
        read(written("u1,g1,a\n"), header=False)


def test_progress_is_counted_in_bytes_of_the_file(written):
    path = written(HEADER + "".join(f"u{n},g1,a\n" for n in range(50_000)))
    with open_source(path, Reading()) as source:
        seen = [source.progress() for _ in source.batches()]
        assert source.progress() == (path.stat().st_size,) * 2
    assert seen == sorted(seen)
    assert 0 < seen[0][0] < seen[0][1] == path.stat().st_size


def test_files_larger_than_a_chunk_come_in_bounded_batches(written):
    path = written(HEADER + "".join(f"u{n},g1,a\n" for n in range(25_000)))
    with open_source(path, Reading()) as source:
        batches = list(source.batches())
    assert [len(batch) for batch in batches] == [10_000, 10_000, 5_000]
    assert [int(number) for batch in batches for number in batch["number"]] == list(range(2, 25_002))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n\n", "nothing but white space"),
        (HEADER.encode(), "has a header but no rows"),
        (HEADER.encode() + b"\n,,\n", "has a header but no rows"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "a PNG image"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (bytes(10) + bytes(range(90)), "It is not text"),
        (bytes(range(1, 256)) * 20, "is not UTF-8"),
        (HEADER.encode() + b"u1,g1,a\n\nu2,g2,\xff\n", r"byte 0xff at 37, in row 4"),
        (HEADER.encode() + b'u1,g1,"a\nb"\nu2,g2,\xd5\xc5\n', r"byte 0xd5 at 40, in row 3"),
        (HEADER.encode() + b"u1,g1,\xe4\xbd", "in row 2"),
        (HEADER.encode() + b'u1,g1,a\nu2,g2,"b\nu3,g3,c\nu4,g4,d\n', r"Row 3 \(line 3\) of rows.csv opens a quote"),
        (HEADER.encode() + b'u1,g1,a\nu2,g2,"b\nu3,g3,c\nu4,g4,"d"\n', r"Row 3 \(line 3\) of rows.csv opens a quote"),
        (HEADER.encode() + b'u1,g1,"' + b"x\n" * 100_000, r"Row 2 .* more than 131,072 characters"),
        (HEADER.encode() + b"u1,g1," + b"x" * 1_000_000, "line of more than"),
        (b'"userId,groupId,remark\n', "first row of rows.csv cannot be read"),
    ],
)
def test_a_broken_file_is_an_error_in_one_sentence(read, written, content, says):
    with pytest.raises(SourceError, match=says):
        read(written(content))


def test_a_bad_byte_far_down_is_placed_exactly(read, written):
    good = "".join(f"u{n},g1,昵称\n" for n in range(20_000)).encode()
    with pytest.raises(SourceError, match=rf"byte 0xff at {len(HEADER) + len(good) + 6:,}, in row 20,002"):
        read(written(HEADER.encode() + good + b"u1,g1,\xff\n"))


@pytest.mark.parametrize(("name", "says"), [("missing.csv", "There is no file"), (".", "is a folder")])
def test_what_is_no_file_is_said_to_be_none(read, tmp_path, name, says):
    with pytest.raises(SourceError, match=says):
        read(tmp_path / name)


def test_what_fails_around_the_source_is_not_laid_at_its_door(written):
    def use(path):
        with open_source(path, Reading()) as source:
            for _ in source.batches():
                raise OSError("the disk of the ledger is full")

    with pytest.raises(OSError, match="the disk of the ledger is full"):
        use(written(HEADER + "u1,g1,a\n"))


def test_one_long_line_is_refused_before_it_is_read(written):
    path = written(HEADER + "u1,g1,a\n" * 10_000)
    with path.open("r+b") as file:
        file.truncate(2**40)  # sparse: a terabyte of NUL on one line
    with pytest.raises(SourceError, match="line of more than"), open_source(path, Reading()) as source:
        list(source.batches())


def test_the_longest_line_leaves_room_for_the_longest_field():
    assert csv.field_size_limit() < textlines.LONGEST_LINE
