"""May a row be sent? A chunk of rows becomes a frame that says so.

Nearly every row of a usual file is beyond suspicion at one glance; only the others are put to the rules.
"""

import json

import pandas as pd

from batch_alias.settings import Reading
from batch_alias.sources.columns import Columns
from batch_alias.sources.excerpts import excerpt
from batch_alias.sources.reasons import WARNINGS
from batch_alias.sources.rules import FIELDS, PLAIN_ID, PLAIN_REMARK, RULES, WARNING_RULES, Rule
from batch_alias.sources.table import Chunk

TEXT = object
"""The type of a text column: Python's own strings. What pandas's string types strip and count depends on what else
is installed."""

FINDINGS = ["reason", "message", "warning"]


def check(chunk: Chunk, header: tuple[str, ...], columns: Columns, reading: Reading) -> tuple[pd.DataFrame, int]:
    """Turn a chunk into a frame of rows that say whether they may be sent.

    Args:
        chunk: The rows, as the source has them.
        header: The source's column names.
        columns: Which of them is which.
        reading: Which rejections are let through, and whether warnings reject.

    Returns:
        The frame that ``Source.batches`` describes, and how many blank rows were left out of it.
    """
    frame = _as_columns(chunk, columns, len(header))
    blank = len(chunk.rows) - len(frame)
    _add_flaws(frame, chunk, reading)
    suspects = _suspects(frame)
    if suspects.any():
        judged = frame[suspects].copy()
        for rule in (*RULES, *WARNING_RULES):
            _apply(rule, judged, columns, reading)
        judged.loc[judged["reason"] != "", "warning"] = ""
        frame.loc[suspects, FINDINGS] = judged[FINDINGS]
    _add_cells(frame, everywhere=len(header) > len(columns.indexes))
    return frame.drop(columns=["surplus", "nul", "trimmed", "row"]), blank


def rejects(reason: str, reading: Reading) -> bool:
    """Whether a problem keeps its row from being sent, under what a person said about it."""
    return reason not in reading.accept and (reading.strict or reason not in WARNINGS)


def _as_columns(chunk: Chunk, columns: Columns, width: int) -> pd.DataFrame:
    whole_rows = pd.Series(map("".join, chunk.rows), dtype=TEXT)
    # A row with a flaw has content, even where no text could be made of it.
    kept = (whole_rows.str.strip() != "") | whole_rows.index.isin(list(chunk.flaws))
    rows = [row for row, keep in zip(chunk.rows, kept, strict=True) if keep]
    needed = max(columns.indexes) + 1
    filled = [row if len(row) >= needed else row + [""] * (needed - len(row)) for row in rows]
    raw = {
        field: pd.Series([row[index] for row in filled], dtype=TEXT)
        for field, index in zip(FIELDS, columns.indexes, strict=True)
    }
    frame = pd.DataFrame({field: texts.str.strip() for field, texts in raw.items()})
    frame.insert(0, "number", kept.index[kept].to_numpy(dtype="int64") + chunk.first)
    for finding in FINDINGS:
        frame[finding] = pd.Series([""] * len(frame), dtype=TEXT)
    frame["surplus"] = pd.Series([len(row) - width for row in rows], dtype="int64")
    frame["nul"] = whole_rows[kept].str.contains("\0", regex=False).to_numpy(dtype=bool)
    frame["trimmed"] = sum((raw[field] != frame[field] for field in FIELDS), start=pd.Series(0, index=frame.index)) > 0
    frame["row"] = pd.Series(rows, dtype=TEXT)
    return frame


def _suspects(frame: pd.DataFrame) -> "pd.Series[bool]":
    return ~(
        frame["user_id"].str.fullmatch(PLAIN_ID)
        & frame["group_id"].str.fullmatch(PLAIN_ID)
        & frame["remark"].str.fullmatch(PLAIN_REMARK)
        & (frame["surplus"] == 0)
        & ~frame["nul"]
        & ~frame["trimmed"]
        & (frame["reason"] == "")
        & (frame["warning"] == "")
    )


def _add_flaws(frame: pd.DataFrame, chunk: Chunk, reading: Reading) -> None:
    if not chunk.flaws:
        return
    found = [chunk.flaws.get(number - chunk.first, ()) for number in frame["number"]]
    fatal = [next((flaw for flaw in flaws if flaw.final or rejects(flaw.reason, reading)), None) for flaws in found]
    frame["reason"] = pd.Series([flaw.reason if flaw else "" for flaw in fatal], dtype=TEXT)
    frame["message"] = pd.Series([flaw.message if flaw else "" for flaw in fatal], dtype=TEXT)
    odd = [",".join(dict.fromkeys(flaw.reason for flaw in flaws)) for flaws in found]
    frame["warning"] = pd.Series(odd, dtype=TEXT).where(frame["reason"] == "", "")


def _apply(rule: Rule, frame: pd.DataFrame, columns: Columns, reading: Reading) -> None:
    """Note a rule's reason at the rows that break it and were not rejected before."""
    found = rule.broken(frame) & (frame["reason"] == "")
    if not found.any():
        return
    if not rejects(rule.reason, reading):
        found &= ~frame["warning"].str.endswith(rule.reason)  # the other id may have it too
        earlier = frame.loc[found, "warning"]
        frame.loc[found, "warning"] = (earlier + ",").where(earlier != "", "") + rule.reason
        return
    name = dict(zip(FIELDS, columns.names, strict=True)).get(rule.field, "")
    values = frame.loc[found, rule.field] if rule.field else [""] * int(found.sum())
    frame.loc[found, "message"] = [
        rule.says.format(column=excerpt(name), value=excerpt(value), size=len(value.encode()), surplus=abs(surplus))
        for value, surplus in zip(values, frame.loc[found, "surplus"], strict=True)
    ]
    frame.loc[found, "reason"] = rule.reason


def _add_cells(frame: pd.DataFrame, *, everywhere: bool) -> None:
    written = [everywhere] * len(frame) if everywhere else frame["reason"] != ""
    frame["cells"] = pd.Series(
        [
            json.dumps(row, ensure_ascii=False) if write else None
            for row, write in zip(frame["row"], written, strict=True)
        ],
        dtype=TEXT,
    )
