import re
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.model import Row
from batch_alias.rongcloud.wire import EXCERPT, decode, encode, excerpt

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(user=TEXT, group=TEXT, remark=TEXT)
def test_any_text_arrives_as_it_was_for_whoever_decodes_a_form(user, group, remark):
    body = encode(Row(number=2, user_id=user, group_id=group, remark=remark))
    assert parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict") == [
        ("userId", user),
        ("groupId", group),
        ("remark", remark),
    ]


@given(remark=TEXT)
def test_nothing_goes_out_that_a_form_gives_a_meaning_to(remark):
    body = encode(Row(number=2, user_id="u", group_id="g", remark=remark))
    assert re.fullmatch(rb"userId=u&groupId=g&remark=([A-Za-z0-9._~+-]|%[0-9A-F]{2})*", body)


ANSWERS = {
    b'{"code":200}': (200, ""),
    b' {"code" : "200"}\r\n': (200, ""),
    b'{"code":" 1008 ","errorMessage":"too many"}': (1008, "too many"),
    b'{"code":1002,"msg":"userId"}': (1002, "userId"),
    b'{"code":1002,"message":"userId"}': (1002, "userId"),
    b'{"code":1002,"errorMessage":null,"msg":"userId"}': (1002, "userId"),
    b'{"code":1002,"errorMessage":["userId"]}': (1002, ""),
    '{"code":1004,"errorMessage":"签名错误"}'.encode(): (1004, "签名错误"),
    b'{"code":1005,"errorMessage":"two\\r\\nlines\\u0000"}': (1005, "two lines"),
    b'{"code":-1}': (-1, ""),
    b'{"code":true}': (None, '{"code":true}'),
    b'{"code":null}': (None, '{"code":null}'),
    b'{"code":200.5}': (None, '{"code":200.5}'),
    b'{"code":99999999999999999999}': (None, '{"code":99999999999999999999}'),
    '{"code":"２００"}'.encode(): (None, '{"code":"２００"}'),
    b"200": (None, "200"),
    b'[{"code":200}]': (None, '[{"code":200}]'),
    b'{"code":200': (None, '{"code":200'),
    b"<html>\r\n <h1>502</h1>": (None, "<html> <h1>502</h1>"),
    b"\xff\xfe{": (None, "\ufffd\ufffd{"),
    b"": (None, ""),
}


@pytest.mark.parametrize(("body", "expected"), ANSWERS.items(), ids=[str(number) for number in range(len(ANSWERS))])
def test_an_answer_is_read_leniently_but_never_guessed(body, expected):
    assert decode(body) == expected


def test_an_answer_nested_without_end_is_no_answer():
    assert decode(b"[" * 60_000)[0] is None
    assert decode(b'{"code":' + b"9" * 60_000 + b"}")[0] is None


@given(st.binary() | st.builds(lambda text: b'{"code":1,"msg":"' + text.encode() + b'"}', TEXT))
def test_whatever_comes_gives_a_short_line_that_can_be_written_down(body):
    _code, message = decode(body)
    assert len(message) <= EXCERPT
    assert not re.search(r"[\x00-\x1f\x7f]", message)
    message.encode()


def test_half_a_character_in_an_answer_can_be_written_down():
    code, message = decode(b'{"code":1005,"errorMessage":"half \\ud83d of one"}')
    assert code == 1005
    assert message.encode().startswith(b"half ")


def test_an_excerpt_says_that_it_is_one():
    assert excerpt("x" * EXCERPT) == "x" * EXCERPT
    assert excerpt("x" * 10_000) == "x" * (EXCERPT - 1) + "…"
    assert excerpt("\x1b[31mred\x9b0m") == "[31mred 0m"
