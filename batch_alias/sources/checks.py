"""May a row be sent? Column operations on a chunk of text columns.

The rules stand in one table, in the order in which they are asked: a row that breaks several is rejected for the
first. A row of the wrong width comes first, since its cells are not where they seem to be; then what cannot be sent
at all; then RongCloud's limits, which documents 64 bytes for a userId and 64 characters for a groupId.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from batch_alias.sources.columns import Columns
from batch_alias.sources.excerpts import excerpt
from batch_alias.sources.table import Chunk

USER_ID_BYTES = 64
GROUP_ID_CHARACTERS = 64
FIELDS = ("user_id", "group_id", "remark")
CONTROL_CHARACTER = r"[\x00-\x1f\x7f-\x9f]"

TEXT = object
"""The type of a text column: Python's own strings. What pandas's string types strip and count depends on what else
is installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of rejection.

    Attributes:
        reason: Its stable name.
        broken: Which rows of a chunk break it.
        says: The sentence, with ``{column}``, ``{value}``, ``{surplus}`` and ``{size}`` to be filled in.
        field: The field it is about; empty for the row as a whole.
    """

    reason: str
    broken: Callable[[pd.DataFrame], "pd.Series[bool]"]
    says: str
    field: str = ""


def _empty(field: str) -> Callable[[pd.DataFrame], "pd.Series[bool]"]:
    return lambda frame: frame[field] == ""


def _bytes(text: str) -> int:
    return len(text.encode())


def _has_control(field: str) -> Callable[[pd.DataFrame], "pd.Series[bool]"]:
    return lambda frame: frame[field].str.contains(CONTROL_CHARACTER)


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
        reason="control-character-in-id",
        field="user_id",
        broken=_has_control("user_id"),
        says="Column {column} holds {value}, in which there is a control character; remove it.",
    ),
    Rule(
        reason="control-character-in-id",
        field="group_id",
        broken=_has_control("group_id"),
        says="Column {column} holds {value}, in which there is a control character; remove it.",
    ),
    Rule(
        reason="empty-remark",
        field="remark",
        broken=_empty("remark"),
        says="Column {column} is empty; an alias is needed (an empty one cannot be set).",
    ),
)


def check(chunk: Chunk, header: tuple[str, ...], columns: Columns) -> tuple[pd.DataFrame, int]:
    """Turn a chunk into a frame of rows that say whether they may be sent.

    Args:
        chunk: The rows, as the source has them.
        header: The source's column names.
        columns: Which of them is which.

    Returns:
        The frame that ``Source.batches`` describes, and how many blank rows were left out of it.
    """
    frame = _as_columns(chunk, columns, len(header))
    blank = len(chunk.rows) - len(frame)
    _reject(frame, columns)
    wanted = frame["reason"] != "" if len(header) == len(columns.indexes) else frame["reason"].notna()
    frame["cells"] = pd.Series(
        [
            json.dumps(row, ensure_ascii=False) if written else None
            for row, written in zip(frame.pop("row"), wanted, strict=True)
        ],
        dtype=TEXT,
        index=frame.index,
    )
    return frame.drop(columns=["surplus", "nul"]), blank


def _as_columns(chunk: Chunk, columns: Columns, width: int) -> pd.DataFrame:
    whole_rows = pd.Series(map("".join, chunk.rows), dtype=TEXT)
    # A row with a flaw has content, even where no text could be made of it.
    kept = (whole_rows.str.strip() != "") | whole_rows.index.isin(list(chunk.flaws))
    rows = [row for row, keep in zip(chunk.rows, kept, strict=True) if keep]
    needed = max(columns.indexes) + 1
    filled = [row if len(row) >= needed else row + [""] * (needed - len(row)) for row in rows]
    frame = pd.DataFrame(
        {
            field: pd.Series([row[index] for row in filled], dtype=TEXT).str.strip()
            for field, index in zip(FIELDS, columns.indexes, strict=True)
        }
    )
    places = kept.index[kept]
    frame.insert(0, "number", places.to_numpy(dtype="int64") + chunk.first)
    flaws = [chunk.flaws.get(place) for place in places] if chunk.flaws else [None] * len(frame)
    frame["reason"] = pd.Series([flaw.reason if flaw else "" for flaw in flaws], dtype=TEXT)
    frame["message"] = pd.Series([flaw.message if flaw else "" for flaw in flaws], dtype=TEXT)
    frame["warning"] = pd.Series([""] * len(frame), dtype=TEXT)
    frame["surplus"] = pd.Series([len(row) - width for row in rows], dtype="int64")
    frame["nul"] = whole_rows[kept].str.contains("\0", regex=False).to_numpy(dtype=bool)
    frame["row"] = pd.Series(rows, dtype=TEXT)
    return frame


def _reject(frame: pd.DataFrame, columns: Columns) -> None:
    names = dict(zip(FIELDS, columns.names, strict=True))
    for rule in RULES:
        refused = rule.broken(frame) & (frame["reason"] == "")
        if not refused.any():
            continue
        values = frame.loc[refused, rule.field] if rule.field else [""] * int(refused.sum())
        frame.loc[refused, "message"] = [
            rule.says.format(
                column=excerpt(names.get(rule.field, "")),
                value=excerpt(value),
                size=len(value.encode()),
                surplus=abs(surplus),
            )
            for value, surplus in zip(values, frame.loc[refused, "surplus"], strict=True)
        ]
        frame.loc[refused, "reason"] = rule.reason
