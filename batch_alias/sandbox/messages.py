"""An HTTP request and its response, and what responses of RongCloud and of the gateway in front of it look like."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from batch_alias.rongcloud.codes import CODES, SUCCESS

Key = tuple[str, str]
"""What an alias belongs to: ``(group_id, user_id)``."""

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A complete HTTP request.

    Attributes:
        method: In capitals.
        path: Without the query.
        headers: By lower-case name.
        now: The server's clock, in seconds since the epoch.
        at: A monotonic clock, in seconds; it never decreases from one request to the next.
        form: The fields of the body; ``None`` if it is no form, see ``parse_form``.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    now: float
    at: float
    form: Mapping[str, str] | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "form", parse_form(self.body))  # the class is frozen

    @property
    def key(self) -> Key | None:
        """The (group, user) it names, even if the rest of it is wrong; ``None`` if it names none."""
        form = self.form or {}
        group_id, user_id = form.get("groupId"), form.get("userId")
        return (group_id, user_id) if group_id and user_id else None


def parse_form(body: bytes) -> dict[str, str] | None:
    """Decode a form: ``+`` is a space, the rest is percent-encoded UTF-8; of a repeated field the first counts.

    Returns:
        The fields; ``None`` if the body is not UTF-8, or has a stray ``%``: the sign of a client that forgot to encode.
    """
    if _BAD_ESCAPE.search(body):
        return None
    try:
        return dict(reversed(parse_qsl(body.decode(), keep_blank_values=True, errors="strict")))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP response.

    Attributes:
        headers: Names and values. The server adds ``Content-Length``, ``Date`` and the request's ``X-Request-ID``.
        code: RongCloud's code in the body; ``None`` when a gateway responds.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    code: int | None = None

    @property
    def label(self) -> str:
        """The code, or ``http-502`` and the like where there is none."""
        return f"http-{self.status}" if self.code is None else str(self.code)


def success(**content: str) -> Response:
    """RongCloud's response to a call it carried out; ``content`` stands beside the code."""
    return _json(CODES[SUCCESS].status, SUCCESS, content)


def refusal(code: int, path: str, message: str = "", *, status: int | None = None) -> Response:
    """RongCloud's refusal of a request for a path.

    By default it has the meaning and the status of the table of codes, and 400 for a code that is not in it.
    """
    known = CODES.get(code)
    text = message or (known.meaning if known else "refused")
    return _json(status or (known.status if known else 400), code, {"errorMessage": text, "url": path})


def page(status: int, title: str) -> Response:
    """The response of the gateway in front of RongCloud: a page, not JSON."""
    body = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Response(status=status, body=body.encode(), headers=(("content-type", "text/html"),))


def _json(status: int, code: int, content: Mapping[str, str]) -> Response:
    body = json.dumps({"code": code, **content}, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status=status, body=body, headers=(("content-type", "application/json; charset=utf-8"),), code=code)
