"""A request as it arrived, an answer as it leaves, and the shapes RongCloud and its gateway give to answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate

from batch_alias.rongcloud.codes import CODES

SUCCESS = 200
INTERNAL_ERROR = 1000
PARAMETER_INVALID = 1002
EMPTY_POST = 1003
SIGNATURE_REFUSED = 1004
PARAMETER_TOO_LONG = 1005
OVER_LIMIT = 1008
INTERNAL_TIMEOUT = 1050

Key = tuple[str, str]
"""What an alias belongs to: ``(group_id, user_id)``."""

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request as it arrived.

    Attributes:
        method: The HTTP method, in capitals.
        path: The path, without a query.
        headers: By lower-case name.
        body: The whole body.
        now: The server's clock, seconds since the epoch.
        at: A monotonic reading in seconds; it never decreases from one request to the next.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    now: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer.

    Attributes:
        status: The HTTP status.
        body: The whole body.
        headers: Names and values; the length of the body is not among them.
        code: RongCloud's code in the body; ``None`` when a gateway answered.
    """

    status: int
    body: bytes
    headers: Headers = ()
    code: int | None = None


def success(request: Request, **content: str) -> Answer:
    """What RongCloud answers to a call it carried out; ``content`` stands beside the code."""
    return _json(request, status=CODES[SUCCESS].http, content={"code": SUCCESS, **content}, code=SUCCESS)


def refusal(
    request: Request, code: int, message: str = "", *, status: int | None = None, extra: Headers = ()
) -> Answer:
    """RongCloud's refusal.

    Args:
        request: What it answers.
        code: RongCloud's code.
        message: The text; the table's meaning when empty.
        status: The HTTP status; ``None`` takes the table's, and 400 for a code that is not in it.
        extra: Further headers.
    """
    known = CODES.get(code)
    if status is None:
        status = known.http if known else 400
    text = message or (known.meaning if known else "refused")
    content = {"code": code, "errorMessage": text, "url": request.path}
    return _json(request, status=status, content=content, code=code, extra=extra)


def page(request: Request, status: int, title: str) -> Answer:
    """What the gateway in front of RongCloud answers by itself: a page, not JSON."""
    body = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(status=status, body=body.encode(), headers=common_headers(request, "text/html"))


def common_headers(request: Request, kind: str) -> Headers:
    """The headers of every answer: its media type, the server's date, and the request's id if it had one."""
    headers = (("content-type", kind), ("date", formatdate(request.now, usegmt=True)))
    request_id = request.headers.get("x-request-id")
    return headers if request_id is None else (*headers, ("x-request-id", request_id))


def _json(request: Request, *, status: int, content: Mapping[str, object], code: int, extra: Headers = ()) -> Answer:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    headers = (*common_headers(request, "application/json; charset=utf-8"), *extra)
    return Answer(status=status, body=body, headers=headers, code=code)
