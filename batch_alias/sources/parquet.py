"""Apache Parquet, read by pyarrow, an optional dependency. The first row has the number 2, as below a header."""

import io
from collections.abc import Iterator
from contextlib import suppress

from batch_alias.errors import SourceError
from batch_alias.problems import RowProblem, found
from batch_alias.sources.columns import CHUNK_ROWS, Chunk, Columns
from batch_alias.text import N_, quoted

try:
    import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow has no type hints
    from pyarrow import parquet
except ImportError:
    advice = N_("Run: pip install 'batch-alias[parquet]', or save it as CSV.")
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
    """Reads a Parquet file. Raises ``SourceError`` if it is damaged or two columns have the same name."""

    def __init__(self, file: io.BufferedIOBase, name: str) -> None:
        self._name = name
        try:
            self._table = parquet.ParquetFile(file)
        except _DAMAGE as error:
            raise self._damaged(error) from None
        self._columns: list[str] = self._table.schema_arrow.names
        if twice := [column for column in self._columns if self._columns.count(column) > 1]:
            problem = N_("{file} has more than one column with the name {column}.")
            raise SourceError(problem, "Rename them.", file=name, column=quoted(twice[0]))
        self.header = tuple(column.strip() for column in self._columns)
        self.description = "Parquet"

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows."""
        first = 2
        try:
            for batch in self._table.iter_batches(batch_size=CHUNK_ROWS):
                yield self._chunk(batch, columns, first)
                first += batch.num_rows
        except _DAMAGE as error:
            raise self._damaged(error) from None

    def _chunk(self, batch: "pa.RecordBatch", columns: Columns, first: int) -> Chunk:
        wanted = {self._columns[column.index]: column for column in columns}
        problems: dict[int, list[RowProblem]] = {}
        # By name, because pyarrow leaves out a column whose type is a group without fields.
        # A value without a text is not empty: as a space its cell is not taken for one that is.
        cells = {name: [" " if name in wanted else ""] * batch.num_rows for name in self._columns}
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
            if name in wanted and any(is_type(kind) for is_type in READABLE):
                cells[name] = _texts(values.to_pylist())
                continue
            cells[name] = _as_far_as_possible(values)
            if name in wanted:
                for place, valid in enumerate(values.is_valid().to_pylist()):
                    if valid:
                        cells[name][place] = cells[name][place] or " "
                        column, value = quoted(wanted[name].name), quoted(cells[name][place])
                        problem = found("not-text", column=column, value=value, type=kind)
                        problems.setdefault(place, []).append(problem)
        rows = [list(row) for row in zip(*cells.values(), strict=True)]
        return Chunk(first=first, rows=rows, problems=problems)

    def _damaged(self, error: Exception) -> SourceError:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = N_("{file} is not a Parquet file that can be read: {why}.")
        return SourceError(problem, "Write it again.", file=self._name, why=why)


def _as_far_as_possible(values: "pa.Array") -> list[str]:
    """The text of values that are not sent; empty where they have none, so that they cost no row and no file."""
    for texts in (pa.Array.to_pylist, lambda values: values.cast(pa.string()).to_pylist()):
        # A year after 9999, an unknown time zone, a type of an extension: each is another exception.
        with suppress(Exception):
            return _texts(texts(values))
    return [""] * len(values)


def _texts(values: list[object]) -> list[str]:
    return ["" if value is None else str(value) for value in values]
