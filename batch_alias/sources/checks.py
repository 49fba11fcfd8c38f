"""Which rows may be sent: a chunk of rows becomes a frame that gives a reason for every row that may not."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import itemgetter

import pandas as pd

from batch_alias.problems import FIELDS, PLAIN_ID, PLAIN_REMARK, PROBLEMS, WARNINGS, RowProblem, found
from batch_alias.settings import Empty, Reading
from batch_alias.sources.columns import KNOWN_NAMES, Chunk, Columns, fold
from batch_alias.text import quoted

_TESTS = [
    (problem.name, FIELDS.index(field), problem.test)
    for problem in PROBLEMS.values()
    for field in problem.fields
    if problem.test is not None
]
_UNSENDABLE = {"empty-user-id", "empty-group-id", "user-id-too-long", "group-id-too-long", "empty-remark"}
"""The tests of values that are read verbatim."""
_is_plain_id = re.compile(PLAIN_ID).fullmatch
_is_plain_remark = re.compile(PLAIN_REMARK).fullmatch
_is_plain_or_empty = re.compile(f"(?:{PLAIN_REMARK})?").fullmatch
_to_json = json.JSONEncoder(ensure_ascii=False).encode


def check(chunk: Chunk, header: tuple[str, ...], columns: Columns, reading: Reading) -> tuple[pd.DataFrame, int]:
    """Check the rows of a chunk.

    Returns:
        The frame described at ``Source.batches``, and how many blank rows were left out of it.
    """
    width, has_more, problems_of = len(header), len(header) > len(columns.indexes), chunk.problems
    own = [set() if reading.no_header else {fold(name)} for name in columns.names]
    headers = [known | names for known, names in zip(KNOWN_NAMES.values(), own, strict=False)]
    of_users, values_of = headers[0], itemgetter(*columns.indexes[:3])
    plain_group: str | None = None
    is_plain = _is_plain_or_empty if reading.empty == Empty.CLEAR else _is_plain_remark
    expect, expected = None if columns.expected is None else columns.expected.index, None
    checked: list[tuple[object, ...]] = []
    for place, row in enumerate(chunk.rows):
        if len(row) == width and place not in problems_of:
            user, group, remark = values_of(row)
            # Nearly every row is plain: three patterns prove that no test can find a problem in it. A plain id in lower
            # case is what `fold` makes of it.
            if (
                _is_plain_id(user)
                and (group == plain_group or _is_plain_id(group))
                and is_plain(remark)
                and remark == remark.strip()
                and user.lower() not in of_users
                and not (has_more and "\0" in "".join(row))
                and (expect is None or (_is_plain_or_empty(expected := row[expect]) and expected == expected.strip()))
            ):
                plain_group = group  # rows often come by group
                kept = _to_json(row) if has_more else None
                checked.append((chunk.first + place, user, group, remark, "", "", "", kept, expected))
                continue
        known = problems_of.get(place, ())
        # A row with a problem has content, even where no text could be made of it.
        if not known and not (row if reading.verbatim else "".join(row).strip()):
            continue
        cells = [row[index] if index < len(row) else "" for index in columns.indexes]
        values = cells if reading.verbatim else [cell.strip() for cell in cells]
        problems = _problems(row, cells, values, width, columns, headers, verbatim=reading.verbatim)
        reason, message, warning = _result(chain(known, problems), reading)
        kept = _to_json(row) if has_more or reason else None
        expected = None if expect is None else values[3]
        checked.append((chunk.first + place, *values[:3], reason, message, warning, kept, expected))
    names = ("number", *FIELDS, "reason", "message", "warning", "cells", "expected")
    # Text is Python's strings: what pandas's own dtypes of it hold depends on pyarrow.
    frame = pd.DataFrame(checked, columns=names, dtype=object).astype({"number": "int64"})
    return frame, len(chunk.rows) - len(frame)


def _problems(
    row: list[str],
    cells: list[str],
    values: list[str],
    width: int,
    columns: Columns,
    headers: list[frozenset[str]],
    *,
    verbatim: bool,
) -> Iterator[RowProblem]:
    """What can be seen in the text of a row, in the order of the table of problems."""
    if len(row) != width:
        name = "too-few-fields" if len(row) < width else "too-many-fields"
        yield found(name, number=abs(len(row) - width))
    if not verbatim and any("\0" in cell for cell in row):
        yield found("nul-character")
    # The alias first: it is the shortest of the three, and rarely a header.
    if not verbatim and all(fold(values[field]) in headers[field] for field in (2, 1, 0)):
        yield found("repeated-header")
    plain = (_is_plain_id(values[0]), _is_plain_id(values[1]), _is_plain_remark(values[2]))
    tested = (values[0], values[1], values[2] or cells[2])  # white space is not an empty alias
    for name, field, test in _TESTS:
        value = tested[field]
        if plain[field] or (verbatim and name not in _UNSENDABLE) or not test(value):
            continue
        if name in WARNINGS:
            yield found(name)  # its sentence names no value
        else:
            column = quoted(columns.names[field])
            yield found(name, column=column, value=quoted(value), size=len(value.encode()), length=len(value))
    if columns.expected is not None and cells[3] and not values[3]:
        yield found("blank-cell", column=quoted(columns.expected.name))
    if cells != values:
        yield found("white-space-removed")


def _result(problems: Iterable[RowProblem], reading: Reading) -> tuple[str, str, str]:
    """The first problem that rejects a row with its message, or else the names of all as warnings."""
    warnings = []
    for problem in problems:
        if problem.name == "empty-remark" and reading.empty == Empty.CLEAR:
            continue
        strict = reading.strict or problem.name not in WARNINGS
        if problem.final or (strict and problem.name not in reading.accept):
            return problem.name, problem.message, ""
        warnings.append(problem.name)
    return "", "", ",".join(dict.fromkeys(warnings))
