"""Write ``nicknames.xlsx`` with the rows of ``nicknames.csv``: ``python samples/make.py`` (needs openpyxl)."""

import csv
from pathlib import Path

import openpyxl

HERE = Path(__file__).parent


def main() -> None:
    """Write the workbook, every cell as text."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "nicknames"
    with (HERE / "nicknames.csv").open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            for place, value in enumerate(row, start=1):
                cell = sheet.cell(number, place, value)
                cell.data_type = "s"  # "=老板" is an alias, not a formula
                cell.number_format = "@"
    book.save(HERE / "nicknames.xlsx")


if __name__ == "__main__":
    main()
