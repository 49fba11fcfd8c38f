import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source

HEADER = "userId,groupId,remark\n"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@settings(max_examples=50)
@given(
    rows=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=8),
    delimiter=st.sampled_from(",\t;|"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    mark=st.booleans(),
)
def test_values_are_read_as_written_or_rejected(read, tmp_path_factory, rows, delimiter, line_end, quoting, mark):
    if any("\r" in value or "\n" in value for row in rows for value in row):
        quoting = csv.QUOTE_ALL  # csv.writer does not quote a line end that is not its own
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
        values = [value.strip() for value in row]
        if number not in found:
            assert not any(values)
        elif not found[number].reason:
            assert [found[number].user_id, found[number].group_id, found[number].remark] == values
        else:
            assert found[number].message


def test_a_row_ends_at_any_line_end(read, written):
    assert len(read(written("userId,groupId,remark\r\nu1,g1,a\nu2,g2,b\ru3,g3,c"))) == 3


@pytest.mark.parametrize(("delimiter", "name"), [(",", "comma"), ("\t", "tab"), (";", "semicolon"), ("|", "pipe")])
def test_the_delimiter_is_the_one_with_which_the_header_has_the_columns(written, delimiter, name):
    header = delimiter.join(["userId", "groupId", "remark", "a,b;c|d"])
    with open_source(written(f"{header}\n"), Reading()) as source:
        assert name in source.description
        assert source.header[:3] == ("userId", "groupId", "remark")


@pytest.mark.parametrize("line", ["sep=;\n", "sep=;\r\n", '"sep=;"\n', "SEP=;\n", "\ufeffsep=;\n"])
def test_a_separator_line_names_the_delimiter_and_is_not_a_row(read, written, line):
    frame = read(written(f'{line}userId;groupId;remark\nu1;g1;a,b\nu2;g2;"c"d\n'))
    assert frame[["number", "user_id", "remark"]].to_numpy().tolist() == [[2, "u1", "a,b"], [3, 'u2;g2;"c"d', ""]]
    assert frame["reason"].tolist() == ["", "misplaced-quote"]


def test_a_delimiter_can_be_named(read, written):
    path = written("userId^groupId^remark\nu1^g1^a,b\n")
    assert read(path, delimiter="^")["remark"].tolist() == ["a,b"]
    assert read(written("userId;groupId;remark\nu1;g1;a\n"), delimiter="semicolon")["remark"].tolist() == ["a"]


def test_without_a_header_columns_are_numbered_and_the_first_row_is_data(written):
    columns = {"user_column": "3", "group_column": "1", "remark_column": "2"}
    with open_source(written("\ng1;a;u1\ng2;b;u2\n"), Reading(no_header=True, **columns)) as source:
        [batch] = source.batches()
    assert source.header == ("1", "2", "3")
    assert batch[["number", "user_id", "group_id", "remark"]].to_numpy().tolist() == [
        [2, "u1", "g1", "a"],
        [3, "u2", "g2", "b"],
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"rows\.csv is empty"),
        (b" \n\n", "nothing but white space"),
        (bytes(10) + bytes(range(90)), "is not text"),
        (bytes(range(128, 256)) * 20, "is not UTF-8"),
        (b"u1,\xff\n", r"byte 0xff at 3, in row 1"),
        (HEADER.encode() + b"u1,g1,a\n\nu2,g2,\xff\n", r"byte 0xff at 37, in row 4"),
        (HEADER.encode() + b'u1,g1,"a\nb"\nu2,g2,\xff\n', r"byte 0xff at 40, in row 3"),
        (HEADER.encode() + b"u1,g1,\xe4\xbd", "in row 2"),
        (HEADER.encode() + b'u1,g1,a\nu2,g2,"b\nu3,g3,c\nu4,g4,d\n', r"Row 3 \(line 3\) of rows.csv opens a quote"),
        (HEADER.encode() + b'u1,g1,a\nu2,g2,"b\nu3,g3,c\nu4,g4,"d"\n', r"Row 3 \(line 3\) .* down to line 5"),
        (HEADER.encode() + b'u1,g1,"' + b"x\n" * 100_000, r"Row 2 .* more than 131,072 characters"),
        (HEADER.encode() + b"u1,g1," + b"x" * 1_000_000, "line of more than"),
        (b'"userId,groupId,remark\n', "Row 1 of rows.csv cannot be read: A quote"),
    ],
)
def test_a_damaged_file_is_an_error(read, written, content, message):
    with pytest.raises(SourceError, match=message):
        read(written(content))


def test_the_row_of_an_undecodable_byte_is_exact_far_down_the_file(read, written):
    good = "".join(f"u{n},g1,昵称\n" for n in range(20_000)).encode()
    with pytest.raises(SourceError, match=rf"byte 0xff at {len(HEADER) + len(good) + 6:,}, in row 20,002"):
        read(written(HEADER.encode() + good + b"u1,g1,\xff\n"))
