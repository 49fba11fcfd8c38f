"""Where a table begins: the row with the names of the columns, under titles and among sheets of explanations."""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice
from typing import NamedTuple, TypeVar

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources.columns import FLAGS, candidates, find_columns, flags_of, fold, letters, roles
from batch_alias.text import N_, Message, _, enumeration, quoted

SEARCHED_ROWS = 20
"""Rows of a sheet or a text, from the first that is not blank, in which the header is looked for."""
SHOWN_SHEETS, SHOWN_ROWS, SHOWN_CELLS = 5, 4, 6
"""How much of the beginning of each sheet an error shows."""
_LIKE_AN_ID = re.compile(r"[A-Za-z_-]{0,8}\d[\w-]*", re.ASCII)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Top:
    """The first rows of a sheet, or of a text, without the blank ones before them."""

    sheet: str  # empty for a text
    rows: Sequence[tuple[int, Sequence[str]]]  # each with its number, as a spreadsheet shows it


class Header(NamedTuple):
    """The names of the columns, without the white space around them, and where they stand."""

    sheet: str  # empty for a text
    row: int  # 0 where the rows are data from the first one on
    names: tuple[str, ...]

    @property
    def place(self) -> str:
        """Where it stands, in words; empty where it is expected to: in the first row."""
        return _("header in row {row}", row=self.row) if self.row > 1 else ""


def first_rows(rows: Iterable[T], cells: Callable[[T], Iterable[str]], reading: Reading) -> list[T]:
    """The rows in which the header is looked for, taken from all rows; ``cells`` gives the text of a row's cells."""
    start = dropwhile(lambda row: not any(cell and not cell.isspace() for cell in cells(row)), rows)
    return list(islice(start, max(SEARCHED_ROWS, reading.header_row or 0)))


def find_header(tops: Sequence[Top], reading: Reading, *, file: str) -> Header:
    """Find the row that has the columns. Raises ``SourceError`` if no row has them, or several have."""
    if not any(top.rows for top in tops):
        if not tops[0].sheet:
            raise SourceError("{file} contains nothing but white space.", "Was its export finished?", file=file)
        problem, sheet = N_("The sheet {sheet} of {file} is empty."), quoted(tops[0].sheet)
        raise SourceError(problem, "Name another with --sheet.", file=file, sheet=sheet)
    found = [header for top in tops for header in _headers(top, reading)]
    if not found:
        raise _not_found(tops, reading, file)
    if len(found) > 1:
        places = "; ".join(_place_and_flags(header, found) for header in found)
        problem = N_("More than one row of {file} could be the header: {places}.")
        raise SourceError(problem, "Name the one that is meant.", file=file, places=places)
    return found[0]


def best_fit(rows: Sequence[Sequence[str]], reading: Reading) -> tuple[int, int]:
    """How many roles have a column in the row that fits best, and how many columns it has; to compare delimiters."""
    searched = _searched(Top("", list(enumerate(rows, start=1))), reading)
    return max(((_fitting(row, reading), len(row)) for _, row in searched), default=(0, 0))


def numbered(width: int) -> tuple[str, ...]:
    """The header of a source that has none: the numbers of its columns, from 1."""
    return tuple(str(number) for number in range(1, width + 1))


def _headers(top: Top, reading: Reading) -> list[Header]:
    """The rows that may be the header of a sheet."""
    rows = (Header(top.sheet, number, _names(row)) for number, row in _searched(top, reading))
    fitting = [row for row in rows if _fitting(row.names, reading) == len(roles(reading))]
    # Positions fit every row: where all columns are given by theirs, the header is the first row.
    named = [row for row in fitting if any(candidates(row.names, reading, positions=False).values())]
    # A header that is repeated, as at the top of each printed page, is the same one, whatever else its row has.
    distinct = {_columns_of(row, reading): row for row in reversed(named)}
    return list(reversed(distinct.values())) or fitting[:1]


def _columns_of(row: Header, reading: Reading) -> tuple[tuple[int, str], ...]:
    found = candidates(row.names, reading).values()
    return tuple((index, fold(row.names[index])) for indexes in found for index in indexes)


def _searched(top: Top, reading: Reading) -> Iterable[tuple[int, Sequence[str]]]:
    """The rows that can be the header, with their numbers."""
    if reading.no_header:
        return [(0, numbered(len(row))) for _, row in top.rows[:1]]
    return [row for row in top.rows if reading.header_row in {None, row[0]}]


def _names(row: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip() for name in row)


def _fitting(names: Sequence[str], reading: Reading) -> int:
    """How many of the roles have a column."""
    return sum(map(bool, candidates(_names(names), reading).values()))


def _place_and_flags(header: Header, found: Sequence[Header]) -> str:
    flags = [f"--sheet {shlex.quote(header.sheet)}"] if header.sheet else []
    if sum(other.sheet == header.sheet for other in found) > 1:
        flags.append(f"--header-row {header.row}")
    place = N_("row {row} of sheet {sheet} ({flags})") if header.sheet else N_("row {row} ({flags})")
    return _(place, row=header.row, sheet=quoted(header.sheet), flags=" ".join(flags))


def _not_found(tops: Sequence[Top], reading: Reading, file: str) -> SourceError:
    """The error that says what is missing in the row that fits best, and shows how each sheet begins."""
    rows = [Header(top.sheet, number, _names(row)) for top in tops for number, row in _searched(top, reading)]
    if not rows:
        advice = N_("Name the row of the header with --header-row.")
        return SourceError("{file} has no row {row}.", advice, file=file, row=reading.header_row)
    best = max(rows, key=lambda row: _fitting(row.names, reading))
    advice = N_("Name them with {flags} (a header, letter or number), and their row with --header-row.")
    values = {"file": file, "roles": enumeration(roles(reading)), "flags": flags_of(reading)}
    found = SourceError("No row of {file} has columns for {roles}.", advice, **values)
    if _fitting(best.names, reading) or len(rows) == 1:
        try:
            find_columns(best.names, reading, where=_where(best, named=len(tops) > 1))
        except SourceError as error:
            found = error
    first = next(row for top in tops for _number, row in top.rows)
    if not reading.no_header and sum(bool(_LIKE_AN_ID.fullmatch(cell.strip())) for cell in first) > 1:
        columns = " ".join(f"{FLAGS[role]} {letter}" for role, letter in zip(roles(reading), "ABCD", strict=False))
        hint = _("If the first row is data: --no-header {columns}, with the letters of the columns.", columns=columns)
        found.advice = _("{first} {second}", first=found.advice, second=hint)
    found.advice = "\n".join([found.advice, *(line for top in tops[:SHOWN_SHEETS] for line in _shown(top))])
    return found


def _where(header: Header, *, named: bool) -> Message | None:
    """Where a header stands; with its sheet only if that is to be named."""
    if not named:
        return _("in row {row}", row=header.row) if header.row > 1 else None
    return _("in row {row} of sheet {sheet}", row=header.row, sheet=quoted(header.sheet))


def _shown(top: Top) -> Iterator[str]:
    yield _("Sheet {sheet} begins:", sheet=quoted(top.sheet)) if top.sheet else _("The file begins:")
    for number, row in top.rows[:SHOWN_ROWS]:
        cells = [f"{letters(index)} {quoted(cell)}" for index, cell in enumerate(row) if cell.strip()]
        more = ["…"] if len(cells) > SHOWN_CELLS else []
        yield "  " + _("row {row}: {cells}", row=number, cells=enumeration([*cells[:SHOWN_CELLS], *more]))
