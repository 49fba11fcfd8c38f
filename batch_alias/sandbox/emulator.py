"""RongCloud's alias calls without socket or clock: a request in, a response out.

What RongCloud documents is enforced strictly; where it is silent, the choice is explained beside the rule. Nothing but
the table of codes is shared with the client, so that both cannot be wrong about signing or encoding in the same way.
"""

import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from batch_alias.sandbox.messages import Key, Request, Response, page, refusal, success
from batch_alias.settings import Option, Secret, validate

PARAMETER_INVALID = 1002
EMPTY_POST = 1003
SIGNATURE_REFUSED = 1004
PARAMETER_TOO_LONG = 1005
OVER_LIMIT = 1008

SET, CLEAR, READ = "/group/remarks/set.json", "/group/remarks/del.json", "/group/remarks/get.json"
REQUIRED = {SET: ("userId", "groupId", "remark"), CLEAR: ("userId", "groupId"), READ: ("userId", "groupId")}
MAX_USER_ID = 64  # bytes
MAX_GROUP_ID = 64  # characters
MAX_NONCE = 64
DOCUMENTED_NONCE = 18  # but the vendor's own Go SDK sends 19 characters, and works

_SPELLINGS = (
    ("app-key", "nonce", "timestamp", "signature"),
    ("rc-app-key", "rc-nonce", "rc-timestamp", "rc-signature"),
)
_FIRST_MILLISECONDS = 10**11  # as seconds the year 5138, as milliseconds March 1973

_Refused = tuple[int, str]  # RongCloud's code, and a message if the meaning of the code does not say enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the emulated service enforces.

    Attributes:
        rate: Counted per path over a strict sliding second.
        count_refused: Whether requests refused by the limit count towards it as well. RongCloud does not say; the
            default is the harder case for a client.
        max_skew: Seconds a timestamp may differ from the server's clock; ``None`` does not check. RongCloud does not
            say what it permits.
        retry_after: Seconds in ``Retry-After`` when the limit refuses; ``None`` omits the header.
        idle_timeout: Seconds after which an idle connection is closed: more than the 55 s that RongCloud asks its
            clients to stay under.

    Raises:
        UsageError: A value is out of its range.
    """

    rate: Annotated[int, Option("Requests per second that are granted.", least=1)] = 100
    count_refused: bool = True
    max_skew: float | None = None
    retry_after: int | None = None
    idle_timeout: float = 75.0

    def __post_init__(self) -> None:
        validate(self)


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
    """RongCloud's set, clear and read for one app, with the aliases in memory.

    Attributes:
        app_key: The only App Key it knows.
        on_write: Called with every accepted change, in order.
        aliases: The aliases held.
        sets: Sets accepted.
        repeated: Keys that were set again while an alias was held for them.
        long_nonces: Requests with a nonce longer than documented.
    """

    app_key: str
    app_secret: Secret
    rules: Rules
    on_write: Callable[[Write], None] | None = None
    aliases: dict[Key, str] = field(default_factory=dict)
    sets: int = 0
    repeated: set[Key] = field(default_factory=set)
    long_nonces: int = 0
    _counted: dict[str, deque[float]] = field(default_factory=lambda: {path: deque() for path in REQUIRED})

    def handle(self, request: Request) -> Response:
        """Respond to a request, and carry it out if nothing is wrong with it.

        The order of the checks is not documented. The limit is counted per App Key and path, so a request with an
        unknown key or a wrong signature is refused first and does not count; any other does, whatever its fields are.
        """
        if request.path not in REQUIRED:
            return page(404, "Not Found")
        if request.method != "POST":
            return page(405, "Not Allowed")
        refused = self._check_signature(request) or self._check_limit(request) or _check_fields(request)
        if refused is None:
            return self._carry_out(request.path, request.form or {})
        code, message = refused
        response = refusal(code, request.path, message)
        if code == OVER_LIMIT and self.rules.retry_after is not None:
            response = replace(response, headers=(*response.headers, ("retry-after", str(self.rules.retry_after))))
        return response

    def _check_signature(self, request: Request) -> _Refused | None:
        headers = request.headers
        used = [names for names in _SPELLINGS if any(name in headers for name in names)]
        if len(used) > 1:
            return SIGNATURE_REFUSED, "the two spellings of the signature headers are mixed"
        app_key, nonce, timestamp, signature = (headers.get(name, "") for name in (used or _SPELLINGS)[0])
        if app_key != self.app_key:
            return PARAMETER_INVALID, "App-Key is missing or unknown"
        self.long_nonces += len(nonce) > DOCUMENTED_NONCE
        if not 1 <= len(nonce) <= MAX_NONCE:
            return SIGNATURE_REFUSED, f"Nonce must have 1 to {MAX_NONCE} characters"
        if not (timestamp.isascii() and timestamp.isdigit()):
            return SIGNATURE_REFUSED, "Timestamp must be a whole number"
        if not hmac.compare_digest(sign(self.app_secret, nonce, timestamp).encode(), signature.encode()):
            return SIGNATURE_REFUSED, ""
        skew = self.rules.max_skew
        if skew is not None and abs(request.now - _seconds(timestamp)) > skew:
            return SIGNATURE_REFUSED, "Timestamp is too far from the server's clock"
        return None

    def _check_limit(self, request: Request) -> _Refused | None:
        counted = self._counted[request.path]
        over = in_last_second(counted, request.at) >= self.rules.rate
        if self.rules.count_refused or not over:
            counted.append(request.at)
        return (OVER_LIMIT, "") if over else None

    def _carry_out(self, path: str, fields: Mapping[str, str]) -> Response:
        key = fields["groupId"], fields["userId"]
        if path == READ:
            # What is answered for an alias that is not set is not documented.
            return success(remark=self.aliases.get(key, ""))
        remark = fields["remark"] if path == SET else None
        if remark is None:
            # Clearing an alias that is not set is not documented either; an idempotent 200 is likely.
            self.aliases.pop(key, None)
        else:
            if key in self.aliases:
                self.repeated.add(key)
            self.aliases[key] = remark
            self.sets += 1
        if self.on_write is not None:
            self.on_write(Write(group_id=key[0], user_id=key[1], remark=remark))
        return success()


def sign(secret: Secret, nonce: str, timestamp: str) -> str:
    """RongCloud's documented signature: the lower-case hex SHA-1 of secret, nonce and timestamp."""
    # SHA-1 is the vendor's choice.
    return hashlib.sha1(f"{secret.reveal()}{nonce}{timestamp}".encode(), usedforsecurity=False).hexdigest()


def _seconds(timestamp: str) -> float:
    # Milliseconds are documented, but the vendor's own SDKs send seconds and are accepted.
    number = float(timestamp)
    return number / 1000 if number >= _FIRST_MILLISECONDS else number


def _check_fields(request: Request) -> _Refused | None:
    if not request.body:
        return EMPTY_POST, ""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        return PARAMETER_INVALID, "the body is not application/x-www-form-urlencoded"
    if request.form is None:
        return PARAMETER_INVALID, "the form is not percent-encoded UTF-8"
    for name in REQUIRED[request.path]:
        if not request.form.get(name):
            return PARAMETER_INVALID, f"{name} is required"
    if len(request.form["userId"].encode()) > MAX_USER_ID:
        return PARAMETER_TOO_LONG, f"userId is longer than {MAX_USER_ID} bytes"
    if len(request.form["groupId"]) > MAX_GROUP_ID:
        return PARAMETER_TOO_LONG, f"groupId is longer than {MAX_GROUP_ID} characters"
    return None
