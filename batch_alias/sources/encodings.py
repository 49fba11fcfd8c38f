"""The encoding of a text, found in a sample; reading the rest strictly confirms it.

UTF-8 and UTF-16 can be recognised. GB18030 and Big5 decode nearly every byte pair, so that "it decodes" proves nothing,
and a general detector needs more text than a handful of names (charset-normalizer chose the right one of the two in 3
of 5 files with one name). But both tables list the characters in daily use first: a text in which these are rare is in
neither, and if they are frequent in both, the user has to name the encoding.
"""

import codecs
import re
from dataclasses import dataclass

from batch_alias.errors import SourceError

LEAST_SHARE = 0.6
"""Of common characters, for a text to be in an encoding."""
LEAST_LEAD = 0.05
"""Of one encoding's share over the other's."""
LEAST_PAIRS = 4
"""Fewer double-byte characters prove nothing: the "Ås" of a Western "Åsa" is a common character of Big5."""
LEAST_KOREAN_PAIRS = 12
"""So many characters that are all in the range of EUC-KR's syllables are Korean: Chinese ones spread further."""

NAME_THE_ENCODING = "Save it as CSV UTF-8, or name its encoding with --encoding."

# A double-byte character, or one of the four-byte characters of GB18030, which have a digit in the second place.
_CHARACTER = re.compile(rb"[\x80-\xff][0-9].{0,2}|([\x80-\xff][^0-9])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding: Python's name of its codec, and its usual name."""

    codec: str
    name: str


BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: Encoding("utf-8", "UTF-8 with mark"),
    codecs.BOM_UTF32_LE: Encoding("utf-32", "UTF-32 with mark"),  # before the mark of UTF-16, which begins it
    codecs.BOM_UTF16_LE: Encoding("utf-16", "UTF-16 with mark"),
    codecs.BOM_UTF16_BE: Encoding("utf-16", "UTF-16 with mark"),
}


def find_encoding(sample: bytes, wanted: str | None = None, *, file: str = "The text") -> Encoding:
    """Find the encoding of a text.

    Args:
        sample: The first bytes of the text; may end within a character.
        wanted: The encoding that the user named; only a byte order mark may refine it.
        file: The name of the file, for the error.

    Raises:
        SourceError: It is not text, or its encoding is not certain.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if sample.startswith(mark) and (wanted is None or _family(wanted) == _family(encoding.codec)):
            return encoding
    if wanted is not None:
        if codecs.lookup(wanted).name in {"utf-16", "utf-32"}:
            problem = "{file} does not begin with the byte order mark of {encoding}."
            advice = "Name the byte order too: {encoding}-LE or {encoding}-BE."
            raise SourceError(problem, advice, file=file, encoding=wanted.upper())
        return Encoding(wanted, wanted.upper())
    if sample.count(0) * 10 > len(sample):  # a few NULs are a problem of their rows; this many are UTF-16 or no text
        return _utf_16(sample, file)
    if _decodes(sample, "utf-8"):
        return Encoding("utf-8", "UTF-8")
    return _chinese(sample, file)


def _family(codec: str) -> list[str]:
    return codecs.lookup(codec).name.split("-")[:2]


def _decodes(sample: bytes, codec: str) -> bool:
    try:
        codecs.getincrementaldecoder(codec)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _utf_16(sample: bytes, file: str) -> Encoding:
    """Text with many ASCII characters has its NULs at the even or at the odd positions."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > 10 * even and _decodes(sample, "utf-16-le"):
        return Encoding("utf-16-le", "UTF-16 LE")
    if even > 10 * odd and _decodes(sample, "utf-16-be"):
        return Encoding("utf-16-be", "UTF-16 BE")
    raise SourceError("{file} is not text.", "Name a file of rows: CSV or Excel.", file=file)


def _chinese(sample: bytes, file: str) -> Encoding:
    pairs = [(pair[0], pair[1]) for pair in _CHARACTER.findall(sample) if pair]
    if len(pairs) >= LEAST_KOREAN_PAIRS and all(0xB0 <= lead <= 0xC8 and trail >= 0xA1 for lead, trail in pairs):
        raise SourceError("The encoding of {file} seems to be Korean.", NAME_THE_ENCODING, file=file)
    gb = _common_in_gb(pairs) if _decodes(sample, "gb18030") else 0.0
    big5_codec = next((codec for codec in ("cp950", "big5hkscs") if _decodes(sample, codec)), None)
    big5 = _common_in_big5(pairs) if big5_codec else 0.0
    if min(gb, big5) >= LEAST_SHARE and abs(gb - big5) < LEAST_LEAD:
        raise SourceError("The encoding of {file} could be GB18030 as well as Big5.", NAME_THE_ENCODING, file=file)
    if len(pairs) >= LEAST_PAIRS and max(gb, big5) >= LEAST_SHARE:
        if big5_codec is not None and big5 > gb:
            return Encoding(big5_codec, "Big5")
        return Encoding("gb18030", "GB18030")
    return Encoding("utf-8", "UTF-8")  # it is not: reading it will name the first byte that is wrong


def _common_in_gb(pairs: list[tuple[int, int]]) -> float:
    """The share of GB2312's first level, the 3,755 characters in daily use, leads B0 to D7, ordered by sound."""
    words = [(lead, trail) for lead, trail in pairs if not (0xA1 <= lead <= 0xA9 and trail >= 0xA1)]  # no punctuation
    return sum(0xB0 <= lead <= 0xD7 and trail >= 0xA1 for lead, trail in words) / max(len(words), 1)


def _common_in_big5(pairs: list[tuple[int, int]]) -> float:
    """The share of Big5's first level, the 5,401 characters in daily use, leads A4 to C6, ordered by strokes."""
    words = [lead for lead, _ in pairs if not 0xA1 <= lead <= 0xA3]  # no punctuation
    return sum(0xA4 <= lead <= 0xC6 for lead in words) / max(len(words), 1)
