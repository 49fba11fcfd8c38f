"""The cells of a workbook as text.

A spreadsheet keeps 15 digits of a number, and an id may have more; it shows a number through a format, which may put
zeros in front of it. So a whole number becomes its digits, as far as they are certain, with the zeros of its format;
what has no certain text in the file is a problem of its row.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import assert_never

from batch_alias.problems import RowProblem, found
from batch_alias.text import quoted

# What a number format shows (ECMA-376, part 1, 18.8.31), once its invisible parts are removed: colours, languages and
# conditions in brackets, the space of a character, fillers.
_INVISIBLE = re.compile(r"\[[^\]]*\]|_.|\*.")
_PADDING = re.compile("0{2,}")
_PLAIN = re.compile(r"|General|@|[#,?]*0?(\.[0#?]+)?(E\+?0+)?", re.IGNORECASE)

BUILT_IN_FORMATS = {
    **dict.fromkeys((5, 6, 7, 8, 37, 38, 39, 40, 41, 42, 43, 44), "¤"),
    **dict.fromkeys((9, 10), "0%"),
    **dict.fromkeys((12, 13), "# ?/?"),
}
"""Formats that files only give by number (ECMA-376, part 1, 18.8.30) and that show more than digits."""

UNCERTAIN = 10**14
"""A number from here on has all the 15 digits that a spreadsheet keeps: it may have had more."""
INEXACT = 10**15
"""From here on a spreadsheet has replaced digits by zeros."""


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How a whole number is shown.

    Attributes:
        width: The number of digits that it is padded to with zeros; 0 for the digits as they are.
        other: It is, or may be, shown in another way.
    """

    width: int = 0
    other: bool = False


AS_IS = NumberFormat()


@dataclass(frozen=True, slots=True)
class DateOrTime:
    """A date, a time or a duration; its text is in ISO 8601, which is not what the spreadsheet shows."""

    text: str


Cell = str | int | float | bool | DateOrTime


def parse_format(code: str) -> NumberFormat:
    """What a number format such as ``000000`` does to whole numbers; only its first section counts."""
    shown = _INVISIBLE.sub("", code.split(";", 1)[0])
    if _PADDING.fullmatch(shown):
        return NumberFormat(width=len(shown))
    return AS_IS if _PLAIN.fullmatch(shown) else NumberFormat(other=True)


def text_of(cell: Cell) -> str:
    """The text of a cell without a format."""
    match cell:
        case str():
            return cell
        case bool():
            return "TRUE" if cell else "FALSE"
        case int() | float():
            if not math.isfinite(cell) or cell != int(cell):
                return format(cell, ".15g")
            # A spreadsheet shows 15 digits of a longer number and then zeros, not the float's further digits.
            return str(int(cell)) if abs(cell) < INEXACT else format(Decimal(format(cell, ".15g")), "f")
        case DateOrTime():
            return cell.text
        case _:
            assert_never(cell)


def read_cell(cell: Cell, number_format: NumberFormat, column: str, *, is_id: bool) -> tuple[str, list[RowProblem]]:
    """The text of a cell, and the problems it makes for its row.

    Args:
        cell: Its value.
        number_format: Its format.
        column: The header of its column.
        is_id: Whether the column holds ids, or aliases.
    """
    text, shown = text_of(cell), quoted(column)
    match cell:
        case str():
            return text, []
        case bool():
            return text, [found("boolean-in-id", column=shown, value=text)] if is_id else []
        case int() | float():
            return _read_number(cell, text, number_format, shown, is_id=is_id)
        case DateOrTime():
            return text, [found("date-in-id" if is_id else "date-in-remark", column=shown, value=text)]
        case _:
            assert_never(cell)


def _read_number(
    number: float, text: str, number_format: NumberFormat, column: str, *, is_id: bool
) -> tuple[str, list[RowProblem]]:
    problems = []
    if not math.isfinite(number) or abs(number) >= INEXACT:
        problems.append(found("number-too-long", column=column, value=text, final=True))
    elif is_id and number != int(number):
        problems.append(found("decimal-in-id", column=column, value=text))
    elif is_id and abs(number) >= UNCERTAIN:
        problems.append(found("number-too-long", column=column, value=text))
    elif "e" in text:
        problems.append(found("number-format", column=column, value=text))
    if number_format.other or (number_format.width and not text.isdecimal()):
        problems.append(found("number-format", column=column, value=text))
    elif text != text.zfill(number_format.width):
        text = text.zfill(number_format.width)
        problems.append(found("zeros-restored", column=column, value=text))
    return text, problems
