"""Forms and responses: what was encoded is decoded, and nothing else."""

import json
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.rongcloud.codes import CODES
from batch_alias.sandbox.emulator import Request, page, parse_form, refusal, success
from tests.support.http import SET

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.dictionaries(texts, texts, max_size=5))
def test_an_encoded_form_is_decoded_to_the_same_fields(fields):
    assert parse_form(urlencode(fields).encode()) == fields


@given(texts)
def test_a_plus_is_a_space_and_unencoded_utf8_is_kept(text):
    assert parse_form(b"remark=" + quote_plus(text).encode()) == {"remark": text}
    bare = text.translate({ord(sign): None for sign in "%+&="})
    assert parse_form(b"remark=" + bare.encode()) == {"remark": bare}


@given(st.binary(max_size=60))
def test_any_bytes_are_a_form_of_texts_or_none(body):
    form = parse_form(body)
    assert form is None or all(isinstance(value, str) for value in form.values())


@pytest.mark.parametrize("body", [b"remark=100%", b"remark=%4", b"remark=%zz", b"remark=%FF", b"remark=\xff"])
def test_a_stray_percent_sign_and_bytes_that_are_not_utf8_are_no_form(body):
    assert parse_form(body) is None


@pytest.mark.parametrize(
    ("body", "remark"),
    [(b"remark=R&D", "R"), (b"remark=a+b", "a b"), (b"remark=%41", "A"), (b"remark=a=b", "a=b")],
)
def test_an_alias_that_was_not_encoded_is_decoded_as_a_form_not_as_it_was_meant(body, remark):
    assert parse_form(body)["remark"] == remark


def test_the_first_of_a_repeated_field_counts():
    assert parse_form(b"remark=first&remark=second") == {"remark": "first"}


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b"userId=u&groupId=g&remark=r", ("g", "u")),
        (b"userId=u&groupId=g", ("g", "u")),
        (b"userId=u", None),
        (b"userId=&groupId=g", None),
        (b"userId=u&groupId=g&remark=%", None),
        (b"", None),
    ],
)
def test_the_key_of_a_request_is_known_even_if_the_rest_is_wrong(body, key):
    assert Request(method="GET", path="/", headers={}, form=parse_form(body), now=0.0, at=0.0).key == key


@pytest.mark.parametrize(("code", "status"), [(1000, 500), (1002, 400), (1004, 401), (1008, 429), (1009, 430)])
def test_a_refusal_has_the_status_and_the_meaning_of_its_code(code, status):
    response = refusal(code, SET)
    assert (response.status, response.code) == (status, code)
    assert json.loads(response.body) == {"code": code, "errorMessage": CODES[code].meaning, "url": SET}


def test_a_refusal_may_have_another_status_and_text_and_an_unknown_code():
    assert refusal(1015, SET, status=200).status == 200
    assert refusal(20101, SET).status == 400
    assert json.loads(refusal(1002, SET, "userId is required").body)["errorMessage"] == "userId is required"


def test_success_has_its_content_beside_the_code():
    assert json.loads(success(remark="老王").body) == {"code": 200, "remark": "老王"}


def test_a_page_is_html_without_a_code():
    response = page(502, "Bad Gateway")
    assert (response.status, response.code) == (502, None)
    assert b"<h1>Bad Gateway</h1>" in response.body
    assert dict(response.headers)["content-type"] == "text/html"
