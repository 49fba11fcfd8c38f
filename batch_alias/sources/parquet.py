"""Apache Parquet, read by pyarrow, an optional dependency. The first row has the number 2, as below a header."""

import io
from collections.abc import Iterator

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

    def __init__(self, file: io.BufferedIOBase, name: str) -> None:
        self._name = name
        try:
            self._table = parquet.ParquetFile(file)
        except _DAMAGE as error:
            raise self._damaged(error) from None
        self.header = tuple(column.strip() for column in self._table.schema_arrow.names)
        self.description = "Parquet"

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows."""
        first = 2
        try:
            for batch in self._table.iter_batches(batch_size=CHUNK_ROWS):
                cells = (column.to_pylist() for column in batch.columns)
                rows = [["" if value is None else str(value) for value in row] for row in zip(*cells, strict=True)]
                yield Chunk(first=first, rows=rows, problems=_problems(batch, columns))
                first += len(rows)
        except _DAMAGE as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> SourceError:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = "{file} is not a Parquet file that can be read: {why}."
        return SourceError(problem, "Write it again.", file=self._name, why=why)


def _problems(batch: "pa.RecordBatch", columns: Columns) -> dict[int, list[RowProblem]]:
    """The problems of columns whose type is neither text nor number: all their values."""
    problems: dict[int, list[RowProblem]] = {}
    for column in columns:
        values = batch.column(column.index)
        kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
        if any(is_type(kind) for is_type in READABLE):
            continue
        for place, value in enumerate(values.to_pylist()):
            if value is not None:
                problem = found("not-text", column=quoted(column.name), value=quoted(str(value)), type=kind)
                problems.setdefault(place, []).append(problem)
    return problems
