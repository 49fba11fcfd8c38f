import traceback

import pytest

from batch_alias.rongcloud.signing import sign, signed_headers
from batch_alias.settings import Secret

# RongCloud's documentation and its SDKs' tests give these.
VECTORS = [
    ("Y1W2MeFwwwRxa0", "14314", "1408710653000", "30be0bbca9c9b2e27578701e9fda2358a814c88f"),
    ("your-own-app-secret", "6JdWufDkiLqyeRU5", "1665601025006", "5c9891b71dbf07e37b69af7c17b4143ea5bb10d3"),
]


@pytest.mark.parametrize(("secret", "nonce", "timestamp", "signature"), VECTORS)
def test_a_signature_is_the_one_rongcloud_documents(secret, nonce, timestamp, signature):
    assert sign(Secret(secret), nonce, timestamp) == signature


@pytest.mark.parametrize(("secret", "nonce", "timestamp", "signature"), VECTORS)
def test_the_headers_carry_the_very_strings_that_were_signed(secret, nonce, timestamp, signature):
    assert signed_headers("key", Secret(secret), nonce=nonce, timestamp_ms=int(timestamp)) == {
        "App-Key": "key",
        "Nonce": nonce,
        "Timestamp": timestamp,
        "Signature": signature,
    }


def test_a_secret_beyond_ascii_is_signed_as_utf_8():
    assert sign(Secret("密"), "1", "2") == "577d06f1d22dd4d95bfedc5c0fed901ba1bb3738"


def test_a_mistake_while_signing_does_not_show_the_secret():
    class Broken:
        def __format__(self, spec):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        sign(Secret("7pQ" + "-only-this"), Broken(), "2")
    shown = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())
    assert "secret = Secret(…)" in shown
    assert "7pQ-only-this" not in shown
