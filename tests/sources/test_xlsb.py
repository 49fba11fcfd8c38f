"""Binary workbooks, written record by record ([MS-XLSB]), since no library for Python writes them."""

import io
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_alias.errors import SourceError

HEADER = ["userId", "groupId", "remark"]
KINDS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATION = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Id="rId1" Type="{KINDS}/%s" Target="%s"/></Relationships>'
)


def record(kind, content=b""):
    name = bytes([kind]) if kind < 128 else bytes([kind & 0x7F | 0x80, kind >> 7])
    length = len(content)
    size = bytearray()
    while length > 127:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    return name + bytes([*size, length]) + content


def wide(text):
    content = text.encode("utf-16-le")
    return struct.pack("<I", len(content) // 2) + content


def cell(column, value):
    at = struct.pack("<II", column, 0)
    return record(5, at + struct.pack("<d", value)) if isinstance(value, float) else record(6, at + wide(value))


def row(number, cells):
    return record(0, struct.pack("<II", number, 0) + bytes(13)) + b"".join(cells)


def styles(formats):
    codes = b"".join(record(44, struct.pack("<H", 164 + place) + wide(code)) for place, code in enumerate(formats))
    count = struct.pack("<I", len(formats))
    cells = record(617, struct.pack("<I", 1)) + record(47, bytes(16)) + record(618)
    return record(278) + record(615, count) + codes + record(616) + cells + record(279)


def workbook(rows, *, formats=(), more=b""):
    lines = [row(y, [cell(x, value) for x, value in enumerate(values)]) for y, values in enumerate([HEADER, *rows])]
    sheet = record(129) + record(148, struct.pack("<IIII", 0, len(rows), 0, 2)) + record(145) + b"".join(lines)
    bundle = record(156, struct.pack("<II", 0, 1) + wide("rId1") + wide("Sheet1"))
    parts = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": RELATION % ("officeDocument", "xl/workbook.bin"),
        "xl/_rels/workbook.bin.rels": RELATION % ("worksheet", "worksheets/sheet1.bin"),
        "xl/workbook.bin": record(131) + record(143) + bundle + record(144) + record(132),
        "xl/worksheets/sheet1.bin": sheet + more + record(146) + record(130),
        "xl/styles.bin": styles(formats),
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return made.getvalue()


VALUE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.tuples(VALUE, VALUE, VALUE), min_size=1, max_size=5))
def test_what_was_written_is_read(read, tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "rows.xlsb"
    path.write_bytes(workbook(rows))
    assert read(path)[["user_id", "group_id", "remark"]].to_numpy().tolist() == [list(row) for row in rows]


def test_numbers_become_their_digits(read, written):
    frame = read(written(workbook([[12.0, "g1", 1.5], [1e15, "g1", "a"], [0.5, "g1", "a"]])))
    assert frame["reason"].tolist() == ["", "number-too-long", "decimal-in-id"]
    assert frame.loc[0, ["user_id", "remark"]].tolist() == ["12", "1.5"]


@pytest.mark.parametrize(
    ("formats", "reason"), [(["000000"], "number-format"), (["0.00", "#,##0"], ""), (["0.000"], ""), ([], "")]
)
def test_numbers_are_not_trusted_once_a_format_pads(read, written, formats, reason):
    frame = read(written(workbook([[12.0, "g1", 5.0]], formats=formats)))
    assert frame["reason"].tolist() == [reason]


def test_a_cell_at_the_far_end_is_an_error_in_one_sentence(read, written):
    far = row(1_048_575, [cell(16_383, "x")])
    with pytest.raises(SourceError, match="more memory or time than any workbook should"):
        read(written(workbook([["u1", "g1", "a"]], more=far)))
