import json
import re

import pytest

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source

GOOD = '{"userId": "u1", "groupId": "g1", "remark": "a"}\n'


def test_objects_are_rows_and_lines_are_their_numbers(written):
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
    ("line", "reason", "says"),
    [
        ('{"userId": 1.23457E+15, "groupId": "g1", "remark": "a"}', "scientific-notation-in-id", r"1\.23457E\+15"),
        ('{"userId": 123.0, "groupId": "g1", "remark": "a"}', "decimal-in-id", "123.0"),
        ('{"userId": true, "groupId": "g1", "remark": "a"}', "not-text", "true"),
        ('{"userId": "u1", "groupId": "g1", "remark": ["a"]}', "not-text", "remark"),
        ('{"userId": "u1", "groupId": "g1", "remark": null}', "empty-remark", "empty"),
        ('{"userId": "u1", "groupId": "g1"}', "empty-remark", "empty"),
        ('{"userId": "u1", "userId": "u2", "groupId": "g1", "remark": "a"}', "not-an-object", "'userId' twice"),
        ('{"userId": "u1", "groupId": "g1", "remark": "\\ud83d"}', "surrogate-character", "half a character"),
        ('{"userId": "u1", "groupId": "g1", "remark": "\\u0000"}', "nul-character", "NUL"),
        ("[1, 2, 3]", "not-an-object", "not a JSON object"),
        ("null", "not-an-object", "not a JSON object"),
        ('{"userId": ', "not-an-object", "not JSON"),
        ("[" * 100_000, "not-an-object", "nested too deeply|not JSON"),
    ],
)
def test_each_damage_has_its_reason(read, written, line, reason, says):
    frame = read(written(f"{GOOD}{line}\n{GOOD}"))
    assert frame["reason"].tolist() == ["", reason, ""]
    assert re.search(says, frame["message"][1])
    assert json.loads(frame["cells"][1])


@pytest.mark.parametrize("content", ["{\n", '{"a": 1', "{}\n"])
def test_what_does_not_begin_with_an_object_is_no_source(read, written, content):
    with pytest.raises(SourceError, match="does not begin with a JSON object"):
        read(written(content))


def test_columns_are_matched_and_said_as_in_any_source(read, written):
    path = written('{"用户ID": "u1", "gid": "g1", "x": "a"}\n')
    with pytest.raises(SourceError, match="the columns are '用户ID', 'gid', 'x'"):
        read(path)
    assert read(path, remark_column="x")["remark"].tolist() == ["a"]
