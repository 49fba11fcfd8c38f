"""The cells of a workbook: what text they become, and which cannot become any.

A cell is not always text, and what Excel made of a long id cannot be undone: a number keeps 15 digits, and ids are
longer. So whole numbers become their digits as long as Excel can hold them, with the zeros their format puts in front,
and everything else that is not text is rejected where it would be sent.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import assert_never

from batch_alias.sources.excerpts import excerpt
from batch_alias.sources.formats import Shown
from batch_alias.sources.table import RowProblem


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, time or duration.

    Attributes:
        text: It in ISO 8601, which is not what Excel shows.
    """

    text: str


Cell = str | int | float | bool | Moment

DOUBTFUL_ID = 10**14
"""An id with 15 digits is all that Excel keeps, so it may have been longer."""
EXACT = 10**15
"""From here on Excel has replaced digits by zeros."""


def text_of(cell: Cell) -> str:
    """The text of a cell, without regard to its format."""
    match cell:
        case str():
            return cell
        case bool():
            return "TRUE" if cell else "FALSE"
        case int() | float():
            if not math.isfinite(cell) or cell != int(cell):
                return format(cell, ".15g")
            # Of a longer number Excel shows 15 digits and then zeros; the rest would be the noise of a float.
            return str(int(cell)) if abs(cell) < EXACT else format(Decimal(format(cell, ".15g")), "f")
        case Moment():
            return cell.text
        case _:
            assert_never(cell)


def error_flaw(column: str) -> RowProblem:
    """The flaw of an error cell."""
    return RowProblem(reason="error-cell", message=f"Column {excerpt(column)} holds a formula's error; repair the formula.")


def flaw_of(cell: Cell, column: str, *, is_id: bool) -> RowProblem | None:
    """What is wrong with a cell that is not text.

    Args:
        cell: Its value.
        column: The name of its column.
        is_id: Whether an id is wanted there, or an alias.
    """
    what = f"Column {excerpt(column)} holds"
    match cell:
        case str():
            return None
        case bool():
            return _flaw("boolean-in-id", f"{what} the truth value {text_of(cell)}") if is_id else None
        case int() | float():
            return _number_flaw(cell, f"{what} the number {text_of(cell)}", is_id=is_id)
        case Moment():
            reason = "date-in-id" if is_id else "date-in-remark"
            return _flaw(reason, f"{what} the date or time {cell.text}, whose text is not in the file")
        case _:
            assert_never(cell)


def formatted(cell: Cell, style: Shown, column: str) -> tuple[str, RowProblem | None]:
    """The text of a number under its format, and what is to be said about it."""
    text = text_of(cell)
    if isinstance(cell, str | bool) or not isinstance(cell, int | float):
        return text, None
    what = f"Column {excerpt(column)} holds the number {text}"
    if style.otherwise or (style.width and not text.isdecimal()):
        return text, _flaw("number-format", f"{what}, which Excel shows in another way")
    padded = text.zfill(style.width)
    if padded == text:
        return text, None
    return padded, RowProblem(reason="zeros-restored", message=f"{what}, shown as {padded}.")


def unknown_format(cell: Cell, column: str) -> RowProblem | None:
    """The flaw of a number in an id column of a file whose formats may pad numbers and cannot be told cell by cell."""
    if isinstance(cell, str | bool) or not isinstance(cell, int | float):
        return None
    what = f"Column {excerpt(column)} holds the number {text_of(cell)}"
    return RowProblem(reason="number-format", message=f"{what}, which may be shown with zeros in front; save it as .xlsx.")


def _number_flaw(number: float, what: str, *, is_id: bool) -> RowProblem | None:
    if not math.isfinite(number) or abs(number) >= EXACT:
        return _flaw("number-too-long", f"{what}, of which Excel has replaced the last digits by zeros", final=True)
    if is_id and number != int(number):
        return _flaw("decimal-in-id", f"{what}, which is not whole")
    if is_id and abs(number) >= DOUBTFUL_ID:
        return _flaw("number-too-long", f"{what}, which may have been longer before Excel cut it off")
    if "e" in text_of(number):
        return _flaw("number-format", f"{what}, which Excel shows in another way")
    return None


def _flaw(reason: str, sentence: str, *, final: bool = False) -> RowProblem:
    return RowProblem(reason=reason, message=f"{sentence}; format the column as text and enter the value again.", final=final)
