"""What a number format makes of a number: whether the digits in a cell are the digits people see.

An id like 000123 is often a number 123 that a format pads with zeros; the zeros are then part of the id.
"""

import re
from dataclasses import dataclass

PADDING = re.compile("0{2,}")
PLAIN = re.compile(r"|General|@|[#,?]*0?(\.[0#?]+)?(E\+?0+)?", re.IGNORECASE)
UNSEEN = re.compile(r"\[[^\]]*\]|_.|\*.")
"""Colours, languages and conditions; the space of a character; fillers."""

BUILT_IN = {
    **dict.fromkeys((5, 6, 7, 8, 37, 38, 39, 40, 41, 42, 43, 44), "¤"),
    **dict.fromkeys((9, 10), "0%"),
    **dict.fromkeys((12, 13), "# ?/?"),
}
"""Formats that files only number (ECMA-376, part 1, 18.8.30), as far as they show more than digits."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How a format shows a whole number.

    Attributes:
        width: How many digits it is padded to with zeros; 0 when the digits are shown as they are.
        otherwise: Something else than digits is shown.
    """

    width: int = 0
    otherwise: bool = False


AS_IS = Shown()


def shown(code: str) -> Shown:
    """Take a number format apart as far as ids need it.

    Args:
        code: The format, such as ``000000``; its first section counts.
    """
    first = UNSEEN.sub("", code.split(";", 1)[0])
    if PADDING.fullmatch(first):
        return Shown(width=len(first))
    return AS_IS if PLAIN.fullmatch(first) else Shown(otherwise=True)
