"""RongCloud's alias calls as a machine without a clock: a request and its two clock readings in, an answer out.

What RongCloud documents is kept strictly; where it is silent, the choice is written beside the rule. It shares nothing
with the client but the table of codes, so that both ends cannot be wrong about signing or encoding together.
"""

import hashlib
import hmac
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from batch_alias.sandbox.exchange import (
    OVER_LIMIT,
    PARAMETER_INVALID,
    SIGNATURE_REFUSED,
    Answer,
    Headers,
    Key,
    Request,
    page,
    refusal,
    success,
)
from batch_alias.sandbox.forms import CLEAR, REQUIRED, SET, Refused, checked_fields
from batch_alias.settings import Secret

LONGEST_NONCE = 18

_SPELLINGS = (
    ("app-key", "nonce", "timestamp", "signature"),
    ("rc-app-key", "rc-nonce", "rc-timestamp", "rc-signature"),
)
_FIRST_MILLISECONDS = 10**11  # as seconds, the year 5138; as milliseconds, March 1973


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
