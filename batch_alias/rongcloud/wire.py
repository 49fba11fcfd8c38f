"""Requests and responses as bytes: paths, signed headers, forms, and the JSON that comes back (pure).

Source: RongCloud's server API documentation ("Request signature", "Set Group Member Push Alias") and recorded traffic.
"""

import contextlib
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote_plus

from batch_alias.model import Call, Operation
from batch_alias.settings.target import Secret
from batch_alias.text import excerpt

PATHS: Mapping[Call, str] = {
    Call.SET: "/group/remarks/set.json",
    Call.CLEAR: "/group/remarks/del.json",
    Call.READ: "/group/remarks/get.json",
    Call.MEMBERS: "/group/user/query.json",
}
FORM = "application/x-www-form-urlencoded"
NONCE_LENGTH = 16
"""Characters of a nonce; RongCloud takes at most 18."""
MOST_MESSAGE = 200
"""Characters of a message, or of a body that is not RongCloud's, that are kept."""

_MESSAGE_FIELDS = ("errorMessage", "msg", "message")


def sign(secret: Secret, nonce: str, timestamp: str) -> str:
    """The signature: the lower-case hexadecimal SHA-1 of secret, nonce and timestamp, as they are sent.

    URL, body and App Key are not part of it.
    """
    # SHA-1 is the vendor's choice; it signs, it protects nothing stored.
    return hashlib.sha1(f"{secret.reveal()}{nonce}{timestamp}".encode(), usedforsecurity=False).hexdigest()


def signed_headers(app_key: str, secret: Secret, *, nonce: str, timestamp_ms: int) -> dict[str, str]:
    """The headers of a signed request; its nonce is a new random text of at most 18 characters."""
    timestamp = str(timestamp_ms)
    return {
        "App-Key": app_key,
        "Nonce": nonce,
        "Timestamp": timestamp,
        "Signature": sign(secret, nonce, timestamp),
    }


def encode(operation: Operation) -> bytes:
    """The body of a request.

    UTF-8 and percent-encoded throughout. RongCloud form-decodes, so ``&``, ``=``, ``+`` and ``%`` must never go out as
    they are: an alias such as ``R&D 50%+`` would arrive damaged.
    """
    form = f"groupId={quote_plus(operation.group_id)}"
    if operation.user_id is not None:
        form = f"userId={quote_plus(operation.user_id)}&{form}"
    if operation.remark is not None:
        form += f"&remark={quote_plus(operation.remark)}"
    return form.encode("ascii")


def decode(body: bytes) -> tuple[int | None, str, Mapping[str, object]]:
    """RongCloud's code, message and fields; ``None`` and an excerpt without fields when the body is something else.

    Lenient where RongCloud is: the code may be a number as text, the message has three spellings.
    """
    text = body.decode("utf-8-sig", errors="replace")
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        return None, one_line(text), {}
    code = _integer(parsed.get("code")) if isinstance(parsed, dict) else None
    if not isinstance(parsed, dict) or code is None:
        return None, one_line(text), {}
    message = next((parsed[name] for name in _MESSAGE_FIELDS if isinstance(parsed.get(name), str)), "")
    return code, one_line(message), parsed


def alias_in(fields: Mapping[str, object]) -> str | None:
    """The alias in a response, "" where none is set; ``None`` if there is something that is no text.

    How RongCloud answers for an alias that is not set is not documented: by "", null, or no such field.
    """
    alias = fields.get("remark")
    return "" if alias is None else _text(alias)


def members_in(fields: Mapping[str, object]) -> frozenset[str] | None:
    """The user ids in a response with the members of a group; ``None`` if it has no list of them."""
    users = fields.get("users")
    if not isinstance(users, list):
        return None
    ids = [_text(user.get("id")) if isinstance(user, dict) else None for user in users]
    return None if None in ids else frozenset(filter(None, ids))


def _text(value: object) -> str | None:
    # A lone surrogate, which JSON can hold, is no text: it can be neither stored nor sent.
    return value if isinstance(value, str) and not re.search("[\ud800-\udfff]", value) else None


def inflate(body: bytes, encoding: str, *, most: int) -> bytes:
    """A body without its ``Content-Encoding``, gzip or deflate; as it is, if that cannot be undone.

    We ask for no encoding, but a proxy may add one. No more than ``most`` bytes are made: a few KiB may hold many MiB.
    """
    match encoding.strip().lower():
        case "gzip" | "x-gzip":
            windows = [zlib.MAX_WBITS | 16]
        case "deflate":
            windows = [zlib.MAX_WBITS, -zlib.MAX_WBITS]  # some servers leave zlib's header out
        case _:
            return body
    for window in windows:
        with contextlib.suppress(zlib.error):
            return zlib.decompressobj(window).decompress(body, most)
    return body


def retry_after(value: str | None, *, now: float) -> float | None:
    """``Retry-After`` in seconds; its other form, a date, is compared with this machine's clock."""
    if value is not None and value.strip().isdecimal():
        return float(value)
    ahead = clock_skew(value, now=now)
    return None if ahead is None else max(0.0, ahead)


def clock_skew(value: str | None, *, now: float) -> float | None:
    """Seconds by which a ``Date`` is ahead of this machine's clock."""
    date = None if value is None else _parse_date(value)
    return None if date is None else date - now


@lru_cache(maxsize=16)  # the responses of one second share it
def _parse_date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def one_line(text: str) -> str:
    """The beginning of a text that may be of any size and form, on one line."""
    return excerpt(" ".join(text[: 4 * MOST_MESSAGE].split()), MOST_MESSAGE)


def _integer(value: object) -> int | None:
    match value:
        case bool():
            return None
        case int():
            return value if abs(value) < 2**31 else None
        case str() if re.fullmatch(r"-?[0-9]{1,9}", value.strip()):
            return int(value)
        case _:
            return None
