import gzip
import re
import traceback
import zlib
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.model import Call, Operation
from batch_alias.rongcloud.wire import MOST_MESSAGE, decode, encode, inflate, one_line, sign, signed_headers
from batch_alias.settings.target import Secret

TEXT = st.text(st.characters(exclude_categories=["Cs"]))

# From RongCloud's documentation and the tests of its SDKs: secret, nonce, timestamp, signature.
SIGNATURES = [
    ("Y1W2MeFwwwRxa0", "14314", "1408710653000", "30be0bbca9c9b2e27578701e9fda2358a814c88f"),
    ("your-own-app-secret", "6JdWufDkiLqyeRU5", "1665601025006", "5c9891b71dbf07e37b69af7c17b4143ea5bb10d3"),
]


@pytest.mark.parametrize(("secret", "nonce", "timestamp", "signature"), SIGNATURES)
def test_the_headers_carry_the_documented_signature_and_the_strings_that_were_signed(
    secret, nonce, timestamp, signature
):
    assert signed_headers("key", Secret(secret), nonce=nonce, timestamp_ms=int(timestamp)) == {
        "App-Key": "key",
        "Nonce": nonce,
        "Timestamp": timestamp,
        "Signature": signature,
    }


def test_a_secret_outside_ascii_is_signed_as_utf_8():
    assert sign(Secret("密"), "1", "2") == "577d06f1d22dd4d95bfedc5c0fed901ba1bb3738"


def test_an_error_while_signing_does_not_show_the_secret():
    class Broken:
        def __format__(self, spec):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        sign(Secret("7pQ" + "-only-this"), Broken(), "2")
    shown = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())
    assert "secret = Secret(…)" in shown
    assert "7pQ-only-this" not in shown


@given(user=TEXT, group=TEXT, remark=TEXT)
def test_any_text_survives_a_form_decoder(user, group, remark):
    body = encode(Operation(call=Call.SET, user_id=user, group_id=group, remark=remark))
    assert parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict") == [
        ("userId", user),
        ("groupId", group),
        ("remark", remark),
    ]


@given(remark=TEXT)
def test_characters_with_a_meaning_in_forms_are_escaped(remark):
    body = encode(Operation(call=Call.SET, user_id="u", group_id="g", remark=remark))
    assert re.fullmatch(rb"userId=u&groupId=g&remark=([A-Za-z0-9._~+-]|%[0-9A-F]{2})*", body)


def test_a_call_without_a_remark_sends_none():
    assert encode(Operation(call=Call.READ, user_id="u", group_id="g")) == b"userId=u&groupId=g"


BODIES = {
    b'{"code":200}': (200, ""),
    b' {"code" : "200"}\r\n': (200, ""),
    b'\xef\xbb\xbf{"code":200}': (200, ""),
    b'{"code":" 1008 ","errorMessage":"too many"}': (1008, "too many"),
    b'{"code":1002,"msg":"userId"}': (1002, "userId"),
    b'{"code":1002,"message":"userId"}': (1002, "userId"),
    b'{"code":1002,"errorMessage":null,"msg":"userId"}': (1002, "userId"),
    b'{"code":1002,"errorMessage":["userId"]}': (1002, ""),
    '{"code":1004,"errorMessage":"签名错误"}'.encode(): (1004, "签名错误"),
    b'{"code":1005,"errorMessage":"two\\r\\nlines\\u0000"}': (1005, "two lines␀"),
    b'{"code":1005,"errorMessage":"half \\ud83d of one"}': (1005, "half ⟨U+D83D⟩ of one"),
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


@pytest.mark.parametrize(("body", "expected"), BODIES.items(), ids=[str(number) for number in range(len(BODIES))])
def test_a_body_is_decoded_leniently_but_never_guessed(body, expected):
    assert decode(body)[:2] == expected


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        (" GZIP ", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
    ],
)
def test_a_content_encoding_is_undone_up_to_a_bound(encoding, pack):
    body = b'{"code":200}' + b" " * 1_000_000
    packed = pack(body)
    assert len(packed) < 20_000
    assert inflate(packed, encoding, most=65_536) == body[:65_536]
    assert inflate(pack(b""), encoding, most=65_536) == b""
    assert inflate(packed[: len(packed) // 2], encoding, most=100) == body[:100]


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "x-gzip", "br"])
def test_a_body_that_is_not_encoded_after_all_is_taken_as_it_is(encoding):
    assert inflate(b'{"code":200}', encoding, most=100) == b'{"code":200}'


@given(st.binary(), st.sampled_from(["gzip", "deflate"]))
def test_whatever_is_inflated_stays_within_the_bound(body, encoding):
    assert len(inflate(body, encoding, most=100)) <= max(100, len(body))


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"code":' + b"9" * 60_000 + b"}"], ids=["nested", "long number"])
def test_a_body_that_json_cannot_hold_has_no_code(body):
    assert decode(body)[0] is None


@given(st.binary() | st.builds(lambda text: b'{"code":1,"msg":"' + text.encode() + b'"}', TEXT))
def test_every_body_gives_a_short_message_on_one_line_that_can_be_written(body):
    _code, message, _fields = decode(body)
    assert len(message) <= MOST_MESSAGE * len("⟨U+10FFFF⟩") + len("…")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", message)
    message.encode()


def test_a_long_message_is_cut():
    assert one_line("x" * MOST_MESSAGE) == "x" * MOST_MESSAGE
    assert one_line("x" * 10_000) == "x" * MOST_MESSAGE + "…"
    assert one_line(" two \r\n lines ") == "two lines"
