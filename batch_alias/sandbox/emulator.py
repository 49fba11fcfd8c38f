"""RongCloud's alias calls as a machine without a clock: a request and its two clock readings in, an answer out.

What RongCloud documents is kept strictly; where it is silent, the choice is written beside the rule. It shares nothing
with the client but the table of codes, so that both ends cannot be wrong about signing or encoding together.
"""

import hashlib
import hmac
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from batch_alias.sandbox.exchange import (
    EMPTY_POST,
    OVER_LIMIT,
    PARAMETER_INVALID,
    PARAMETER_TOO_LONG,
    SIGNATURE_REFUSED,
    Answer,
    Headers,
    Key,
    Request,
    page,
    refusal,
    success,
)
from batch_alias.settings import Secret

SET, CLEAR, READ = "/group/remarks/set.json", "/group/remarks/del.json", "/group/remarks/get.json"
REQUIRED = {SET: ("userId", "groupId", "remark"), CLEAR: ("userId", "groupId"), READ: ("userId", "groupId")}

LONGEST_NONCE = 18
LONGEST_USER_ID = 64  # bytes
LONGEST_GROUP_ID = 64  # characters

_SPELLINGS = (
    ("app-key", "nonce", "timestamp", "signature"),
    ("rc-app-key", "rc-nonce", "rc-timestamp", "rc-signature"),
)
_FIRST_MILLISECONDS = 10**11  # as seconds, the year 5138; as milliseconds, March 1973
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the emulated service enforces.

    Attributes:
        rate: Requests per second and path, counted over a strict sliding second.
        count_refused: Whether requests refused for the limit use it up as well. RongCloud does not say; the default is
            the harder case for a client.
        max_skew: Seconds a timestamp may differ from the server's clock; ``None`` does not check. RongCloud does not
            say what it permits.
        wrong_secret_code: The code that answers a signature made with another secret: 1004, or 1001.
        retry_after: Seconds named in ``Retry-After`` when the limit refuses; ``None`` leaves the header out.
        keep_writes: Remember every accepted set and clear in order, not only the last value. For tests.
    """

    rate: int = 100
    count_refused: bool = True
    max_skew: float | None = None
    wrong_secret_code: int = SIGNATURE_REFUSED
    retry_after: int | None = None
    keep_writes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One change that was accepted; ``remark`` is ``None`` when the alias was cleared."""

    group_id: str
    user_id: str
    remark: str | None


class Window:
    """Counts instants in a strict sliding second: two of them share a second when less than 1 s lies between them."""

    def __init__(self) -> None:
        self._instants: deque[float] = deque()

    def count(self, at: float) -> int:
        """How many of the added instants share a second with ``at``, which is not before any of them."""
        instants = self._instants
        while instants and at - instants[0] >= 1.0:
            instants.popleft()
        return len(instants)

    def add(self, at: float) -> None:
        """Add an instant, not before any other."""
        self._instants.append(at)


class Refused(Exception):  # noqa: N818 - an answer on its way out, not an error
    """Carries a code of RongCloud's from the rule that refuses to the answer."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = message


class Emulator:
    """RongCloud's set, clear and read, with the aliases in memory.

    Args:
        app_key: The only App Key it knows.
        app_secret: The secret that belongs to it.
        rules: What it enforces.

    Attributes:
        aliases: What is held: ``(group_id, user_id)`` to remark.
        writes: Every accepted change in order, if the rules ask for it.
        sets: Sets accepted.
        repeats: For a key set again while its alias was held: how many times again.
    """

    def __init__(self, app_key: str, app_secret: Secret, rules: Rules) -> None:
        self.rules = rules
        self.aliases: dict[Key, str] = {}
        self.writes: list[Write] = []
        self.sets = 0
        self.repeats: dict[Key, int] = {}
        self._app_key = app_key
        self._app_secret = app_secret
        self._windows = {path: Window() for path in REQUIRED}

    def handle(self, request: Request) -> Answer:
        """Answer a request, and carry it out if it is in order.

        The order of the checks is not documented. The limit is counted per App Key and path, so a request of nobody's
        key is refused first and costs nothing; every other one counts, however wrong its fields are.
        """
        if request.path not in REQUIRED:
            return page(request, 404, "Not Found")
        if request.method != "POST":
            return page(request, 405, "Not Allowed")
        try:
            self._authenticate(request)
            self._admit(request)
            return self._carry_out(request, checked_fields(request))
        except Refused as refused:
            return refusal(request, refused.code, refused.message, extra=self._advice(refused.code))

    def _authenticate(self, request: Request) -> None:
        headers = request.headers
        used = [names for names in _SPELLINGS if any(name in headers for name in names)]
        if len(used) > 1:
            raise Refused(SIGNATURE_REFUSED, "the two spellings of the signature headers are mixed")
        app_key, nonce, timestamp, signature = (headers.get(name, "") for name in (used or _SPELLINGS)[0])
        if app_key != self._app_key:
            raise Refused(PARAMETER_INVALID, "App-Key is missing or unknown")
        if not nonce or len(nonce) > LONGEST_NONCE:
            raise Refused(SIGNATURE_REFUSED, f"Nonce must have 1 to {LONGEST_NONCE} characters")
        if not (timestamp.isascii() and timestamp.isdigit()):
            raise Refused(SIGNATURE_REFUSED, "Timestamp must be a whole number")
        if not hmac.compare_digest(sign(self._app_secret, nonce, timestamp).encode(), signature.encode()):
            raise Refused(self.rules.wrong_secret_code)
        skew = self.rules.max_skew
        if skew is not None and abs(request.now - _seconds(timestamp)) > skew:
            raise Refused(SIGNATURE_REFUSED, "Timestamp is too far from the server's clock")

    def _admit(self, request: Request) -> None:
        window = self._windows[request.path]
        over = window.count(request.at) >= self.rules.rate
        if self.rules.count_refused or not over:
            window.add(request.at)
        if over:
            raise Refused(OVER_LIMIT)

    def _advice(self, code: int) -> Headers:
        wait = self.rules.retry_after
        return () if code != OVER_LIMIT or wait is None else (("retry-after", str(wait)),)

    def _carry_out(self, request: Request, fields: Mapping[str, str]) -> Answer:
        key = fields["groupId"], fields["userId"]
        if request.path == SET:
            self._set(key, fields["remark"])
            return success(request)
        if request.path == CLEAR:
            # Clearing what is not set is not documented; an idempotent 200 is the likely answer.
            self.aliases.pop(key, None)
            self._remember(key, None)
            return success(request)
        # What reading an alias that is not set answers is not documented either.
        return success(request, remark=self.aliases.get(key, ""))

    def _set(self, key: Key, remark: str) -> None:
        if key in self.aliases:
            self.repeats[key] = self.repeats.get(key, 0) + 1
        self.aliases[key] = remark
        self.sets += 1
        self._remember(key, remark)

    def _remember(self, key: Key, remark: str | None) -> None:
        if self.rules.keep_writes:
            self.writes.append(Write(group_id=key[0], user_id=key[1], remark=remark))


def sign(secret: Secret, nonce: str, timestamp: str) -> str:
    """RongCloud's signature: the lower-case hex SHA-1 of secret, nonce and timestamp, as documented."""
    # SHA-1 is the vendor's choice.
    return hashlib.sha1(f"{secret.reveal()}{nonce}{timestamp}".encode(), usedforsecurity=False).hexdigest()


def _seconds(timestamp: str) -> float:
    """Milliseconds are documented, but the vendor's own SDKs send seconds and are accepted."""
    number = int(timestamp)
    return number / 1000 if number >= _FIRST_MILLISECONDS else float(number)


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
