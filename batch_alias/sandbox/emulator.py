"""RongCloud's alias calls without socket or clock: a request in, a response out.

What RongCloud documents is enforced strictly; where it is silent, the choice is explained beside the rule. Nothing but
the table of codes is shared with the client, so that both cannot be wrong about signing or encoding in the same way.
"""

import hashlib
import json
import re
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated
from urllib.parse import parse_qsl

from batch_alias.model import SUCCESS
from batch_alias.rongcloud.codes import CODES
from batch_alias.sandbox.stats import RequestStats, Stats
from batch_alias.settings.options import Option, validate
from batch_alias.settings.target import Secret

PARAMETER_INVALID = 1002
EMPTY_POST = 1003
SIGNATURE_REFUSED = 1004
PARAMETER_TOO_LONG = 1005
OVER_LIMIT = 1008

SET, CLEAR, READ = "/group/remarks/set.json", "/group/remarks/del.json", "/group/remarks/get.json"
QUERY = "/group/user/query.json"
REQUIRED = {
    SET: ("userId", "groupId", "remark"),
    CLEAR: ("userId", "groupId"),
    READ: ("userId", "groupId"),
    QUERY: ("groupId",),
}
NO_ALIAS: Mapping[str, Mapping[str, object]] = {"missing": {}, "null": {"remark": None}, "empty": {"remark": ""}}
"""What the answer to a read has in it if no alias is set, by ``Rules.no_alias``."""
MAX_USER_ID = 64  # bytes
MAX_GROUP_ID = 64  # characters
MAX_NONCE = 64
DAY = 86_400  # seconds
DOCUMENTED_NONCE = 18  # but the vendor's own Go SDK sends 19 characters, and works

_SIGNED = ("app-key", "nonce", "timestamp", "signature")  # all of them may have the prefix "rc-"
_FIRST_MILLISECONDS = 10**11  # as seconds the year 5138, as milliseconds March 1973

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")

Key = tuple[str, str]
"""What an alias belongs to: ``(group_id, user_id)``."""
_Refused = tuple[int, str]  # RongCloud's code, and a message if the meaning of the code does not say enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the emulated service enforces. Raises ``UsageError`` if a value is out of its range."""

    # Counted over a strict sliding second. That each path has a limit of its own is likely, but not documented.
    rate: Annotated[int, Option("Requests per second that are granted, on each path.", least=1)] = 100
    shared_limit: Annotated[bool, Option("One limit for all paths together.")] = False
    # What is answered to a read where no alias is set, and to a query for a group that is unknown, is not documented.
    no_alias: Annotated[str, Option("The remark that is read where no alias is set.", choices=tuple(NO_ALIAS))] = (
        "empty"
    )
    unknown_group: Annotated[str, Option("The list of members of an unknown group.", choices=("empty", "error"))] = (
        "empty"
    )
    count_refused: bool = True  # towards the rate: RongCloud does not say, and this is the harder case for a client
    max_skew: float | None = None  # seconds a timestamp may be off; RongCloud does not say what it permits
    retry_after: int | None = None  # seconds, sent when the limit refuses
    idle_timeout: float = 75.0  # seconds until an idle connection is closed; RongCloud asks clients to do it after 55

    def __post_init__(self) -> None:
        validate(self)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP response, without ``Content-Length``, ``Date`` and ``X-Request-ID``, which the server adds."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    code: int | None = None  # RongCloud's, as in the body; None when a gateway responds


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """An accepted change; ``remark`` is ``None`` when the alias was cleared."""

    group_id: str
    user_id: str
    remark: str | None


def in_last_second(instants: deque[float], now: float) -> int:
    """Drop the instants 1 s or more before ``now``, which is not before any of them, and count the others."""
    while instants and now - instants[0] >= 1.0:
        instants.popleft()
    return len(instants)


@dataclass(slots=True)
class Emulator:
    """RongCloud's set, clear and read, and its list of a group's members, for one app, with the aliases in memory.

    Without ``members``, those of a group are the users that have or had an alias in it, and a group in which nobody
    ever had one is unknown.
    """

    app_key: str
    app_secret: Secret
    rules: Rules
    on_write: Callable[[Write], None] | None = None  # called with every accepted change, in order
    members: Mapping[str, Collection[str]] | None = None  # user ids by group id
    # Kept up to date as far as calls that were carried out, and nonces, go.
    stats: Stats = field(default_factory=lambda: Stats(paths={path: RequestStats() for path in REQUIRED}))
    aliases: dict[Key, str] = field(default_factory=dict)
    _named: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _set_again: set[Key] = field(default_factory=set)
    _nonces: set[str] = field(default_factory=set)
    _counted: defaultdict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def handle(self, request: Request) -> Response:
        """Respond to a request, and carry it out if nothing is wrong with it.

        The order of the checks is not documented. The limit is counted per App Key, so a request with an
        unknown key or a wrong signature is refused first and does not count; any other does, whatever its fields are.
        """
        if request.path not in REQUIRED:
            return page(404, "Not Found")
        if request.method != "POST":
            return page(405, "Not Allowed")
        refused = self._check_signature(request) or self._check_limit(request) or _check_fields(request)
        if refused is None:
            return self._carry_out(request)
        code, message = refused
        response = refusal(code, request.path, message)
        if code == OVER_LIMIT and self.rules.retry_after is not None:
            response = replace(response, headers=(*response.headers, ("retry-after", str(self.rules.retry_after))))
        return response

    def _check_signature(self, request: Request) -> _Refused | None:
        headers = request.headers
        spellings = [prefix for prefix in ("", "rc-") if any(prefix + name in headers for name in _SIGNED)]
        if len(spellings) > 1:
            return SIGNATURE_REFUSED, "the two spellings of the signature headers are mixed"
        app_key, nonce, timestamp, signature = (headers.get("".join(spellings) + name, "") for name in _SIGNED)
        if app_key != self.app_key:
            return PARAMETER_INVALID, "App-Key is missing or unknown"
        self.stats.long_nonces += len(nonce) > DOCUMENTED_NONCE
        if not 1 <= len(nonce) <= MAX_NONCE:
            return SIGNATURE_REFUSED, f"Nonce must have 1 to {MAX_NONCE} characters"
        if not (timestamp.isascii() and timestamp.isdigit()):
            return SIGNATURE_REFUSED, "Timestamp must be a whole number"
        signed = f"{self.app_secret.reveal()}{nonce}{timestamp}".encode()
        if signature != hashlib.sha1(signed, usedforsecurity=False).hexdigest():  # SHA-1 is the vendor's choice
            return SIGNATURE_REFUSED, ""
        # Milliseconds are documented, but the vendor's own SDKs send seconds and are accepted.
        seconds = float(timestamp) / (1000 if float(timestamp) >= _FIRST_MILLISECONDS else 1)
        self.stats.reused_nonces += nonce in self._nonces
        self._nonces.add(nonce)
        self.stats.odd_timestamps += abs(request.now - seconds) > DAY
        if self.rules.max_skew is not None and abs(request.now - seconds) > self.rules.max_skew:
            return SIGNATURE_REFUSED, "Timestamp is too far from the server's clock"
        return None

    def _check_limit(self, request: Request) -> _Refused | None:
        counted = self._counted["" if self.rules.shared_limit else request.path]
        over = in_last_second(counted, request.at) >= self.rules.rate
        if self.rules.count_refused or not over:
            counted.append(request.at)
        return (OVER_LIMIT, "") if over else None

    def _carry_out(self, request: Request) -> Response:
        fields = request.form or {}
        if request.path == QUERY:
            return self._list_members(fields["groupId"])
        key = fields["groupId"], fields["userId"]
        if request.path == READ:
            self.stats.reads += 1
            held = self.aliases.get(key)
            return success(**NO_ALIAS[self.rules.no_alias]) if held is None else success(remark=held)
        remark = fields["remark"] if request.path == SET else None
        if remark is None:
            # Clearing an alias that is not set is not documented either; an idempotent 200 is likely.
            self.stats.clears += 1
        else:
            if key in self.aliases:
                self._set_again.add(key)
            self.stats.keys_set_again = len(self._set_again)
            self.stats.longest_remark = max(self.stats.longest_remark, len(remark))
            self.stats.sets += 1
        self.change(key, remark)
        if self.on_write is not None:
            self.on_write(Write(group_id=key[0], user_id=key[1], remark=remark))
        return success()

    def change(self, key: Key, remark: str | None) -> None:
        """Change an alias without a request: it is not counted. An empty one is none, as the service accepts none."""
        if not remark:
            self.aliases.pop(key, None)
            return
        self.aliases[key] = remark
        if self.members is None:
            self._named[key[0]].add(key[1])

    def _list_members(self, group_id: str) -> Response:
        users = (self._named if self.members is None else self.members).get(group_id)
        if users is None and self.rules.unknown_group == "error":
            return refusal(PARAMETER_INVALID, QUERY, "the group does not exist")
        return success(users=[{"id": user_id} for user_id in sorted(users or ())])


def _check_fields(request: Request) -> _Refused | None:
    form = request.form
    if form == {}:
        return EMPTY_POST, ""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        return PARAMETER_INVALID, "the body is not application/x-www-form-urlencoded"
    if form is None:
        return PARAMETER_INVALID, "the form is not percent-encoded UTF-8"
    for name in REQUIRED[request.path]:
        if not form.get(name):
            return PARAMETER_INVALID, f"{name} is required"
    if len(form.get("userId", "").encode()) > MAX_USER_ID:
        return PARAMETER_TOO_LONG, f"userId is longer than {MAX_USER_ID} bytes"
    if len(form["groupId"]) > MAX_GROUP_ID:
        return PARAMETER_TOO_LONG, f"groupId is longer than {MAX_GROUP_ID} characters"
    return None


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


def success(**content: object) -> Response:
    """RongCloud's response to a call it carried out; ``content`` stands beside the code."""
    return _json(CODES[SUCCESS].status, SUCCESS, content)


def refusal(code: int, path: str, message: str = "", *, status: int | None = None) -> Response:
    """RongCloud's refusal of a request for a path.

    By default it has the meaning and the status of the table of codes, and 400 for a code that is not in it.
    """
    known = CODES.get(code)
    text = message or (known.meaning if known else "refused")
    return _json(status or (known.status if known else 400), code, {"errorMessage": text, "url": path})


def _json(status: int, code: int, content: Mapping[str, object]) -> Response:
    body = json.dumps({"code": code, **content}, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status=status, body=body, headers=(("content-type", "application/json; charset=utf-8"),), code=code)


def page(status: int, title: str) -> Response:
    """The response of the gateway in front of RongCloud: a page, not JSON."""
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1><hr>nginx</body></html>\r\n"
    return Response(status=status, body=body.encode(), headers=(("content-type", "text/html"),))
