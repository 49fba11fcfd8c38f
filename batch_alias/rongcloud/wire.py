"""Bytes out, bytes in: the form a call sends and the JSON it gets back."""

import json
import re
from urllib.parse import urlencode

from batch_alias.model import Row

SET_PATH = "/group/remarks/set.json"
GET_PATH = "/group/remarks/get.json"
FORM = "application/x-www-form-urlencoded"
EXCERPT = 200
"""Characters of a foreign body that are worth keeping."""

_MESSAGE_FIELDS = ("errorMessage", "msg", "message")
# JSON's escapes can spell half a character, which no file and no database takes.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\s\ud800-\udfff]+")


def encode(row: Row) -> bytes:
    """The body that sets a row's alias.

    UTF-8 and percent-encoded throughout. RongCloud form-decodes, so ``&``, ``=``, ``+`` and ``%`` must never go out as
    they are: an alias such as ``R&D 50%+`` would arrive damaged.
    """
    return urlencode({"userId": row.user_id, "groupId": row.group_id, "remark": row.remark}).encode("ascii")


def encode_query(user_id: str, group_id: str) -> bytes:
    """The body that asks for the alias of a (user, group)."""
    return urlencode({"userId": user_id, "groupId": group_id}).encode("ascii")


def decode(body: bytes) -> tuple[int | None, str]:
    """RongCloud's code and message, or ``None`` and an excerpt when the body is something else.

    Lenient where RongCloud is: the code may be a number as text, the message has three spellings.
    """
    text = body.decode("utf-8", errors="replace")
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        return None, excerpt(text)
    if not isinstance(parsed, dict):
        return None, excerpt(text)
    code = _whole(parsed.get("code"))
    if code is None:
        return None, excerpt(text)
    message = next((parsed[name] for name in _MESSAGE_FIELDS if isinstance(parsed.get(name), str)), "")
    return code, excerpt(message)


def _whole(value: object) -> int | None:
    match value:
        case bool():
            return None
        case int():
            return value if abs(value) < 2**31 else None
        case str() if re.fullmatch(r"-?[0-9]{1,9}", value.strip()):
            return int(value)
        case _:
            return None


def excerpt(text: str) -> str:
    """The beginning of a text on one line."""
    line = _UNFIT.sub(" ", text[: 4 * EXCERPT]).strip()
    return line if len(line) <= EXCERPT else line[: EXCERPT - 1] + "…"
