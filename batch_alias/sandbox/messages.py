"""An HTTP request and its response, and what responses of RongCloud and of the gateway in front of it look like."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from batch_alias.rongcloud.codes import CODES, SUCCESS

Key = tuple[str, str]
"""What an alias belongs to: ``(group_id, user_id)``."""

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A complete HTTP request."""

    method: str
    path: str  # without the query
    headers: Mapping[str, str]  # by lower-case name
    form: Mapping[str, str] | None  # what parse_form makes of the body
    now: float  # the server's clock, in seconds since the epoch
    at: float  # a monotonic clock, in seconds

    @property
    def key(self) -> Key | None:
        """The (group, user) it names, even if the rest of it is wrong; ``None`` if it names none."""
        form = self.form or {}
        group_id, user_id = form.get("groupId"), form.get("userId")
        return (group_id, user_id) if group_id and user_id else None


def parse_form(body: bytes) -> dict[str, str] | None:
    """The fields of a form, of a repeated one the first; ``None`` if the body is not percent-encoded UTF-8.

    ``+`` is a space. A stray ``%`` is no character of a form, but the sign of a client that forgot to encode.
    """
    if _BAD_ESCAPE.search(body):
        return None
    try:
        return dict(reversed(parse_qsl(body.decode(), keep_blank_values=True, errors="strict")))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP response, without ``Content-Length``, ``Date`` and ``X-Request-ID``, which the server adds."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    code: int | None = None  # RongCloud's, as in the body; None when a gateway responds


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


def _json(status: int, code: int, content: Mapping[str, str]) -> Response:
    body = json.dumps({"code": code, **content}, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status=status, body=body, headers=(("content-type", "application/json; charset=utf-8"),), code=code)


def page(status: int, title: str) -> Response:
    """The response of the gateway in front of RongCloud: a page, not JSON."""
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1><hr>nginx</body></html>\r\n"
    return Response(status=status, body=body.encode(), headers=(("content-type", "text/html"),))
