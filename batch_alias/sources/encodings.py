"""Which encoding a text is in, told from a bounded sample and confirmed by reading the rest strictly.

UTF-8 and UTF-16 give themselves away. GB18030 and Big5 do not: nearly every byte pair is a character in both, so
"it can be decoded" proves nothing, and neither does the statistics of a general detector on a handful of names
(charset-normalizer, told to choose between the two, was right for 3 of 5 files with one name, and found no answer for
some with a hundred). What tells is how both tables are laid out: the characters people use come first. A text in
which common characters are rare is in neither, and one in which they are common in both is a question for a person.
"""

import codecs
from collections.abc import Callable
from dataclasses import dataclass

from batch_alias.errors import SourceError

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with mark"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32 with mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16 with mark"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16 with mark"),
)
COMMON_ENOUGH = 0.6
CLEARLY_MORE = 0.05
FEWEST = 4
"""Fewer double-byte characters say nothing: the "Ås" of a Western "Åsa" is common in Big5."""
KOREAN_FROM = 12
"""So many characters that all lie where EUC-KR has its syllables are Korean: Chinese ones spread further."""

WHAT_TO_DO = "Save it as CSV UTF-8, or say which encoding it is with --encoding."


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """An encoding that was found or named.

    Attributes:
        codec: Python's name of it.
        name: What people call it.
    """

    codec: str
    name: str


def find_encoding(sample: bytes, wanted: str | None = None) -> Encoding:
    """Tell a text's encoding.

    Args:
        sample: The text's first bytes; may end within a character.
        wanted: The encoding a person named; only a mark in front is looked for.

    Raises:
        SourceError: It is no text, or the encoding cannot be told for certain.
    """
    for mark, codec, name in MARKS:
        if sample.startswith(mark) and (wanted is None or _same_family(wanted, codec)):
            return Encoding(codec=codec, name=name)
    if wanted is not None:
        return Encoding(codec=wanted, name=wanted.upper())
    if sample.count(0) * 10 > len(sample):  # a stray NUL is its row's problem; this many are UTF-16 or no text
        return _utf_16(sample)
    if _decodes(sample, "utf-8"):
        return Encoding(codec="utf-8", name="UTF-8")
    return _chinese(sample)


def _same_family(wanted: str, codec: str) -> bool:
    return codecs.lookup(wanted).name.split("-")[:2] == codecs.lookup(codec).name.split("-")[:2]


def _decodes(sample: bytes, codec: str) -> bool:
    try:
        codecs.getincrementaldecoder(codec)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _utf_16(sample: bytes) -> Encoding:
    at_even, at_odd = sample[::2].count(0), sample[1::2].count(0)
    for codec, name, here, there in (
        ("utf-16-le", "UTF-16 LE", at_odd, at_even),
        ("utf-16-be", "UTF-16 BE", at_even, at_odd),
    ):
        if here > 10 * there and _decodes(sample, codec):
            return Encoding(codec=codec, name=name)
    raise SourceError("It is not text.", "Name a file of rows: CSV or Excel.")


def _chinese(sample: bytes) -> Encoding:
    pairs = _pairs(sample)
    if len(pairs) >= KOREAN_FROM and all(0xB0 <= lead <= 0xC8 and trail >= 0xA1 for lead, trail in pairs):
        raise SourceError("Its encoding seems to be Korean.", WHAT_TO_DO)
    found = []
    for codecs_of_it, name, common in (
        (("gb18030",), "GB18030", _common_in_gb),
        (("cp950", "big5hkscs"), "Big5", _common_in_big5),
    ):
        codec = next((codec for codec in codecs_of_it if _decodes(sample, codec)), None)
        share = common(pairs)
        if codec is not None and share >= COMMON_ENOUGH:
            found.append((share, Encoding(codec=codec, name=name)))
    match sorted(found, key=lambda candidate: candidate[0], reverse=True):
        case [(first, _), (second, _)] if first < second + CLEARLY_MORE:
            raise SourceError("Its encoding could be GB18030 as well as Big5.", WHAT_TO_DO)
        case [(_, encoding), *_] if len(pairs) >= FEWEST:
            return encoding
        case _:
            # It is not, and reading it as such will name the byte that says so.
            return Encoding(codec="utf-8", name="UTF-8")


def _pairs(sample: bytes) -> list[tuple[int, int]]:
    """The double-byte characters, lead and trail; ASCII and GB18030's four-byte characters are passed over."""
    pairs = []
    place = 0
    while place < len(sample) - 1:
        lead, trail = sample[place], sample[place + 1]
        if lead < 0x80:
            place += 1
        elif 0x30 <= trail <= 0x39:
            place += 4
        else:
            pairs.append((lead, trail))
            place += 2
    return pairs


def _common_in_gb(pairs: list[tuple[int, int]]) -> float:
    """The share of GB2312's first level: the 3,755 characters in daily use, leads B0 to D7, ordered by sound."""
    words = [(lead, trail) for lead, trail in pairs if not (0xA1 <= lead <= 0xA9 and trail >= 0xA1)]
    return _share(words, lambda lead, trail: 0xB0 <= lead <= 0xD7 and trail >= 0xA1)


def _common_in_big5(pairs: list[tuple[int, int]]) -> float:
    """The share of Big5's first level: the 5,401 characters in daily use, leads A4 to C6, ordered by strokes."""
    words = [(lead, trail) for lead, trail in pairs if not 0xA1 <= lead <= 0xA3]
    return _share(words, lambda lead, trail: 0xA4 <= lead <= 0xC6 and (0x40 <= trail <= 0x7E or trail >= 0xA1))


def _share(words: list[tuple[int, int]], is_common: Callable[[int, int], bool]) -> float:
    """The share of common ones among the characters that are no punctuation."""
    return sum(is_common(lead, trail) for lead, trail in words) / len(words) if words else 0.0
