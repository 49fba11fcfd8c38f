"""JSON Lines: one object on each line, its keys are the columns. The number of a row is the number of its line."""

import io
import json
from collections.abc import Iterator

from batch_alias.errors import SourceError
from batch_alias.problems import RowProblem, found
from batch_alias.settings import Reading
from batch_alias.sources.columns import Chunk, Columns
from batch_alias.sources.textfile import NOTHING, ReadRow, TextReader
from batch_alias.text import N_, _, enumeration, quoted

_TYPES = {bool: N_("boolean"), list: N_("array"), dict: N_("object")}


class JsonLinesReader(TextReader):
    """Reads a file of JSON objects.

    The columns are the keys of the objects at the beginning of the file; a key that first occurs later is not one.

    Raises:
        SourceError: The file is empty, or does not begin with an object.
    """

    def __init__(self, file: io.BufferedIOBase, name: str, reading: Reading) -> None:
        super().__init__(file, name, reading.encoding)
        self.description = enumeration(["JSON Lines", _(self.encoding), self.compression])
        lines = self.sample.split("\n")
        if len(lines) > 1:
            lines.pop()  # empty, or cut off at the end of the sample
        objects = [value for line in lines if isinstance(value := _parse(line), dict)]
        self._keys = tuple(dict.fromkeys(key for value in objects for key in value))
        self.header = tuple(map(_without_surrogates, self._keys))
        if not self.header:
            problem = N_("{file} does not begin with a JSON object on a line of its own.")
            advice = N_("Write one JSON object on each line, as with: jq -c . {file} > rows.jsonl")
            raise SourceError(problem, advice, file=name)

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows, from the first line."""
        return self.in_chunks(self._read(columns))

    def _read(self, columns: Columns) -> Iterator[ReadRow]:
        for number, line in enumerate(self.lines(), start=1):
            cells, problems = self._read_object(line, columns) if line.strip() else ([], NOTHING)
            yield number, cells, problems

    def _read_object(self, line: str, columns: Columns) -> tuple[list[str], list[RowProblem]]:
        value = _parse(line)
        if isinstance(value, str):
            return [line.strip()], [found("not-an-object", value=quoted(line.strip()), reason=value)]
        problems, row = [], [_text(value.get(key)) for key in self._keys]
        for column in columns:
            key = self._keys[column.index]
            if key not in value:
                row[column.index] = " "  # it is not given as empty
            elif isinstance(cell := value[key], bool | list | dict):
                kind, shown = _(_TYPES[type(cell)]), quoted(_text(cell))
                problems.append(found("not-text", column=quoted(column.name), value=shown, type=kind))
        if "\\u" in line:  # only an escape can stand for half a character
            whole = [_without_surrogates(text) for text in row]
            if whole != row:
                return whole, [*problems, found("surrogate-character")]
        return row, problems


def _parse(line: str) -> dict[str, object] | str:
    """The object on a line, its numbers as they are written; or what is wrong with the line."""
    try:
        value = json.loads(line, object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        return _("it is malformed at character {number:,}", number=error.pos + 1)
    except RecursionError:
        return _("it is nested too deeply")
    except ValueError as error:
        why: str = error.args[0]
        return why
    return value if isinstance(value, dict) else _("it is another JSON value")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(_("the key {key} occurs twice", key=quoted(twice)))
    return value


def _without_surrogates(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
