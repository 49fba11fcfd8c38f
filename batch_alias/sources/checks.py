"""Which rows may be sent: a chunk of rows becomes a frame that gives a reason for every row that may not.

For nearly every row three patterns prove that no test can find a problem; only the other rows are tested.
"""

import json
import re

import pandas as pd

from batch_alias.problems import PLAIN_ID, PLAIN_REMARK, PROBLEMS, WARNINGS, Problem
from batch_alias.settings import Reading
from batch_alias.sources.columns import Chunk, Columns
from batch_alias.text import quoted

FIELDS = ("user_id", "group_id", "remark")
RESULTS = ["reason", "message", "warning"]
TRAITS = ["surplus", "nul", "trimmed"]
"""What tests need to know of a row besides its text: fields more than the header, a NUL, white space removed."""
TEXT = object
"""The dtype of text: Python's strings. What pandas's own string dtypes strip and count depends on pyarrow."""

_is_plain_id = re.compile(PLAIN_ID).fullmatch
_is_plain_remark = re.compile(PLAIN_REMARK).fullmatch
_to_json = json.JSONEncoder(ensure_ascii=False).encode


def check(chunk: Chunk, header: tuple[str, ...], columns: Columns, reading: Reading) -> tuple[pd.DataFrame, int]:
    """Check the rows of a chunk.

    Args:
        chunk: The rows.
        header: The source's column names.
        columns: Which of them are sent.
        reading: Which rejections are let through, and whether warnings reject.

    Returns:
        The frame described at ``Source.batches``, and how many blank rows were left out of it.
    """
    frame = _as_frame(chunk, columns, len(header))
    tested = frame[_needs_tests(frame, chunk)].copy()
    if len(tested):
        _add_found(tested, chunk, reading)
        names = dict(zip(FIELDS, columns.names, strict=True))
        for problem in PROBLEMS.values():
            if problem.test is not None:
                for field in problem.fields:
                    found = problem.test(tested, field)
                    _add_tested(tested, problem, found, field, names.get(field, ""), reading)
        tested.loc[tested["reason"] != "", "warning"] = ""
        frame.loc[tested.index, RESULTS] = tested[RESULTS]
    has_more = len(header) > len(FIELDS)
    cells = [
        _to_json(chunk.rows[place]) if has_more or reason else None
        for place, reason in zip(frame.index, frame["reason"], strict=True)
    ]
    frame["cells"] = pd.Series(cells, index=frame.index, dtype=TEXT)
    frame = frame.drop(columns=TRAITS).reset_index(drop=True)
    return frame, len(chunk.rows) - len(frame)


def _as_frame(chunk: Chunk, columns: Columns, width: int) -> pd.DataFrame:
    """The rows that are not blank, with what the tests need to know; the index is the position in the chunk."""
    texts = ["".join(row) for row in chunk.rows]
    # A row with a problem has content, even where no text could be made of it.
    places = [place for place, text in enumerate(texts) if text.strip() or place in chunk.problems]
    rows = [chunk.rows[place] for place in places]
    cells = [[row[index] if index < len(row) else "" for row in rows] for index in columns.indexes]
    values = [[cell.strip() for cell in column] for column in cells]
    text = dict(zip(FIELDS, values, strict=True)) | dict.fromkeys(RESULTS, "")
    frame = pd.DataFrame(text, index=places, dtype=TEXT)
    frame.insert(0, "number", frame.index.to_numpy(dtype="int64") + chunk.first)
    frame["surplus"] = [len(row) - width for row in rows]
    frame["nul"] = ["\0" in texts[place] for place in places]
    pairs = zip(zip(*cells, strict=True), zip(*values, strict=True), strict=True)
    frame["trimmed"] = [before != after for before, after in pairs]
    return frame


def _needs_tests(frame: pd.DataFrame, chunk: Chunk) -> list[bool]:
    """Whether a test could find a problem in each row."""
    return [
        bool(surplus or nul or trimmed or place in chunk.problems)
        or not (_is_plain_id(user) and _is_plain_id(group) and _is_plain_remark(remark))
        for place, user, group, remark, surplus, nul, trimmed in zip(
            frame.index, *(frame[name] for name in (*FIELDS, *TRAITS)), strict=True
        )
    ]


def _add_found(frame: pd.DataFrame, chunk: Chunk, reading: Reading) -> None:
    """Add what the reader found in the rows: the first problem that rejects a row, or all of them as warnings."""
    reasons, messages, warnings = [], [], []
    for place in frame.index:
        problems = chunk.problems.get(place, ())
        rejection = next((problem for problem in problems if problem.final or _rejects(problem.name, reading)), None)
        reasons.append(rejection.name if rejection else "")
        messages.append(rejection.message if rejection else "")
        warnings.append("" if rejection else ",".join(dict.fromkeys(problem.name for problem in problems)))
    for result, texts in zip(RESULTS, (reasons, messages, warnings), strict=True):
        frame[result] = pd.Series(texts, index=frame.index, dtype=TEXT)


def _add_tested(
    frame: pd.DataFrame, problem: Problem, found: "pd.Series[bool]", field: str, column: str, reading: Reading
) -> None:
    """Add a problem to the rows in which it was found and that are not rejected yet."""
    found = found & (frame["reason"] == "")
    if not found.any():
        return
    if not _rejects(problem.name, reading):
        found &= ~frame["warning"].str.endswith(problem.name)  # the other id may have it too
        earlier = frame.loc[found, "warning"]
        frame.loc[found, "warning"] = (earlier + ",").where(earlier != "", "") + problem.name
        return
    values = frame.loc[found, field] if field else [""] * int(found.sum())
    frame.loc[found, "message"] = [
        problem.sentence.format(
            column=quoted(column),
            value=quoted(value),
            number=abs(surplus),
            size=len(value.encode()),
            length=len(value),
        )
        for value, surplus in zip(values, frame.loc[found, "surplus"], strict=True)
    ]
    frame.loc[found, "reason"] = problem.name


def _rejects(name: str, reading: Reading) -> bool:
    return name not in reading.accept and (reading.strict or name not in WARNINGS)
