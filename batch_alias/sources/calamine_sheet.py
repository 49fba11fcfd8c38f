"""The sheets of a workbook, read by calamine in a process of its own, which a damaged file may crash."""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from batch_alias.sources import calamine_worker
from batch_alias.sources.cells import Cell, DateOrTime, text_of
from batch_alias.sources.columns import numbered
from batch_alias.sources.xlsx import encrypted, not_a_workbook


class Sheet:
    """An open sheet, read up to its header.

    Args:
        path: The workbook.
        name: The name of the sheet.
        no_header: Its first row is data.

    Attributes:
        name: The name of the sheet.
        offset: The number of empty columns before the table; its rows do not contain them.
        header: The column names; empty for an empty sheet.
        row: The number of the row read last.
        rows: The rows that follow, all of the same length.

    Raises:
        SourceError: The workbook cannot be read.
    """

    def __init__(self, path: Path, name: str, *, no_header: bool) -> None:
        self.name = name
        self.header: tuple[str, ...] = ()
        self.row = 0
        self._worker = _Worker(path, name)
        try:
            offset = self._worker.receive()
            self.offset = offset if isinstance(offset, int) else 0
            self.rows = self._rows()
            self._read_header(no_header=no_header)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def _read_header(self, *, no_header: bool) -> None:
        for row in self.rows:
            header = tuple(text_of(cell).strip() for cell in row)
            if any(header) and no_header:
                self.header = numbered(len(row))
                self.rows = chain([row], self.rows)
                return
            self.row += 1
            if any(header):
                self.header = header
                return

    def _rows(self) -> Iterator[list[Cell]]:
        while isinstance(rows := self._worker.receive(), list):
            yield from rows


def list_sheets(path: Path) -> list[tuple[str, bool]]:
    """The names of a workbook's sheets with cells, and whether each is visible.

    Raises:
        SourceError: The workbook cannot be read.
    """
    worker = _Worker(path)
    try:
        found = worker.receive()
    finally:
        worker.close()
    return [(name, visible) for name, visible in found] if isinstance(found, list) else []


class _Worker:
    """A process that runs ``calamine_worker``."""

    def __init__(self, path: Path, *sheet: str) -> None:
        self._name = path.name
        self._process = subprocess.Popen(  # noqa: S603 - our own script; the path is an argument to it
            [sys.executable, "-P", calamine_worker.__file__, str(path.resolve()), *sheet],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def receive(self) -> object:
        """The next value it writes.

        Raises:
            SourceError: The workbook cannot be read.
        """
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise not_a_workbook(self._name, "it takes more memory or time than any workbook should")
        match json.loads(line, object_hook=_from_json):
            case {"password": _}:
                raise encrypted(self._name)
            case {"damage": damage}:
                raise not_a_workbook(self._name, damage)
            case value:
                return value

    def close(self) -> None:
        with self._process:
            self._process.kill()


def _from_json(value: dict[str, str]) -> DateOrTime | dict[str, str]:
    return DateOrTime(value["time"]) if "time" in value else value
