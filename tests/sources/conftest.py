import datetime as dt
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
import xlwt

from batch_alias.settings import Reading
from batch_alias.sources import open_source

HEADER = ["userId", "groupId", "remark"]
DATES = (dt.date, dt.time, dt.timedelta)
Rows = Sequence[Sequence[object]]


def read_all(path: Path, **reading) -> pd.DataFrame:
    with open_source(path, Reading(**reading)) as source:
        return pd.concat(source.batches(), ignore_index=True)


@pytest.fixture(scope="session")
def read() -> Callable[..., pd.DataFrame]:
    """Read all rows of a source into one frame."""
    return read_all


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write text or bytes to a file and return its path."""

    def write(content: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def xlsx_bytes(rows: Rows, at: tuple[int, int] = (1, 1), *, as_text: bool = False) -> bytes:
    book = openpyxl.Workbook()
    for y, row in enumerate([HEADER, *rows], start=at[0]):
        for x, value in enumerate(row, start=at[1]):
            value, code = value if isinstance(value, tuple) else (value, "General")
            cell = book.worksheets[0].cell(y, x, value)
            cell.number_format = cell.number_format if isinstance(value, DATES) and code == "General" else code
            if as_text:
                cell.data_type = "s"  # also "=1" and "#N/A"
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def xls_bytes(rows: Rows, at: tuple[int, int] = (1, 1)) -> bytes:
    book = xlwt.Workbook(encoding="utf-8", style_compression=2)
    sheet = book.add_sheet("Sheet")
    for y, row in enumerate([HEADER, *rows], start=at[0] - 1):
        for x, value in enumerate(row, start=at[1] - 1):
            value, code = value if isinstance(value, tuple) else (value, "General")
            style = xlwt.easyxf(num_format_str="YYYY-MM-DD" if isinstance(value, DATES) else code)
            sheet.write(y, x, value, style)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


@pytest.fixture(scope="session")
def workbook_bytes() -> dict[str, Callable[..., bytes]]:
    """Make a workbook of a header and rows by its extension; a cell may be a pair of value and number format."""
    return {".xlsx": xlsx_bytes, ".xls": xls_bytes}


@pytest.fixture
def workbook(written: Callable[..., Path], workbook_bytes: dict[str, Callable[..., bytes]]) -> Callable[..., Path]:
    """Write such a workbook to a file and return its path."""

    def write(rows: Rows, *, name: str = "rows.xlsx", at: tuple[int, int] = (1, 1)) -> Path:
        return written(workbook_bytes[Path(name).suffix](rows, at), name)

    return write


@pytest.fixture
def tampered(tmp_path: Path) -> Callable[..., Path]:
    """Copy a zip archive with one part changed."""

    def change(path: Path, part: str, edit: Callable[[bytes], bytes]) -> Path:
        copy = tmp_path / "tampered.xlsx"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                content = old.read(name)
                new.writestr(name, edit(content) if name == part else content)
        return copy

    return change
