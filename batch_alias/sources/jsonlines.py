"""JSON Lines: one object a line, its keys the columns. A row's number is its line."""

import json
from collections.abc import Iterator
from pathlib import Path

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources.bytestream import ByteStream
from batch_alias.sources.columns import Columns
from batch_alias.sources.excerpts import excerpt
from batch_alias.sources.table import CHUNK_ROWS, Chunk, RowProblem
from batch_alias.sources.textlines import TextLines

CHUNK_CHARACTERS = 4 * 1024 * 1024


class JsonLines:
    """A file of JSON objects.

    The columns are the keys of the objects at the file's beginning; a key that only comes up later is no column.

    Args:
        path: The file; may be compressed.
        reading: What a person said about it.

    Raises:
        SourceError: The file is empty, or does not begin with an object.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        self._stream = ByteStream(path)
        self._lines = TextLines(self._stream, reading.encoding)
        self.description = ", ".join(filter(None, ["JSON Lines", self._lines.encoding, self._stream.wrapping]))
        lines = self._lines.sample.split("\n")
        if len(lines) > 1:
            lines.pop()  # empty, or cut off where the sample ends
        objects = [read for line in lines if isinstance(read := _read(line), dict)]
        self.header = tuple(dict.fromkeys(key for found in objects for key in found))
        if not self.header:
            self.close()
            raise SourceError(f"{path.name} does not begin with a JSON object on a line of its own.")

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()

    def progress(self) -> tuple[int, int]:
        """Bytes read, and bytes in all."""
        return self._stream.progress()

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows, the first line's included."""
        chunk = Chunk(first=1, rows=[])
        for line in self._lines:
            row, flaws = self._row(line, columns)
            if flaws:
                chunk.flaws[len(chunk.rows)] = tuple(flaws)
            chunk.rows.append(row)
            if len(chunk.rows) >= CHUNK_ROWS or self._lines.characters >= CHUNK_CHARACTERS:
                yield chunk
                chunk = Chunk(first=chunk.first + len(chunk.rows), rows=[])
                self._lines.characters = 0
        if chunk.rows:
            yield chunk

    def _row(self, line: str, columns: Columns) -> tuple[list[str], list[RowProblem]]:
        if not line.strip():
            return [], []
        read = _read(line)
        if isinstance(read, str):
            message = f"{excerpt(line.strip())} {read}; write one object a line."
            return [line.strip()], [RowProblem(reason="not-an-object", message=message)]
        flaws = []
        for column in columns:
            value = read.get(column.name)
            if isinstance(value, bool | list | dict):
                message = f"Column {excerpt(column.name)} holds {excerpt(_text(value))}, which is not text; quote it."
                flaws.append(RowProblem(reason="not-text", message=message))
        row = [_text(read.get(name)) for name in self.header]
        if "\\u" not in line:  # only an escape can spell half a character
            return row, flaws
        whole = [text.encode(errors="backslashreplace").decode() for text in row]
        if whole != row:
            message = (
                "The row holds half a character (a lone surrogate), which cannot be sent; write the character again."
            )
            flaws.append(RowProblem(reason="surrogate-character", message=message))
        return whole, flaws


def _read(line: str) -> dict[str, object] | str:
    """The object on a line, its numbers as they are written there; or what is wrong with the line."""
    try:
        read = json.loads(line, object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        return f"is not JSON ({error.msg})"
    except RecursionError:
        return "is nested too deeply"
    except _KeyTwiceError as error:
        return f"has the key {excerpt(str(error))} twice"
    return read if isinstance(read, dict) else "is not a JSON object"


class _KeyTwiceError(Exception):
    """A key stands twice in an object: which of its values is meant, nobody knows."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    read = dict(pairs)
    if len(read) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _KeyTwiceError(next(key for key in keys if keys.count(key) > 1))
    return read


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)
