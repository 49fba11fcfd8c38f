"""How values, numbers and times are shown to people."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

# Controls, formats, separators other than the space, surrogates and unassigned characters are not printable for Python;
# the two joiners belong to emoji and to Indic and Arabic names, and are odd only beside ASCII.
_JOINERS = re.compile("(?<![^\x00-\x7f])[\u200c\u200d]")


def excerpt(text: str, most: int = 40) -> str:
    """The beginning of a text on one line, with nothing invisible in it.

    Control characters become their pictures (``␊``), other invisible characters their code points (``⟨U+200B⟩``). A
    text of more than ``most`` characters is cut and ends with ``…``.
    """
    shown = _JOINERS.sub(lambda found: _code_point(found[0]), text[:most])
    if not shown.isprintable():
        shown = "".join(map(_visible, shown))
    return shown if len(text) <= most else f"{shown}…"


def quoted(text: str) -> str:
    """An excerpt of a text in single quotes."""
    return f"'{excerpt(text)}'"


def listing(names: Sequence[str], most: int = 20) -> str:
    """Names in quotes and in order, at most ``most`` of them."""
    shown = ", ".join(map(quoted, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def count(number: int, noun: str) -> str:
    """A number and its regular noun: ``1 row``, ``2,000 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """A time span in at most two units: ``0.4 s``, ``45 s``, ``12 min 5 s``, ``2 h 47 min``, ``3 d 4 h``."""
    if seconds < 9.95 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, name, small, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {name} {rest} {part}" if rest else f"{whole // large} {name}"
    return f"{whole} s"


def percent(share: float) -> str:
    """A share as a person would write it: ``5%``, ``12.5%``."""
    return f"{100 * share:g}%"


def proportion(part: int, whole: int) -> str:
    """A part of a whole in per cent: ``12.5%``; ``0%`` and ``100%`` only when it is exactly that."""
    if not part:
        return "0%"
    if part == whole:
        return "100%"
    share = 100 * part / whole
    if share < 0.1:
        return "<\N{NO-BREAK SPACE}0.1%"
    return ">\N{NO-BREAK SPACE}99.9%" if share > 99.9 else f"{share:.1f}%"


def timestamp(seconds: float | None) -> str | None:
    """A time since the epoch in ISO 8601, UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _visible(character: str) -> str:
    if character.isprintable() or character in "\u200c\u200d":
        return character
    if character < " ":
        return chr(0x2400 + ord(character))
    return "␡" if character == "\x7f" else _code_point(character)


def _code_point(character: str) -> str:
    return f"⟨U+{ord(character):04X}⟩"
