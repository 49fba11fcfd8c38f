"""An empty source to be filled in, by hand or by a colleague."""

import csv
from pathlib import Path

from batch_alias.errors import ReportError, UsageError, reason
from batch_alias.problems import LONGEST_GROUP_ID, LONGEST_USER_ID, USUAL_REMARK
from batch_alias.sources.columns import Role
from batch_alias.text import N_, _

_IN_A_TABLE = N_("One row for each user and group.")
_IN_A_WORKBOOK = N_("One row for each user and group. The cells are text, so that ids keep their zeros; leave them so.")
_LIMITS = {Role.USER: LONGEST_USER_ID, Role.GROUP: LONGEST_GROUP_ID, Role.REMARK: USUAL_REMARK}
_LAST_ROW = 1_048_575  # of a sheet, counted from 0


def write_template(path: Path) -> None:
    """Write an empty source: an explanation, and the header in the row below.

    In a workbook the columns are formatted as text, and the lengths of values are validated.

    Raises:
        UsageError: The name does not end with ``.xlsx`` or ``.csv``, or there is such a file already.
        ReportError: It cannot be written.
    """
    write = {".xlsx": _write_workbook, ".csv": _write_csv}.get(path.suffix.lower())
    if write is None:
        raise UsageError("{file} is neither .xlsx nor .csv.", "Name a file such as names.xlsx.", file=path)
    try:
        path.touch(exist_ok=False)
        write(path)
    except FileExistsError:
        raise UsageError("There is a file {file} already.", "Name another one.", file=path) from None
    except OSError as error:
        raise ReportError("{file} cannot be written: {reason}.", file=path, reason=reason(error)) from error


def _write_csv(path: Path) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([[_(_IN_A_TABLE)], list(_LIMITS)])


def _write_workbook(path: Path) -> None:
    import xlsxwriter  # type: ignore[import-untyped]  # it has annotations, but no py.typed that says so

    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("aliases")
        text = book.add_format({"num_format": "@"})
        sheet.write(0, 0, _(_IN_A_WORKBOOK), book.add_format({"italic": True}))
        sheet.write_row(1, 0, list(_LIMITS), book.add_format({"bold": True, "bottom": 1}))
        sheet.freeze_panes(2, 0)
        for column, (role, longest) in enumerate(_LIMITS.items()):
            sheet.set_column(column, column, 28, text)
            rule = {"validate": "length", "criteria": "between", "minimum": 1, "maximum": longest}
            # RongCloud documents no limit for an alias.
            rule |= {"error_type": "warning" if role is Role.REMARK else "stop", "error_title": role}
            message = _("A {role} has at most {longest} characters.", role=role, longest=longest)
            rule |= {"error_message": message}
            sheet.data_validation(2, column, _LAST_ROW, column, rule)
