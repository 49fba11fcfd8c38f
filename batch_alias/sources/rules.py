"""What may be wrong or odd about a row, as operations on text columns.

The rules stand in one table, in the order in which they are asked: a row that breaks several is rejected for the
first. A row of the wrong width comes first, since its cells are not where they seem to be; then what cannot be sent
at all; then RongCloud's limits, which documents 64 bytes for a userId and 64 characters for a groupId; then what
spreadsheets do to ids. Warnings come after all rejections.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

USER_ID_BYTES = 64
GROUP_ID_CHARACTERS = 64
USUAL_REMARK_CHARACTERS = 64
FIELDS = ("user_id", "group_id", "remark")
IDS = ("user_id", "group_id")

CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# Every format character and every space but the plain one (Unicode's Cf, Zs, Zl, Zp), and what is drawn as nothing.
INVISIBLE = (
    "[\u00a0\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u180e\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
FULL_WIDTH = "[\uff01-\uff5e]"
# As spreadsheets and programs print floating-point numbers. Plain "12e5" is left alone: many ids are hexadecimal.
SCIENTIFIC = r"[+-]?\d+(?:\.\d*[eE][+-]?|[eE][+-])\d+"
DECIMAL = r"[+-]?\d+\.\d*"
FORMULA_ERROR = r"#(?:N/A|REF!|VALUE!|DIV/0!|NAME\?|NUM!|NULL!|SPILL!|CALC!|GETTING_DATA|BLOCKED!|FIELD!|#+)"
NULL_WORD = r"(?i:null|none|nan|n/a|\(null\)|<null>|undefined)|\\N"

PLAIN_ID = r"(?!\d{15}0)[A-Za-z0-9]{1,64}"
PLAIN_REMARK = rf"(?!#|(?:{NULL_WORD})\Z)[^{CONTROLS}{BIDI}]{{1,64}}"
"""Values no rule can say anything about: most of them, so that the rules are asked about few rows."""

Broken = Callable[[pd.DataFrame], "pd.Series[bool]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of problem.

    Attributes:
        reason: Its stable name.
        broken: Which rows have it.
        says: The sentence, with ``{column}``, ``{value}``, ``{surplus}`` and ``{size}`` to be filled in.
        field: The field it is about; empty for the row as a whole.
    """

    reason: str
    broken: Broken
    says: str
    field: str = ""


def _empty(field: str) -> Broken:
    return lambda frame: frame[field] == ""


def _contains(field: str, pattern: str) -> Broken:
    return lambda frame: frame[field].str.contains(pattern)


def _is(field: str, pattern: str) -> Broken:
    return lambda frame: frame[field].str.fullmatch(pattern)


def _bytes(text: str) -> int:
    return len(text.encode())


def _for_both_ids(reason: str, test: Callable[[str, str], Broken], pattern: str, says: str) -> list[Rule]:
    return [Rule(reason=reason, field=field, broken=test(field, pattern), says=says) for field in IDS]


RULES = (
    Rule(
        reason="too-few-fields",
        broken=lambda frame: frame["surplus"] < 0,
        says="The row has fewer fields than the header ({surplus} missing); is a separator missing?",
    ),
    Rule(
        reason="too-many-fields",
        broken=lambda frame: frame["surplus"] > 0,
        says="The row has more fields than the header ({surplus} too many); quote what has a separator in it.",
    ),
    Rule(
        reason="nul-character",
        broken=lambda frame: frame["nul"],
        says="The row holds a NUL character, which no text should; remove it.",
    ),
    Rule(
        reason="empty-user-id", field="user_id", broken=_empty("user_id"), says="Column {column} is empty; fill it in."
    ),
    Rule(
        reason="empty-group-id",
        field="group_id",
        broken=_empty("group_id"),
        says="Column {column} is empty; fill it in.",
    ),
    Rule(
        reason="user-id-too-long",
        field="user_id",
        broken=lambda frame: frame["user_id"].map(_bytes) > USER_ID_BYTES,
        says=f"Column {{column}} holds {{value}}, {{size}} bytes; at most {USER_ID_BYTES} are taken.",
    ),
    Rule(
        reason="group-id-too-long",
        field="group_id",
        broken=lambda frame: frame["group_id"].str.len() > GROUP_ID_CHARACTERS,
        says=f"Column {{column}} holds {{value}}, {{size}} bytes; at most {GROUP_ID_CHARACTERS} characters are taken.",
    ),
    Rule(
        reason="empty-remark",
        field="remark",
        broken=_empty("remark"),
        says="Column {column} is empty; an alias is needed (an empty one cannot be set).",
    ),
    *_for_both_ids(
        "control-character-in-id",
        _contains,
        r"[\x00-\x1f\x7f-\x9f]",
        "Column {column} holds {value}, in which there is a control character; remove it.",
    ),
    *_for_both_ids(
        "invisible-character-in-id",
        _contains,
        INVISIBLE,
        "Column {column} holds {value}, in which there is a character that cannot be seen; remove it.",
    ),
    *_for_both_ids(
        "full-width-character-in-id",
        _contains,
        FULL_WIDTH,
        "Column {column} holds {value}, which is written in full width; write it with plain digits and letters.",
    ),
    *_for_both_ids(
        "scientific-notation-in-id",
        _is,
        SCIENTIFIC,
        "Column {column} holds {value}: a spreadsheet made a number of the id and cut it off; export the id as text.",
    ),
    *_for_both_ids(
        "decimal-in-id",
        _is,
        DECIMAL,
        "Column {column} holds {value}, a decimal number; export the id as text.",
    ),
    *_for_both_ids(
        "error-value-in-id",
        _is,
        FORMULA_ERROR,
        "Column {column} holds {value}, a formula's error; repair the formula.",
    ),
)
"""The rejections. Only in the ids does a value's look condemn it: an alias may be anything."""

WARNING_RULES = (
    *_for_both_ids(
        "id-outside-letters-and-digits",
        _contains,
        "[^A-Za-z0-9]",
        "Column {column} holds {value}; RongCloud documents letters and digits only.",
    ),
    *_for_both_ids(
        "zeros-after-15-digits-in-id",
        _is,
        r"\d{15}0+",
        "Column {column} holds {value}; a spreadsheet may have turned its last digits to zeros.",
    ),
    Rule(
        reason="remark-over-64-characters",
        field="remark",
        broken=lambda frame: frame["remark"].str.len() > USUAL_REMARK_CHARACTERS,
        says=f"Column {{column}} holds {{value}}, more than {USUAL_REMARK_CHARACTERS} characters.",
    ),
    Rule(
        reason="line-break-in-remark",
        field="remark",
        broken=_contains("remark", f"[{CONTROLS}]"),
        says="Column {column} holds {value}, in which there is a line break or a control character.",
    ),
    Rule(
        reason="bidi-control-in-remark",
        field="remark",
        broken=_contains("remark", f"[{BIDI}]"),
        says="Column {column} holds {value}, in which a character that cannot be seen turns the direction of writing.",
    ),
    Rule(
        reason="formula-error-in-remark",
        field="remark",
        broken=_is("remark", FORMULA_ERROR),
        says="Column {column} holds {value}, which looks like a formula's error.",
    ),
    Rule(
        reason="null-word-in-remark",
        field="remark",
        broken=_is("remark", NULL_WORD),
        says="Column {column} holds {value}, which looks like a missing value.",
    ),
    Rule(
        reason="white-space-removed",
        broken=lambda frame: frame["trimmed"],
        says="There is white space around a value of the row.",
    ),
)
"""What is odd, but may be meant. A warning says nothing about a row that is rejected."""
