"""How sentences, values, numbers and times are shown to people, in English or in another language.

A sentence is written in English where it is needed, as ``_("{rows} rows are rejected.", rows=5)``; the catalogues in
``locale`` have it in other languages. ``N_`` marks a sentence of a table, which ``_`` fills in later.
"""

import gettext
import json
import locale
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any, Final, Self

LANGUAGES: Final = ("en", "zh")
"""English, and Simplified Chinese."""

CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# Every format character and every space but the plain one (Unicode's Cf, Zs, Zl, Zp), and what is drawn as nothing.
INVISIBLE = (
    "[\u00a0\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u180e\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Parts of regular expressions: control characters, those that change the writing direction, and what is not seen."""
# Controls, formats, separators other than the space, surrogates and unassigned characters are not printable for Python;
# the two joiners belong to emoji and to Indic and Arabic names, and are odd only beside ASCII.
_JOINERS = re.compile("(?<![^\x00-\x7f])[\u200c\u200d]")

_catalogue: gettext.NullTranslations = gettext.NullTranslations()
_language = "en"

INDENT: Final = 10
"""Columns of a terminal that a label takes."""
_COMMAND = re.compile(r"batch-alias \w+ (?:'[^']*'|\S+)")


def use_language(language: str) -> None:
    """Show everything in a language from now on, in the whole process: one of ``LANGUAGES``, English for any other."""
    global _catalogue, _language
    folder = Path(__file__).parent / "locale"
    _language = language if language in LANGUAGES else "en"
    _catalogue = gettext.translation("batch_alias", folder, [language], fallback=True)


def language_tag() -> str:
    """The language in use, as HTML and spreadsheets name it: ``en``, ``zh-CN``."""
    return "zh-CN" if _language == "zh" else _language


def language_of(environment: Mapping[str, str]) -> str:
    """The language that an environment asks for: BATCH_ALIAS_LANG, or the locale."""
    names = ("BATCH_ALIAS_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    found = next(filter(None, map(environment.get, names)), None) or locale.getlocale()[0] or ""
    return "zh" if found.lower().startswith(("zh", "chinese")) else "en"


class Message(str):
    """A sentence in the language in use, which can be stored and shown in another one later.

    Args:
        template: The sentence in English, with the names of values in braces; if there is a ``many``, the one for 1.
        many: The sentence for any other ``number``, which is one of the values then.
        values: Fill in the names: numbers, texts and other messages.
    """

    template: str
    many: str
    values: Mapping[str, object]

    def __new__(cls, template: str, many: str = "", /, **values: object) -> Self:  # noqa: D102 - see the class
        match values.get("number"):
            case int(number) if many:
                shown = _catalogue.ngettext(template, many, number)
            case _:
                shown = template and _catalogue.gettext(template)
        message = super().__new__(cls, shown.format_map(values) if values else shown)
        message.template, message.many, message.values = template, many, values
        return message

    def __reduce__(self) -> tuple[object, ...]:
        return _message, (self.template, self.many, self.values)


_ = Message


def N_(template: str) -> str:  # noqa: N802 - the usual name
    """Mark a sentence of a table for the catalogues; ``_`` shows it."""
    return template


def english(text: str) -> str:
    """A message in English, whatever the language in use; any other text as it is."""
    if not isinstance(text, Message):
        return text
    template = text.many if text.many and text.values["number"] != 1 else text.template
    values = {name: english(value) if isinstance(value, str) else value for name, value in text.values.items()}
    return template.format_map(values) if values else template


def pack(text: str) -> str:
    """A text to be stored: a ``Message`` with values as JSON, any other text as it is."""
    if isinstance(text, Message):
        return to_json(text) if text.values else text.template
    return to_json(Message("{text}", text=text)) if text.startswith("{") else text


def unpack(stored: str) -> str:
    """What ``pack`` has stored, in the language in use."""
    return from_json(stored) if stored.startswith("{") else Message(stored)


def to_json(value: object) -> str:
    """JSON of a value with messages in it, which can be written."""
    return writable(json.dumps(_plain(value), ensure_ascii=False, default=str))


def writable(text: str) -> str:
    """A text with ``?`` for what UTF-8 does not have: names of files may have such bytes."""
    return text.encode(errors="replace").decode()


def indented_json(value: object) -> str:
    """JSON of a value as it is printed or written for scripts, and may be read by people: messages are texts in it."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def from_json(text: str) -> Any:  # noqa: ANN401 - as json.loads
    """The value of which this is the JSON, with its messages in the language in use."""
    return json.loads(text, object_hook=lambda found: _message(**found) if found.keys() == _KEYS else found)


_KEYS = {"template", "many", "values"}


def _message(template: str, many: str, values: Mapping[str, object]) -> Message:
    return Message(template, many, **values)


def _plain(value: object) -> object:
    match value:
        case Message():
            return {"template": value.template, "many": value.many, "values": _plain(value.values)}
        case Mapping():
            return {name: _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value


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
    shown = enumeration(map(quoted, names[:most]))
    return _("{names} and {number} more", names=shown, number=len(names) - most) if len(names) > most else shown


def enumeration(parts: Iterable[str]) -> str:
    """Texts with commas between them; the empty ones are left out."""
    shown = [part for part in parts if part]
    return reduce(lambda first, rest: _("{first}, {rest}", first=first, rest=rest), shown) if shown else ""


def count(number: int, noun: str) -> Message:
    """A number and its regular noun: ``1 row``, ``2,000 rows``."""
    return Message(f"{{number:,}} {noun}", f"{{number:,}} {noun}s", number=number)


def duration(seconds: float) -> str:
    """A time span in at most two units: ``0.4 s``, ``45 s``, ``12 min 5 s``, ``2 h 47 min``, ``3 d 4 h``."""
    if seconds < 9.95 and seconds != int(seconds):
        return _("{seconds:.1f} s", seconds=seconds)
    whole = round(seconds)
    units = ((86400, N_("{number} d")), (3600, N_("{number} h")), (60, N_("{number} min")), (1, N_("{number} s")))
    parts = list[str]()
    for size, template in units:
        number, whole = divmod(whole, size)
        if number or parts:
            parts.append(_(template, number=number) if number else "")
    return " ".join(filter(None, parts[:2])) or _("{number} s", number=0)


def labelled(label: str, text: str) -> str:
    """A line of a terminal: a label, which may be empty, in a column of its own."""
    import wcwidth  # 0.02 s, and not needed by what prints no lines

    return wcwidth.ljust(label, INDENT) + text


def wrapped(text: str, width: int) -> str:
    """A line in as many as it needs in so many columns: the others are indented, below the text if it has a label.

    A command in it is not broken, since it may be copied.
    """
    import wcwidth

    label = re.match(r"\S.*?  +", text)
    indent = INDENT if label and wcwidth.width(label[0]) == INDENT else len(text) - len(text.lstrip()) + 2
    if width <= 2 * indent:
        return text
    unbroken = _COMMAND.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    lines = wcwidth.wrap(
        unbroken,
        width,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=not text.isascii(),  # Chinese has no spaces
    )
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


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
