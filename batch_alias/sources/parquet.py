"""Apache Parquet, read by pyarrow, an optional dependency. The first row has the number 2, as below a header."""

from collections.abc import Iterator
from pathlib import Path

from batch_alias.errors import SourceError
from batch_alias.problems import RowProblem, found
from batch_alias.sources.columns import CHUNK_ROWS, Chunk, Columns
from batch_alias.text import quoted

try:
    import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow has no type hints
    from pyarrow import parquet
except ImportError:
    advice = "Run: pip install 'batch-alias[parquet]', or save it as CSV."
    raise SourceError("Parquet files need pyarrow, which is not installed.", advice) from None

READABLE = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_null,
)
"""Types whose values have a certain text. That of a floating-point id is rejected by the checks."""

_DAMAGE = (pa.ArrowException, OSError, ValueError)


class ParquetReader:
    """Reads a Parquet file.

    Raises:
        SourceError: The file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._size = path.stat().st_size
        self._name = path.name
        self._file = path.open("rb")
        try:
            self._table = parquet.ParquetFile(self._file)
        except _DAMAGE as error:
            self._file.close()
            raise self._damaged(error) from None
        self.header = tuple(name.strip() for name in self._table.schema_arrow.names)
        self.description = "Parquet"

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def progress(self) -> tuple[int, int]:
        """Bytes of the file that were read, and its size."""
        return (self._size if self._file.closed else min(self._file.tell(), self._size)), self._size

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows."""
        first = 2
        try:
            for batch in self._table.iter_batches(batch_size=CHUNK_ROWS):
                cells = (column.to_pylist() for column in batch.columns)
                rows = [[_text(value) for value in row] for row in zip(*cells, strict=True)]
                yield Chunk(first=first, rows=rows, problems=_problems(batch, columns))
                first += len(rows)
        except _DAMAGE as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> SourceError:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = "{file} is not a Parquet file that can be read: {why}."
        return SourceError(problem, "Write it again.", file=self._name, why=why)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _problems(batch: "pa.RecordBatch", columns: Columns) -> dict[int, tuple[RowProblem, ...]]:
    """The problems of columns whose type is neither text nor number: all their values."""
    problems: dict[int, tuple[RowProblem, ...]] = {}
    for column in columns:
        values = batch.column(column.index)
        kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
        if any(is_type(kind) for is_type in READABLE):
            continue
        for place, value in enumerate(values.to_pylist()):
            if value is not None:
                problem = found("not-text", column=quoted(column.name), value=quoted(_text(value)), type=kind)
                problems[place] = (*problems.get(place, ()), problem)
    return problems
