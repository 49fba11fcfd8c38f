"""The process in which calamine reads a workbook: ``python calamine_worker.py PATH [SHEET]``.

A damaged workbook can make calamine allocate memory without end, at which Rust aborts the process. So this is one of
its own, with limits on memory and time. It writes lines of JSON to standard output, each a list of rows, and at the end
``null``. Without a sheet the rows are the names of the sheets and whether each is visible; with one they are its rows,
after one that holds the number of empty columns before the table. An object instead of a list says why the workbook
cannot be read. It imports nothing of the package, so that it starts fast and from anywhere.
"""

import json
import sys
from itertools import islice

MEMORY = 3 * 1024**3
SECONDS = 600
ROWS = 2_000


def main(path: str, sheet: str | None = None) -> None:
    """Read the workbook and write its rows."""
    _set_limits()
    import python_calamine as calamine

    try:
        # An open file: with a path, calamine would go by the extension instead of the content.
        with open(path, "rb") as file:  # noqa: PTH123 - every import costs time
            book = calamine.load_workbook(file)
            if sheet is None:
                visible = calamine.SheetVisibleEnum.Visible
                sheets = [found for found in book.sheets_metadata if found.typ == calamine.SheetTypeEnum.WorkSheet]
                _write([[found.name, found.visible == visible] for found in sheets])
            else:
                table = book.get_sheet_by_name(sheet)
                _write([[table.start[1] if table.start else 0]])
                rows = table.iter_rows()
                while some := list(islice(rows, ROWS)):
                    _write(some)
            _write(None)
    except calamine.PasswordError:
        _write({"password": True})
    except (calamine.CalamineError, OSError, ValueError) as error:
        _write({"damage": str(error)})


def _set_limits() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _write(value: object) -> None:
    sys.stdout.buffer.write(json.dumps(value, default=_time).encode())
    sys.stdout.buffer.write(b"\n")


def _time(value: object) -> dict[str, str]:
    """A date, time or duration, for which JSON has no type."""
    return {"time": value.isoformat() if hasattr(value, "isoformat") else str(value)}


if __name__ == "__main__":
    main(*sys.argv[1:])
