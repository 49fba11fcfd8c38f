"""How numbers, times, codes and values are put in words (pure)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from batch_alias.errors import ExitCode
from batch_alias.model import Failure, Response, State
from batch_alias.rongcloud.codes import CODES, classify

STATES: Mapping[State, str] = {
    State.ACCEPTED: "RongCloud has accepted the alias",
    State.SUPERSEDED: "a later row sets the same user and group",
    State.REJECTED: "something is wrong with the row; it was not sent",
    State.FAILED: "refused by the service, or never reached it",
    State.UNKNOWN: "sent, but never confirmed: it may or may not be set",
    State.PENDING: "not sent yet",
}
"""The states in the order people want them, and what they mean."""

EXITS: Mapping[int, str] = {
    ExitCode.DONE: "every row accepted",
    ExitCode.NOT_ALL_ACCEPTED: "ended; some rows were not accepted",
    ExitCode.USAGE: "wrong usage",
    ExitCode.SOURCE: "the source cannot be used",
    ExitCode.STOPPED: "stopped by the service",
    ExitCode.LEDGER: "the ledger cannot be used",
    ExitCode.REPORT: "a report could not be written",
    ExitCode.INTERRUPTED: "interrupted",
}

# Control characters are drawn as nothing, and NUL may not even stand in a page.
_CONTROLS = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def exit_in_words(code: int | None) -> str:
    """How a run ended; ``None`` is a run that never said so."""
    if code is None:
        return "cut off, or still under way"
    return f"{EXITS.get(code, 'ended')} (exit code {code})"


def code_in_words(code: str) -> str:
    """What an answer means, by the word under which it was counted: a code, ``HTTP nnn``, or what failed."""
    if code.isdecimal():
        known = CODES.get(int(code))
        return known.meaning if known else "a code that RongCloud's table does not have"
    if code in set(Failure):
        return classify(Response(request_id="", host="", latency=0.0, failure=Failure(code))).meaning
    found = re.fullmatch(r"HTTP (\d{3})", code)
    if found is None:
        return ""
    status = int(found[1])
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "an answer"
    return f"{phrase}, without RongCloud's code: from a gateway"


def visible(text: str, most: int) -> str:
    """A value from the file as it is shown: control characters by their pictures, and not longer than ``most``."""
    return excerpt(text, most).translate(_CONTROLS)


def excerpt(text: str, most: int) -> str:
    """The beginning of a text that is longer than ``most``, and how long it is."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def count(number: int, one: str, many: str = "") -> str:
    """A number and its noun: ``1 row``, ``2 rows``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def share(part: int, whole: int) -> str:
    """A share in per cent that says 0 % and 100 % only when it is so."""
    if not part or part == whole:
        return "100\N{NO-BREAK SPACE}%" if part else "0\N{NO-BREAK SPACE}%"
    percent = 100 * part / whole
    if percent < 0.1:
        return "< 0.1\N{NO-BREAK SPACE}%"
    return "> 99.9\N{NO-BREAK SPACE}%" if percent > 99.9 else f"{percent:.1f}\N{NO-BREAK SPACE}%"


def duration(seconds: float) -> str:
    """A time span: ``0.4 s``, ``45 s``, ``12 min 5 s``, ``2 h 47 min``, ``3 d 4 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, name, small, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            return f"{whole // large} {name} {whole % large // small} {part}"
    return f"{whole} s"


def latency(milliseconds: float) -> str:
    """A latency: ``0.8 ms``, ``43 ms``, ``1.2 s``."""
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.3g} s"
    return f"{milliseconds:.2g} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def moment(seconds: float | None) -> str:
    """A time for people, in UTC to the second."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
