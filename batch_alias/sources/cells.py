"""The cells of a workbook as text.

A spreadsheet keeps 15 digits of a number, and an id may have more; it shows a number through a format, which may put
zeros in front of it. So a whole number becomes its digits, as far as they are certain, with the zeros of its format;
what has no certain text in the file is a problem of its row.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import NamedTuple, assert_never

from batch_alias.problems import RowProblem, found
from batch_alias.text import quoted

# The parts of a number format (ECMA-376, part 1, 18.8.31).
_PART = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_(?P<space>.)|\*(?P<filler>.)|\[(?P<bracket>[^\]]*)\]|(?P<plain>.)',
    re.DOTALL,
)
# Brackets that change no character: colours, and languages without a currency, calendar or digits of their own.
_INVISIBLE = re.compile(
    r"(?:black|blue|cyan|green|magenta|red|white|yellow|color ?\d+)|\$-(?:[0-9a-f]{1,4}|[a-z]{2,3}(?:-[a-z]+)*)",
    re.IGNORECASE,
)
_VISIBLE = "\N{WHITE SQUARE}"  # stands for everything else that a format adds to the digits

UNCERTAIN = 10**14
"""A number from here on has all the 15 digits that a spreadsheet keeps: it may have had more."""
INEXACT = 10**15
"""From here on a spreadsheet has replaced digits by zeros."""

Padding = int | None
"""To how many digits a format pads a whole number with zeros; 0 if it also shows others as they are; ``None`` if it may
show any in another way."""


class Format(NamedTuple):
    """What a number format does to each kind of value."""

    positive: Padding = 0
    negative: Padding = 0
    zero: Padding = 0
    text: Padding = 0

    def of(self, number: float) -> Padding:
        """What it does to a number."""
        return self.zero if number == 0 else self.positive if number > 0 else self.negative


GENERAL = Format()
UNKNOWN = Format(positive=None, negative=None, zero=None)


@dataclass(frozen=True, slots=True)
class DateOrTime:
    """A date, a time or a duration; its text is in ISO 8601, which is not what the spreadsheet shows."""

    text: str


@dataclass(frozen=True, slots=True)
class Formatted:
    """A value that is shown through a format."""

    value: "Cell"
    format: Format


class Flaw(Enum):
    """Why a cell has no value: the name of the problem."""

    ERROR = "error-cell"
    NO_VALUE = "formula-without-value"
    HALF_A_CHARACTER = "surrogate-character"


Cell = str | int | float | bool | DateOrTime | Formatted | Flaw


@cache
def parse_format(code: str) -> Format:
    """What a number format such as ``000000`` does; sections with conditions (``[>=5]0000;0``) are not read."""
    if not code.strip():
        return GENERAL
    sections = [section.strip() for section in "".join(map(_shown, _PART.finditer(code))).split(";")]
    *before, last = sections
    of_text = 0 if last == "@" or (len(sections) < 4 and "@" not in last) else None
    if len(sections) > 4 or re.search(r"\[[<>=]", code):
        return UNKNOWN._replace(text=of_text)
    numbers = before if before and (len(sections) == 4 or "@" in last) else sections
    positive, zero = _padding(numbers[0]), numbers[2 if len(numbers) > 2 else 0]
    return Format(
        positive=positive,
        negative=positive if positive in {0, 1} and len(numbers) == 1 else None,
        zero=_padding(zero) if zero.strip("#") else None,
        text=of_text,
    )


def _shown(part: re.Match[str]) -> str:
    """A part of a format with a sign for what it adds to the digits, except for white space."""
    match part.lastgroup, part[part.lastgroup or 0]:
        case "plain", content:
            return content
        case "bracket", content:
            return "" if _INVISIBLE.fullmatch(content) else _VISIBLE
        case "space", _:
            return " "
        case _, content:
            return _VISIBLE if content.strip() else content


def _padding(section: str) -> Padding:
    if section == "@" or section.casefold() == "general":
        return 0
    return max(section.count("0"), 1) if re.fullmatch("#+|#*0+", section) else None


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
        case Formatted():
            return text_of(cell.value)
        case Flaw():
            return ""
        case _:
            assert_never(cell)


def read_cell(cell: Cell, column: str, *, is_id: bool, shown: Format = GENERAL) -> tuple[str, list[RowProblem]]:
    """The text of a cell in a column of ids or of aliases, and the problems it makes for its row."""
    text, name = text_of(cell), quoted(column)
    match cell:
        case str():
            hidden = shown.text is None and text.strip()
            return text, [found("number-format", column=name, value=quoted(text))] if hidden else []
        case bool():
            return text, [found("boolean-in-id", column=name, value=text)] if is_id else []
        case int() | float():
            return _read_number(cell, text, shown.of(cell), name, is_id=is_id)
        case DateOrTime():
            return text, [found("date-in-id" if is_id else "date-in-remark", column=name, value=text)]
        case Formatted():
            return read_cell(cell.value, column, is_id=is_id, shown=cell.format)
        case Flaw():
            return " ", [found(cell.value, column=name)]  # it has no text, but is not empty either
        case _:
            assert_never(cell)


def _read_number(
    number: float, text: str, padding: Padding, column: str, *, is_id: bool
) -> tuple[str, list[RowProblem]]:
    problems = []
    if not math.isfinite(number) or abs(number) >= INEXACT:
        problems.append(found("number-too-long", column=column, value=text, final=True))
    elif is_id and number % 1:
        problems.append(found("decimal-in-id", column=column, value=text))
    elif is_id and abs(number) >= UNCERTAIN:
        problems.append(found("number-too-long", column=column, value=text))
    elif "e" in text:
        problems.append(found("number-format", column=column, value=text))
    if padding is None or (padding and number % 1):
        problems.append(found("number-format", column=column, value=text))
    elif len(text) < padding:
        text = text.zfill(padding)
        problems.append(found("zeros-restored"))
    return text, problems
