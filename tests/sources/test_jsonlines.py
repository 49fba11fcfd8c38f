import json
import re

import pytest

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source

GOOD = '{"userId": "u1", "groupId": "g1", "remark": "a"}\n'


def test_objects_are_rows_with_the_numbers_of_their_lines(written):
    path = written(
        GOOD + "\n" + '{"remark": "🐼 \\u738b", "groupId": 7, "userId": 12345678901234567890, "more": null}\n'
    )
    with open_source(path, Reading()) as source:
        [batch] = source.batches()
    assert source.header == ("userId", "groupId", "remark", "more")
    assert source.blank_rows == 1
    assert batch[["number", "user_id", "group_id", "remark"]].to_numpy().tolist() == [
        [1, "u1", "g1", "a"],
        [3, "12345678901234567890", "7", "🐼 王"],
    ]
    assert json.loads(batch["cells"][1]) == ["12345678901234567890", "7", "🐼 王", ""]


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [
        ('{"userId": 1.23457E+15, "groupId": "g1", "remark": "a"}', "scientific-notation-in-id", r"1\.23457E\+15"),
        ('{"userId": 123.0, "groupId": "g1", "remark": "a"}', "decimal-in-id", "123.0"),
        ('{"userId": true, "groupId": "g1", "remark": "a"}', "not-text", "'userId' holds 'true' of type boolean"),
        ('{"userId": "u1", "groupId": "g1", "remark": ["a"]}', "not-text", "'remark' holds .* of type array"),
        ('{"userId": "u1", "groupId": {}, "remark": "a"}', "not-text", "'groupId' holds '{}' of type object"),
        ('{"userId": "u1", "groupId": "g1", "remark": null}', "empty-remark", "empty"),
        ('{"userId": "u1", "groupId": "g1"}', "blank-cell", "missing key"),
        ('{"userId": "u1", "userId": "u2", "groupId": "g1", "remark": "a"}', "not-an-object", "'userId' occurs twice"),
        ('{"userId": "u1", "groupId": "g1", "remark": "\\ud83d"}', "surrogate-character", "half a character"),
        (
            '{"userId": "u1", "groupId": "g1", "\\udc00": 1, "\\udc00": 2}',
            "not-an-object",
            r"'⟨U\+DC00⟩' occurs twice",
        ),
        ('{"userId": "u1", "groupId": "g1", "remark": "\\u0000"}', "nul-character", "NUL"),
        ("[1, 2, 3]", "not-an-object", "another JSON value"),
        ("null", "not-an-object", "another JSON value"),
        ('{"userId": ', "not-an-object", "it is malformed at character 13"),
        ("[" * 100_000, "not-an-object", "nested too deeply|it is malformed at"),
    ],
)
def test_a_damaged_line_is_rejected_with_the_reason(read, written, line, reason, message):
    frame = read(written(f"{GOOD}{line}\n{GOOD}"))
    assert frame["reason"].tolist() == ["", reason, ""]
    assert re.search(message, frame["message"][1])
    assert json.loads(frame["cells"][1])


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_the_encodings_of_unicode_are_read(written, codec):
    line = '{"userId": "u1", "groupId": "g1", "remark": "王小明 🐼"}\n'
    with open_source(written((2 * line).encode(codec), "rows.txt"), Reading()) as source:
        [batch] = source.batches()
    assert source.description.startswith("JSON Lines, UTF-")
    assert source.header == ("userId", "groupId", "remark")
    assert batch["remark"].tolist() == ["王小明 🐼"] * 2


@pytest.mark.parametrize("content", ["{\n", '{"a": 1', "{}\n", json.dumps(json.loads(GOOD), indent=2)])
def test_a_file_has_to_begin_with_an_object(read, written, content):
    with pytest.raises(SourceError, match=r"does not begin with a JSON object .* jq -c \. rows\.csv"):
        read(written(content))


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_an_array_is_refused_with_the_way_to_make_lines_of_it(read, written, indent, codec):
    content = json.dumps([json.loads(GOOD)] * 2, indent=indent).replace("[{", "[{" if indent is None else "[\n{")
    with pytest.raises(SourceError, match=r"rows\.csv is a JSON array\. .* jq -c '\.\[\]' rows\.csv > rows\.jsonl"):
        read(written(content.encode(codec)))


def test_a_header_in_brackets_is_not_an_array(read, written):
    path = written("[a],[b],[c]\nu1,g1,a\n")
    assert read(path, user_column="[a]", group_column="[b]", remark_column="[c]")["user_id"].tolist() == ["u1"]


def test_an_undecodable_byte_is_an_error_with_its_line(read, written):
    with pytest.raises(SourceError, match=r"is not UTF-8: byte 0xff at .*, in line 3"):
        read(written(2 * GOOD.encode() + b'{"userId": "\xff"}\n'))


def test_keys_are_found_and_named_like_other_columns(read, written):
    path = written('{"用户ID": "u1", "gid": "g1", "x": "a"}\n')
    with pytest.raises(SourceError, match="the columns are '用户ID', 'gid', 'x'"):
        read(path)
    assert read(path, remark_column="x")["remark"].tolist() == ["a"]


def test_half_a_character_in_a_key_is_escaped_in_the_header(written):
    path = written('{"userId": "u1", "groupId": "g1", "\\ud83d remark": "a", "x": 1}\n')
    with open_source(path, Reading(remark_column="\\ud83d remark")) as source:
        [batch] = source.batches()
    assert source.header == ("userId", "groupId", "\\ud83d remark", "x")
    assert batch["remark"].tolist() == ["a"]
