"""A process of its own in which calamine reads a workbook: ``python calamine_worker.py PATH [SHEET]``.

A damaged workbook can make calamine ask for memory without end, and Rust then ends the whole process. This one may be
ended: it has a limit on its memory and its time, and what it has to say goes to standard output as lines of JSON.
Without a sheet that is a list of the sheets; with one, the number of empty columns before it, then lists of rows.
It imports nothing of the package, so that it starts fast and anywhere.
"""

import json
import sys
from itertools import islice

MEMORY = 3 * 1024**3
SECONDS = 600
ROWS = 2_000


def main(path: str, sheet: str | None) -> None:
    """Read and tell."""
    _limit()
    import python_calamine as calamine

    try:
        # By content: from a path calamine would believe the extension.
        with open(path, "rb") as file:  # noqa: PTH123 - as little to import as can be
            book = calamine.load_workbook(file)
            if sheet is None:
                _tell(
                    [
                        [found.name, found.visible == calamine.SheetVisibleEnum.Visible]
                        for found in book.sheets_metadata
                        if found.typ == calamine.SheetTypeEnum.WorkSheet
                    ]
                )
            else:
                read = book.get_sheet_by_name(sheet)
                _tell(read.start[1] if read.start else 0)
                rows = read.iter_rows()
                while some := list(islice(rows, ROWS)):
                    _tell(some)
                _tell(None)
    except calamine.PasswordError:
        _tell({"password": True})
    except (calamine.CalamineError, OSError, ValueError) as error:
        _tell({"damage": str(error)})


def _limit() -> None:
    try:
        import resource
    except ImportError:  # Windows knows no such limits
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _tell(what: object) -> None:
    sys.stdout.buffer.write(json.dumps(what, default=_moment).encode())
    sys.stdout.buffer.write(b"\n")


def _moment(value: object) -> dict[str, str]:
    """A date, time or duration, which JSON does not have."""
    return {"moment": value.isoformat() if hasattr(value, "isoformat") else str(value)}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
