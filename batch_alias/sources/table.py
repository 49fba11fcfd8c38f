"""What every way in gives: a header and then chunks of rows, each cell as text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from batch_alias.sources.columns import Columns

CHUNK_ROWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProblem:
    """What is wrong or odd about a row that only the way in can see: its text no longer shows it.

    Attributes:
        reason: The kind of problem, one of ``reasons``.
        message: The problem in one sentence.
        final: The text that was meant is not in the file, so that nobody can let it through.
    """

    reason: str
    message: str
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows that follow each other in the source.

    Attributes:
        first: The number of the first row, as a spreadsheet shows it.
        rows: The text of every cell, exactly as the source has it; a row may be ragged, a blank one empty.
        flaws: What is wrong with rows of the chunk, by their place in ``rows``.
    """

    first: int
    rows: list[list[str]]
    flaws: dict[int, tuple[RowProblem, ...]] = field(default_factory=dict)


class Table(Protocol):
    """One file (or sheet), open_job.

    Attributes:
        description: What was found, for people: ``CSV, UTF-8, comma``.
        header: The column names, surrounding white space removed.
    """

    description: str
    header: tuple[str, ...]

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows under the header, once.

        Raises:
            SourceError: The file is damaged from here on.
        """
        ...

    def progress(self) -> tuple[int, int]:
        """How much was read of how much, in bytes."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...
