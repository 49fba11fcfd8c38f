"""What a body says: the same as what was put in, and never something else."""

from contextlib import suppress
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.sandbox.exchange import Request
from batch_alias.sandbox.forms import Refused, form, key_of

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def posted(body: bytes) -> Request:
    return Request(method="POST", path="/group/remarks/set.json", headers={}, body=body, now=0.0, at=0.0)


@given(st.dictionaries(texts, texts, max_size=5))
def test_what_is_encoded_comes_out_the_same(fields):
    assert form(urlencode(fields).encode()) == fields


@given(texts)
def test_a_plus_is_a_space_and_raw_utf8_is_taken_as_it_is(text):
    assert form(b"remark=" + quote_plus(text).encode()) == {"remark": text}
    bare = text.translate({ord(sign): None for sign in "%+&="})
    assert form(b"remark=" + bare.encode()) == {"remark": bare}


@given(st.binary(max_size=60))
def test_any_bytes_are_a_form_or_are_refused(body):
    with suppress(Refused):
        assert all(isinstance(value, str) for value in form(body).values())


@pytest.mark.parametrize(
    ("body", "arrives"),
    [(b"remark=R&D", "R"), (b"remark=a+b", "a b"), (b"remark=%41", "A"), (b"remark=a=b", "a=b")],
)
def test_an_alias_that_was_not_encoded_arrives_as_a_form_says_it_not_as_it_was_meant(body, arrives):
    assert form(body)["remark"] == arrives


def test_of_a_repeated_field_the_first_counts():
    assert form(b"remark=first&remark=second") == {"remark": "first"}


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b"userId=u&groupId=g&remark=r", ("g", "u")),
        (b"userId=u&groupId=g", ("g", "u")),
        (b"userId=u", None),
        (b"userId=&groupId=g", None),
        (b"%", None),
        (b"", None),
    ],
)
def test_the_key_of_a_request_is_known_even_when_the_rest_is_wrong(body, key):
    assert key_of(posted(body)) == key
