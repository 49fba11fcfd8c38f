"""Apache Parquet, by pyarrow, which is an extra. Rows count as a spreadsheet would show them: the header is row 1."""

from collections.abc import Iterator
from pathlib import Path

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources.columns import Column, Columns
from batch_alias.sources.excerpts import excerpt
from batch_alias.sources.table import CHUNK_ROWS, Chunk, RowProblem

try:
    import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
    from pyarrow import parquet
except ImportError:
    raise SourceError(
        "Parquet files need pyarrow, which is not installed.", "pip install 'batch-alias[parquet]', or save it as CSV."
    ) from None


class Parquet:
    """A Parquet file.

    Args:
        path: The file.
        reading: What a person said about it; a Parquet file answers for itself.

    Raises:
        SourceError: The file is damaged.
    """

    def __init__(self, path: Path, reading: Reading) -> None:  # noqa: ARG002 - as every way in is open_job
        self._size = path.stat().st_size
        self._name = path.name
        self._file = path.open("rb")
        try:
            self._table = parquet.ParquetFile(self._file)
        except (pa.ArrowException, OSError, ValueError) as error:
            self._file.close()
            raise self._damaged(error) from None
        self.header = tuple(name.strip() for name in self._table.schema_arrow.names)
        self.description = "Parquet"

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def progress(self) -> tuple[int, int]:
        """Bytes read, and bytes in all."""
        return (self._size if self._file.closed else min(self._file.tell(), self._size)), self._size

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows."""
        first = 2
        try:
            for batch in self._table.iter_batches(batch_size=CHUNK_ROWS):
                rows = [
                    [_text(value) for value in row] for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)
                ]
                yield Chunk(first=first, rows=rows, flaws=_flaws(batch, columns))
                first += len(rows)
        except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> SourceError:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        return SourceError(f"{self._name} is not a Parquet file that can be read: {what}.", "Write it again.")


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _flaws(batch: "pa.RecordBatch", columns: Columns) -> dict[int, tuple[RowProblem, ...]]:
    """Every value of a column whose type is neither text nor a number is a flaw."""
    flaws: dict[int, tuple[RowProblem, ...]] = {}
    for column in columns:
        values = batch.column(column.index)
        kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
        if any(is_one(kind) for is_one in READABLE):
            continue
        for place, value in enumerate(values.to_pylist()):
            if value is not None:
                flaws[place] = (*flaws.get(place, ()), _flaw(column, value, kind))
    return flaws


READABLE = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_null,
)
"""Types whose values have a text of their own. A floating-point id has one that the checks refuse."""


def _flaw(column: Column, value: object, kind: "pa.DataType") -> RowProblem:
    message = f"Column {excerpt(column.name)} holds {excerpt(_text(value))} of type {kind}, not text; store it as text."
    return RowProblem(reason="not-text", message=message)
