"""What a request's body says: the form, its fields, and whether they are what RongCloud asks for."""

import re
from urllib.parse import parse_qsl

from batch_alias.sandbox.exchange import EMPTY_POST, PARAMETER_INVALID, PARAMETER_TOO_LONG, Key, Request

SET, CLEAR, READ = "/group/remarks/set.json", "/group/remarks/del.json", "/group/remarks/get.json"
REQUIRED = {SET: ("userId", "groupId", "remark"), CLEAR: ("userId", "groupId"), READ: ("userId", "groupId")}
"""The fields of each call."""

LONGEST_USER_ID = 64  # bytes
LONGEST_GROUP_ID = 64  # characters

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Refused(Exception):  # noqa: N818 - an answer on its way out, not an error
    """Carries a code of RongCloud's from the rule that refuses to the answer."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = message


def form(body: bytes) -> dict[str, str]:
    """Decode a form: ``+`` is a space, the rest is percent-encoded UTF-8; of a repeated field the first counts.

    A stray ``%`` is refused, not passed through: it is the mark of a client that forgot to encode.

    Raises:
        Refused: It is no form, or not UTF-8.
    """
    if _BAD_ESCAPE.search(body):
        raise Refused(PARAMETER_INVALID, "a % is not followed by two hexadecimal digits")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise Refused(PARAMETER_INVALID, "the form is not UTF-8") from error
    return dict(reversed(pairs))


def key_of(request: Request) -> Key | None:
    """The ``(group_id, user_id)`` a request speaks of, right or wrong in all else; ``None`` if it names none."""
    try:
        fields = form(request.body)
    except Refused:
        return None
    group_id, user_id = fields.get("groupId", ""), fields.get("userId", "")
    return (group_id, user_id) if group_id and user_id else None


def checked_fields(request: Request) -> dict[str, str]:
    """The fields of a request, present and within RongCloud's documented lengths.

    Raises:
        Refused: A field is missing, empty or too long, or the body is no form.
    """
    if not request.body:
        raise Refused(EMPTY_POST)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused(PARAMETER_INVALID, "the body is not application/x-www-form-urlencoded")
    fields = form(request.body)
    for name in REQUIRED[request.path]:
        if not fields.get(name):
            raise Refused(PARAMETER_INVALID, f"{name} is required")
    if len(fields["userId"].encode()) > LONGEST_USER_ID:
        raise Refused(PARAMETER_TOO_LONG, f"userId is longer than {LONGEST_USER_ID} bytes")
    if len(fields["groupId"]) > LONGEST_GROUP_ID:
        raise Refused(PARAMETER_TOO_LONG, f"groupId is longer than {LONGEST_GROUP_ID} characters")
    return fields
