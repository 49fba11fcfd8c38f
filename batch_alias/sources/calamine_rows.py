"""The rows of a workbook's sheets, read by calamine in a process that a damaged file may bring down."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from batch_alias.errors import SourceError
from batch_alias.sources import calamine_worker
from batch_alias.sources.cells import Cell, Moment
from batch_alias.sources.xmlparts import not_a_workbook


class CalamineRows:
    """One sheet, row by row.

    Args:
        path: The workbook.
        sheet: The sheet's name.

    Attributes:
        offset: How many empty columns stand before the first.

    Raises:
        SourceError: The workbook cannot be read.
    """

    def __init__(self, path: Path, sheet: str) -> None:
        self._answers = _Answers(path, sheet)
        try:
            offset = next(self._answers)
        except BaseException:
            self.close()
            raise
        self.offset = offset if isinstance(offset, int) else 0

    def __iter__(self) -> Iterator[list[Cell]]:
        for answer in self._answers:
            if not isinstance(answer, list):
                return
            yield from answer

    def close(self) -> None:
        """End the process."""
        self._answers.close()


def sheets(path: Path) -> list[tuple[str, bool]]:
    """The names of a workbook's sheets with cells, and whether each can be seen.

    Raises:
        SourceError: The workbook cannot be read.
    """
    answers = _Answers(path)
    try:
        found = next(answers)
    finally:
        answers.close()
    return [(name, visible) for name, visible in found] if isinstance(found, list) else []


class _Answers:
    """What the worker tells, as it tells it."""

    def __init__(self, path: Path, *sheet: str) -> None:
        self._path = path
        self._process = subprocess.Popen(  # noqa: S603 - our own file, with a path that is only open_job
            [sys.executable, "-P", calamine_worker.__file__, str(path.resolve()), *sheet],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __iter__(self) -> "_Answers":
        return self

    def __next__(self) -> object:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            self.close()
            raise not_a_workbook(self._path.name, "it takes more memory or time than any workbook should")
        match json.loads(line, object_hook=_understood):
            case {"password": _}:
                self.close()
                raise SourceError(f"{self._path.name} is protected by a password.", "Save it without one.")
            case {"damage": damage}:
                self.close()
                raise not_a_workbook(self._path.name, damage)
            case answer:
                return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _understood(read: dict[str, str]) -> Moment | dict[str, str]:
    return Moment(read["moment"]) if "moment" in read else read
