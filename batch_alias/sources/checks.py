"""Which rows may be sent: a chunk of rows becomes a frame that gives a reason for every row that may not."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import itemgetter

import pandas as pd

from batch_alias.problems import FIELDS, PLAIN_ID, PLAIN_REMARK, PROBLEMS, WARNINGS, RowProblem, found
from batch_alias.settings import Reading
from batch_alias.sources.columns import KNOWN_NAMES, Chunk, Columns, Role, fold
from batch_alias.text import quoted

_TESTS = [
    (problem.name, FIELDS.index(field), problem.test)
    for problem in PROBLEMS.values()
    for field in problem.fields
    if problem.test is not None
]
_is_plain_id = re.compile(PLAIN_ID).fullmatch
_is_plain_remark = re.compile(PLAIN_REMARK).fullmatch
_to_json = json.JSONEncoder(ensure_ascii=False).encode


def check(chunk: Chunk, header: tuple[str, ...], columns: Columns, reading: Reading) -> tuple[pd.DataFrame, int]:
    """Check the rows of a chunk.

    Returns:
        The frame described at ``Source.batches``, and how many blank rows were left out of it.
    """
    width, has_more, problems_of = len(header), len(header) > len(FIELDS), chunk.problems
    own = [set() if reading.no_header else {fold(name)} for name in columns.names]
    headers = [KNOWN_NAMES[role] | names for role, names in zip(Role, own, strict=True)]
    of_users, values_of, plain_group = headers[0], itemgetter(*columns.indexes), ""
    checked: list[tuple[object, ...]] = []
    for place, row in enumerate(chunk.rows):
        if len(row) == width and place not in problems_of:
            user, group, remark = values_of(row)
            # Nearly every row is plain: three patterns prove that no test can find a problem in it. A plain id in lower
            # case is what `fold` makes of it.
            if (
                _is_plain_id(user)
                and (group == plain_group or _is_plain_id(group))
                and _is_plain_remark(remark)
                and remark == remark.strip()
                and user.lower() not in of_users
                and not (has_more and "\0" in "".join(row))
            ):
                plain_group = group  # rows often come by group
                kept = _to_json(row) if has_more else None
                checked.append((chunk.first + place, user, group, remark, "", "", "", kept))
                continue
        known = problems_of.get(place, ())
        # A row with a problem has content, even where no text could be made of it.
        if not known and not "".join(row).strip():
            continue
        cells = [row[index] if index < len(row) else "" for index in columns.indexes]
        values = [cell.strip() for cell in cells]
        problems = _problems(row, cells, values, width, columns, headers)
        reason, message, warning = _result(chain(known, problems), reading)
        kept = _to_json(row) if has_more or reason else None
        checked.append((chunk.first + place, *values, reason, message, warning, kept))
    names = ("number", *FIELDS, "reason", "message", "warning", "cells")
    # Text is Python's strings: what pandas's own dtypes of it hold depends on pyarrow.
    frame = pd.DataFrame(checked, columns=names, dtype=object).astype({"number": "int64"})
    return frame, len(chunk.rows) - len(frame)


def _problems(
    row: list[str], cells: list[str], values: list[str], width: int, columns: Columns, headers: list[frozenset[str]]
) -> Iterator[RowProblem]:
    """What can be seen in the text of a row, in the order of the table of problems."""
    if len(row) != width:
        name = "too-few-fields" if len(row) < width else "too-many-fields"
        yield found(name, number=abs(len(row) - width))
    if any("\0" in cell for cell in row):
        yield found("nul-character")
    # The alias first: it is the shortest of the three, and rarely a header.
    if all(fold(value) in names for value, names in zip(reversed(values), reversed(headers), strict=True)):
        yield found("repeated-header")
    plain = (_is_plain_id(values[0]), _is_plain_id(values[1]), _is_plain_remark(values[2]))
    for name, field, test in _TESTS:
        value = values[field]
        if plain[field] or not test(value):
            continue
        if name in WARNINGS:
            yield found(name)  # its sentence names no value
        else:
            column = quoted(columns.names[field])
            yield found(name, column=column, value=quoted(value), size=len(value.encode()), length=len(value))
    if cells != values:
        yield found("white-space-removed")


def _result(problems: Iterable[RowProblem], reading: Reading) -> tuple[str, str, str]:
    """The first problem that rejects a row with its message, or else the names of all as warnings."""
    warnings = []
    for problem in problems:
        strict = reading.strict or problem.name not in WARNINGS
        if problem.final or (strict and problem.name not in reading.accept):
            return problem.name, problem.message, ""
        warnings.append(problem.name)
    return "", "", ",".join(dict.fromkeys(warnings))
