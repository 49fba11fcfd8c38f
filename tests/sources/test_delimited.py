import csv
import io
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source

HEADER = "userId,groupId,remark\n"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
CELLS = st.one_of(st.text("ab'\",;\n ", max_size=6), TEXT)
IDS = st.one_of(st.sampled_from(["u1", "g2"]), CELLS)
ROWS = st.lists(st.tuples(IDS, CELLS, IDS, CELLS), min_size=1, max_size=8)
DIALECTS = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",\t;|"),
        "lineterminator": st.sampled_from(["\n", "\r\n", "\r"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    }
)
OTHER_QUOTES = [{"quotechar": "'", "quoting": csv.QUOTE_ALL}, {"doublequote": False, "escapechar": "\\"}]


def as_text(rows, dialect):
    if any("\r" in value or "\n" in value for row in rows for value in row):
        dialect = dialect | {"quoting": csv.QUOTE_ALL}  # csv.writer does not quote a line end that is not its own
    text = io.StringIO(newline="")
    csv.writer(text, **dialect).writerows([["userId", "more", "groupId", "remark"], *rows])
    return text.getvalue()


def without(rows, characters):
    return [tuple("".join(c for c in value if c not in characters) for value in row) for row in rows]


def sent(folder, text, mark=""):
    """The rows that would be sent, by their numbers; none of a file that is refused."""
    path = folder.mktemp("any") / "rows.csv"
    path.write_bytes((mark + text).encode())
    with suppress(SourceError), open_source(path, Reading()) as source:
        rows = [row for batch in source.batches() for row in batch.itertuples()]
        assert all(row.message for row in rows if row.reason)
        return {row.number: (row.user_id, row.group_id, row.remark) for row in rows if not row.reason}
    return {}


def values(row):
    return tuple(row[place].strip() for place in (0, 2, 3))


@given(rows=ROWS, dialect=DIALECTS, mark=st.sampled_from(["", "\ufeff"]))
def test_values_are_read_as_written_or_rejected(tmp_path_factory, rows, dialect, mark):
    for number, found in sent(tmp_path_factory, as_text(rows, dialect), mark).items():
        assert found == values(rows[number - 2])


@pytest.mark.parametrize("quotes", OTHER_QUOTES)
@given(rows=ROWS, dialect=DIALECTS)
def test_values_in_other_quotes_are_read_as_written_or_rejected(tmp_path_factory, rows, dialect, quotes):
    """Not by their numbers: two lines that become one field, which is rejected, count as one row."""
    rows = [(f"u{n}", row[1], f"g{n}", row[3]) for n, row in enumerate(without(rows, "\r\n\\"))]
    assert set(sent(tmp_path_factory, as_text(rows, dialect | quotes)).values()) <= set(map(values, rows))


@settings(max_examples=2 * settings().max_examples)
@given(rows=ROWS, dialect=DIALECTS, place=st.integers(0, 400), added=st.booleans())
def test_a_quote_too_many_or_too_few_makes_no_other_values(tmp_path_factory, rows, dialect, place, added):
    """Of a table without line breaks within values, that is: a quote beside one really ends, or begins, a row there."""
    rows = [(f"u{n}", row[1], f"g{n}", row[3]) for n, row in enumerate(without(rows, "\r\n"))]
    text = as_text(rows, dialect)
    places = range(len(text)) if added else [place for place, character in enumerate(text) if character == '"']
    place = places[place % len(places)] if places else 0
    damaged = f'{text[:place]}"{text[place:]}' if added else text[:place] + text[place + 1 :]
    assert set(sent(tmp_path_factory, damaged).values()) <= set(map(values, rows))


@pytest.mark.parametrize(
    ("row", "values"),
    [
        ('u1, g1, "c"', ["u1", "g1", "c"]),
        (' "u1" ,\u3000"g1"\t, "c, d" ', ["u1", "g1", "c, d"]),
        ('u1,g1,  "two\nlines"  ', ["u1", "g1", "two\nlines"]),
        ('u1,g1, " "" "', ["u1", "g1", '"']),
        ('u1,g1,6" by 9"', ["u1", "g1", '6" by 9"']),
        ('u1,g1,Robert "Bob" Smith', ["u1", "g1", 'Robert "Bob" Smith']),
        ('u1,g1,"Robert ""Bob"" Smith"', ["u1", "g1", 'Robert "Bob" Smith']),
        ('"u1","g1","""Bob"""', ["u1", "g1", '"Bob"']),
        ('u1,g1,"' + "x" * 131_072 + '"', ["u1", "g1", "x" * 131_072]),
    ],
)
def test_quotes_that_belong_to_the_notation_are_not_part_of_a_value(read, written, row, values):
    [found] = read(written(f"{HEADER}{row}\n")).itertuples()
    assert ([found.user_id, found.group_id, found.remark], found.reason) == (values, "")


@pytest.mark.parametrize("delimiter", "\t;|^ ")
def test_white_space_around_quotes_is_not_a_delimiter(read, written, delimiter):
    rows = [["userId", "groupId", "remark"], ["u1", '"g 1"', ""], ["u2", '"g 2"', '"c"']]
    frame = read(written("".join(f"{delimiter.join(row)}\n" for row in rows)), delimiter=delimiter)
    assert frame["group_id"].tolist() == ["g 1", "g 2"]
    assert frame["remark"].tolist() == ["", "c"]


@pytest.mark.parametrize(
    "row",
    [
        'u1,g1,Bob"a',
        'u1,g1"x,a',
        'u1,g1,a"',
        'u1,"g1"x,a',
        'u1,g1,"a" b',
        'u1,g1, "a"b',
        'u1,g1,""a"',
        "u1,g1,\"a'",
        'u1,Bob "Smith, John"',  # as many fields as the header has
        'u1"x,"g1, Smith"',
        'u1,g1,="Smith, John"',
        r'u1,g1,"Robert \"Bob\" Smith"',
    ],
)
def test_a_row_with_a_misplaced_quote_is_rejected(read, written, row):
    frame = read(written(f"{HEADER}{row}\nu2,g2,b\n" if row.count('"') % 2 < 1 else f"{HEADER}u2,g2,b\n{row}\n"))
    assert sorted(frame["reason"]) == ["", "misplaced-quote"]
    assert frame[frame["reason"] == ""]["remark"].tolist() == ["b"]


@pytest.mark.parametrize(
    ("row", "remark"),
    [
        (r'"\""," ,\"",g1', r'\""'),  # two values, each with a quote
        (r"u1,\"Bob\",g1", r"\"Bob\""),
        (r'u1,"C:\",g1', "C:\\"),
    ],
)
def test_a_backslash_before_a_quote_is_a_rejection(read, written, row, remark):
    path = written(f"userId,remark,groupId\n{row}\n")
    assert read(path)["reason"][0] == "backslash-before-quote"
    assert read(path, accept=("backslash-before-quote",))["remark"][0] == remark


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f'{HEADER}u1,g1,"a\nu2,g2,b\nc"\n', "row-in-quotes"),
        (f'{HEADER}u1,g1,"a\r\nu2,g2,b"\r\n', "row-in-quotes"),
        (f'{HEADER}"u1,g1,a\nu2",g2,b\n', "row-in-quotes"),
        ('userId,remark,groupId\nu1,"a,g1\nu2,b",g2\n', "row-in-quotes"),  # a quote too many in each of two rows
        ('note,userId,groupId,remark\n"a\nu9,g9,b,c",u1,g1,a\n', "row-in-quotes"),
        ('note,userId,groupId,remark\n"12 High Street, London\nEngland",u1,g1,a\n', ""),
        ('userId,note,groupId,remark\nu1,"High Street, London\nEngland",g1,a\n', ""),
        (f'{HEADER}u1,g1,"Smith, Jane\nDoe, John"\n', ""),
        (f'{HEADER}u1,g1,"a\n\nb\n"\n', ""),
    ],
)
def test_a_quoted_line_break_that_may_have_swallowed_a_row_is_a_rejection(read, written, content, reason):
    path = written(content)
    assert read(path)["reason"].tolist() == [reason]
    assert "row-in-quotes" not in read(path, accept=("row-in-quotes",))["reason"].tolist()


def test_the_first_row_may_be_odd_as_long_as_it_can_be_read(read, written):
    assert read(written('="userId",="groupId",="remark"\nu1,g1,a\n'))["user_id"].tolist() == ["u1"]
    assert read(written(f'"1. Name, group, alias\n2. User, group, alias"\n{HEADER}u1,g1,a\n'))["number"].tolist() == [3]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ('="00012"', "00012"),
        ('"=""00012"""', "00012"),
        (' ="00012" ', "00012"),
        ('="a b"', "a b"),
        ("=00012", "=00012"),
        ('"=""a""b"""', '="a"b"'),
        ('=A1&"x"', '=A1&"x"'),
        ('"=""a\nb"""', '="a\nb"'),
    ],
)
def test_of_a_text_that_is_written_as_a_formula_only_the_text_is_sent(read, written, field, value):
    [row] = read(written(f"{HEADER}u1,g1,{field}\n")).itertuples()
    assert (row.remark, row.reason) == (value, "")
    assert ("formula-quotes-removed" in row.warning) == (value in {"00012", "a b"})


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
        (b"u1,\xff\n", r"byte 0xff at 3, in line 1"),
        (HEADER.encode() + b"u1,g1,a\n\nu2,g2,\xff\n", r"byte 0xff at 37, in line 4"),
        (HEADER.encode() + b'u1,g1,"a\nb"\nu2,g2,\xff\n', r"byte 0xff at 40, in line 4"),
        (HEADER.encode() + b"u1,g1,\xe4\xbd", "in line 2"),
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


def test_the_line_of_an_undecodable_byte_is_exact_far_down_the_file(read, written):
    good = "".join(f"u{n},g1,昵称\n" for n in range(20_000)).encode()
    with pytest.raises(SourceError, match=rf"byte 0xff at {len(HEADER) + len(good) + 6:,}, in line 20,002"):
        read(written(HEADER.encode() + good + b"u1,g1,\xff\n"))
