"""Every problem that a row can have: its name, how it is found, what it says, and what to do about it.

A *rejection* keeps its row from being sent; a *warning* does not, unless ``--strict``. A row is rejected for the first
problem found: by what reads the file, then in the row as a whole (one of the wrong width has its values in the wrong
columns), then by the tests in the order of the table: what cannot be sent at all, RongCloud's limits, and what
spreadsheets do to ids.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import not_

from batch_alias.text import BIDI, CONTROLS, INVISIBLE, _

LONGEST_USER_ID = 64
"""Bytes of a userId that RongCloud takes (documented)."""
LONGEST_GROUP_ID = 64
"""Characters of a groupId that RongCloud takes (documented)."""
USUAL_REMARK = 64
"""Characters that RongCloud takes in the name fields it documents; it documents none for a remark."""

# As spreadsheets and programs print floating-point numbers. Plain "12e5" is not among them: many ids are hexadecimal.
SCIENTIFIC = r"[+-]?\d+(?:\.\d*[eE][+-]?|[eE][+-])\d+"
FORMULA_ERROR = r"#(?:N/A|REF!|VALUE!|DIV/0!|NAME\?|NUM!|NULL!|SPILL!|CALC!|GETTING_DATA|BLOCKED!|FIELD!|#+)"
NULL_WORD = r"(?i:null|none|nan|n/a|\(null\)|<null>|undefined)|\\N"
# As programs and people write a missing or a truth value.
NO_ID = rf"{NULL_WORD}|(?i:na|nil|true|false|无|空)|[-\u2010-\u2015\u2212_.?/*]+"

PLAIN_ID = rf"(?!\d{{15}}0|(?=[A-Za-z]++\Z)(?:{NO_ID})\Z)[A-Za-z0-9]{{1,64}}"
PLAIN_REMARK = rf"(?![#']|{INVISIBLE}|(?:{NULL_WORD})\Z)[^{CONTROLS}{BIDI}]{{1,64}}"
"""Values in which no test can find anything: nearly all, so that the tests are asked about few rows."""

FIELDS = ("user_id", "group_id", "remark")
IDS = FIELDS[:2]
NOT_A_DATA_ROW = "not-a-data-row"
"""Found when all rows have been read; it does not count against --max-rejected."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of problem."""

    name: str  # stable: it is in reports, and --accept takes it
    sentence: str  # what is wrong, with {column}, {value} and other names to be filled in
    advice: str = ""  # what to do about it; none for a warning
    fields: tuple[str, ...] = ()  # whose values are tested
    test: Callable[[str], object] | None = None  # None where only what reads the file or the row can see it
    # --accept lets it through: it is a text that RongCloud would take, and only a person can know if it was meant.
    acceptable: bool = False
    # What was meant is hardly what the file has, so --accept is not proposed.
    is_damage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProblem:
    """A problem that was found in a row."""

    name: str
    message: str  # what is wrong, in a sentence
    final: bool = False  # the text that was meant is not in the file, so --accept does not let it through


def _contains(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).search


def _matches(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


def _damaged_id(name: str, sentence: str, advice: str, test: Callable[[str], object]) -> Problem:
    return Problem(name, sentence, advice, IDS, test, acceptable=True, is_damage=True)


_AS_TEXT = "Store the ids as text in the program that writes the file, and enter the id again."
_CELL_AS_TEXT = "Format the column as text and enter the value again."
_QUOTE_IT = "Check for a missing separator; put a value that contains one, or a line break, in quotes."
_FILL_IN = "Fill it in, or delete the row."
_CHECK_COLUMNS = "Check that the columns are the right ones."

_EMPTY = "Column {column} is empty."
_EMPTY_REMARK = "Column {column} is empty; with --empty clear the alias is cleared."
_DATE = "Column {column} holds the date or time {value}; the text that is shown for it is not in the file."

_REJECTIONS = (
    Problem("too-few-fields", "The row has fewer fields than the header: {number} missing.", _QUOTE_IT),
    Problem("too-many-fields", "The row has more fields than the header: {number} too many.", _QUOTE_IT),
    Problem(
        "misplaced-quote",
        "A quote in {value} is not closed, or is closed in the middle of a field.",
        "Close the quote; write a quote that belongs to a value twice.",
    ),
    Problem(
        "backslash-before-quote",
        "The field {value} has a backslash before a quote, which ends the field for some programs, and not for others.",
        "Write a quote that belongs to a value twice, without a backslash.",
        acceptable=True,
    ),
    Problem(
        "row-in-quotes",
        "The quoted field {value} contains a line break and what looks like a row of its own.",
        "Close the quote before the line break.",
        acceptable=True,
    ),
    Problem(
        NOT_A_DATA_ROW,
        "The row stands below the last one with both ids and has not both itself: a total, a signature or a note.",
        "If it is one, leave it; otherwise fill in its ids.",
    ),
    Problem("not-an-object", "{value} is not a JSON object: {reason}.", "Write one JSON object on each line."),
    Problem("not-text", "Column {column} holds {value} of type {type}.", "Store it as text."),
    Problem(
        "surrogate-character",
        "The row contains half a character (a lone surrogate), which cannot be sent.",
        "Write the value again.",
    ),
    Problem(
        "repeated-header",
        "The row repeats the header.",
        "Delete it, and check whether another table begins there.",
        acceptable=True,
        is_damage=True,
    ),
    Problem("nul-character", "The row contains a NUL character.", "Remove it."),
    Problem("error-cell", "Column {column} holds a formula error.", "Correct the formula."),
    Problem(
        "formula-without-value",
        "Column {column} holds a formula of which the file has no result.",
        "Open it in Excel and save it.",
    ),
    Problem("boolean-in-id", "Column {column} holds the truth value {value}.", _CELL_AS_TEXT),
    Problem("date-in-id", _DATE, _CELL_AS_TEXT),
    Problem("date-in-remark", _DATE, _CELL_AS_TEXT),
    Problem(
        "number-too-long",
        "Column {column} holds the number {value}; a spreadsheet keeps only 15 digits.",
        _CELL_AS_TEXT,
        acceptable=True,
        is_damage=True,
    ),
    Problem(
        "number-format",
        "Column {column} holds {value}, which the spreadsheet may show in another way.",
        _CELL_AS_TEXT,
        acceptable=True,
    ),
    Problem("empty-user-id", _EMPTY, _FILL_IN, ("user_id",), not_),
    Problem("empty-group-id", _EMPTY, _FILL_IN, ("group_id",), not_),
    Problem(
        "user-id-too-long",
        f"Column {{column}} holds {{value}}, {{size}} bytes; RongCloud takes at most {LONGEST_USER_ID}.",
        _CHECK_COLUMNS,
        ("user_id",),
        lambda value: len(value.encode()) > LONGEST_USER_ID,
    ),
    Problem(
        "group-id-too-long",
        f"Column {{column}} holds {{value}}, {{length}} characters; RongCloud takes at most {LONGEST_GROUP_ID}.",
        _CHECK_COLUMNS,
        ("group_id",),
        lambda value: len(value) > LONGEST_GROUP_ID,
    ),
    Problem("empty-remark", _EMPTY_REMARK, _FILL_IN, ("remark",), not_),
    Problem(
        "blank-cell",
        "Column {column} shows nothing, but is not truly empty: white space, a formula, a merged cell, a missing key.",
        "Fill it in, or delete what the cell holds.",
        ("remark",),
        str.isspace,
    ),
    Problem(
        "invisible-remark",
        "Column {column} holds {value}, in which nothing can be seen.",
        _FILL_IN,
        ("remark",),
        _matches(rf"(?:{INVISIBLE}|[{CONTROLS}\s])+"),
        acceptable=True,
    ),
    Problem(
        "single-quotes",
        "Column {column} holds {value} in single quotes; only double quotes enclose a value.",
        "Write the file with double quotes, or without quotes.",
        FIELDS,
        _matches(r"(?s)'.*'"),
        acceptable=True,
    ),
    _damaged_id(
        "control-character-in-id",
        "Column {column} holds {value}, which contains a control character.",
        "Remove the control character.",
        _contains(r"[\x00-\x1f\x7f-\x9f]"),
    ),
    _damaged_id(
        "invisible-character-in-id",
        "Column {column} holds {value}, which contains an invisible character.",
        "Enter the id again.",
        _contains(INVISIBLE),
    ),
    _damaged_id(
        "full-width-character-in-id",
        "Column {column} holds {value}, which contains full-width characters.",
        "Enter the id again with half-width digits and letters.",
        _contains("[\uff01-\uff5e]"),
    ),
    _damaged_id(
        "scientific-notation-in-id",
        "Column {column} holds {value}: a spreadsheet took the id for a number and cut off its digits.",
        _AS_TEXT,
        _matches(SCIENTIFIC),
    ),
    _damaged_id(
        "decimal-in-id", "Column {column} holds {value}, a decimal number.", _AS_TEXT, _matches(r"[+-]?\d+\.\d*")
    ),
    _damaged_id(
        "error-value-in-id",
        "Column {column} holds {value}, a formula error.",
        "Enter the id again.",
        _matches(FORMULA_ERROR),
    ),
    _damaged_id(
        "no-value-in-id",
        "Column {column} holds {value}, which stands for a missing value or a truth value.",
        "Enter the id.",
        _matches(NO_ID),
    ),
    Problem("not-a-member", "The user is not in the group.", "Add the user to the group, or correct the ids."),
    Problem("no-such-group", "The group does not exist, or nobody is in it.", "Create the group, or correct its id."),
)

_WARNINGS = (
    Problem(
        "id-outside-letters-and-digits",
        "An id has other characters than the letters and digits that RongCloud documents.",
        fields=IDS,
        test=_contains("[^A-Za-z0-9]"),
    ),
    Problem(
        "zeros-after-15-digits-in-id",
        "An id of digits has only zeros from the 16th on; a spreadsheet may have cut it off.",
        fields=IDS,
        test=_matches(r"\d{15}0+"),
    ),
    Problem(
        "remark-over-64-characters",
        f"An alias has more than {USUAL_REMARK} characters.",
        fields=("remark",),
        test=lambda value: len(value) > USUAL_REMARK,
    ),
    Problem(
        "line-break-in-remark",
        "An alias contains a line break or another control character.",
        fields=("remark",),
        test=_contains(f"[{CONTROLS}]"),
    ),
    Problem(
        "bidi-control-in-remark",
        "An alias contains invisible characters that change the writing direction.",
        fields=("remark",),
        test=_contains(f"[{BIDI}]"),
    ),
    Problem(
        "formula-error-in-remark",
        "An alias looks like a formula error.",
        fields=("remark",),
        test=_matches(FORMULA_ERROR),
    ),
    Problem(
        "null-word-in-remark",
        "An alias looks like a missing value (NULL, None, nan).",
        fields=("remark",),
        test=_matches(NULL_WORD),
    ),
    Problem("white-space-removed", "White space around a value is not sent."),
    Problem("ids-differ-only-in-case", "Ids are the same but for capital letters; to RongCloud they are two."),
    Problem("hidden-row", "The row is hidden in the sheet, by hand or by a filter."),
    Problem("formula-quotes-removed", 'Of a value written as ="…", only what is in the quotes is sent.'),
    Problem("zeros-restored", "The leading zeros of a number were taken from its number format."),
)

REJECTIONS: Mapping[str, Problem] = {problem.name: problem for problem in _REJECTIONS}
WARNINGS: Mapping[str, Problem] = {problem.name: problem for problem in _WARNINGS}
PROBLEMS: Mapping[str, Problem] = {**REJECTIONS, **WARNINGS}
ACCEPTABLE = tuple(problem.name for problem in _REJECTIONS if problem.acceptable)


def found(name: str, *, final: bool = False, **values: object) -> RowProblem:
    """A problem that a reader found, its sentence filled in."""
    known = values | {"final": True} if final else values  # the reports need it too
    return RowProblem(name=name, message=_(PROBLEMS[name].sentence, **known), final=final)


def advice(name: str, *, is_lost: bool = False) -> str:
    """What to do about a rejection; empty for another name. A value that may be what was meant can be let through."""
    problem = REJECTIONS.get(name, Problem("", ""))
    if is_lost or problem.is_damage or not problem.acceptable:
        return _(problem.advice)
    accept = _("If it is what was meant, --accept {name} lets it through.", name=name)
    return f"{_(problem.advice)} {accept}"
