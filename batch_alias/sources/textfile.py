"""Text files: their lines in bounded memory; they may be compressed by gzip.

The encoding is found in a sample; to decode the whole text confirms it, before the first row is checked.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator

from batch_alias.errors import SourceError
from batch_alias.problems import RowProblem
from batch_alias.sources.columns import CHUNK_CHARACTERS, CHUNK_ROWS, Chunk
from batch_alias.sources.encodings import NAME_THE_ENCODING, find_encoding
from batch_alias.text import N_, _

GZIP = b"\x1f\x8b"
BLOCK = 64 * 1024
LONGEST_LINE = 256 * 1024
"""Characters without a line end."""
MOST_BLANK_LINES = 1024 * 1024
"""In a row: a sheet, which may be saved with as many, has no more rows."""
SEARCHED = 16 * 1024 * 1024
"""Bytes that are searched for the first one beyond ASCII, which shows the encoding."""
BOMB_BYTES = 64 * 1024 * 1024
BOMB_RATIO = 250
"""What is compressed may unpack to so many bytes, and beyond them to so many times its size. A table of ids shrinks to
a twentieth, one of a single repeated row to a two-hundredth, a bomb to a thousandth."""


ReadRow = tuple[int, list[str], list[RowProblem]]
"""A row as it was read: its number as a spreadsheet shows it, its cells, and what the reader found wrong.

No class of its own, which would cost a tenth of the time to read it.
"""
NOTHING: list[RowProblem] = []
"""Shared by the rows without a problem, and never changed."""


class _Gzip(gzip.GzipFile):
    """A gzip; reading it is a ``SourceError`` if it is damaged, or unpacks to far more than a table."""

    def __init__(self, file: io.BufferedIOBase, name: str) -> None:
        super().__init__(name, "rb", fileobj=file)
        self._packed = file

    def read(self, size: int | None = -1) -> bytes:
        try:
            block = super().read(size)
        except (zlib.error, EOFError, OSError) as error:
            problem = N_("{file} cannot be unpacked: {error}.")
            raise SourceError(problem, "Transfer or export it again.", file=self.name, error=error) from None
        if self.tell() > BOMB_BYTES + BOMB_RATIO * self._packed.tell():
            raise SourceError("{file} unpacks to far more than a table would.", "Unpack it first.", file=self.name)
        return block


def unpacked(file: io.BufferedIOBase, name: str) -> io.BufferedIOBase:
    """A file from its beginning, or the content of a gzip."""
    file.seek(0)
    is_gzip = file.read(len(GZIP)) == GZIP
    file.seek(0)
    return _Gzip(file, name) if is_gzip else file


class TextReader:
    """Reads the lines of a text file; the base of the readers of text formats.

    Raises:
        SourceError: The file is empty, not text or damaged, or its encoding is not certain.
    """

    def __init__(self, file: io.BufferedIOBase, name: str, encoding: str | None) -> None:
        self.name = name
        self._bytes = unpacked(file, name)
        self.compression = "" if self._bytes is file else "gzip"
        sample = self._sample()
        if not sample:
            raise SourceError("{file} is empty.", "Was its export finished?", file=name)
        self._codec, self.encoding = find_encoding(sample, encoding, file=name)
        self.sample = sample[:BLOCK].decode(self._codec, errors="replace").removeprefix("\ufeff")
        self._characters = 0
        for _text in self._texts():
            pass

    def lines(self) -> Iterator[str]:
        """Read the lines, each with its line end."""
        rest = ""
        for text in self._texts():
            self._characters += len(text)
            lines = io.StringIO(rest + text, newline="").readlines()
            rest = lines.pop() if lines else ""  # even a whole line: its CR may be the first half of a CR LF
            yield from lines
        if rest:
            yield rest

    def in_chunks(self, rows: Iterable[ReadRow]) -> Iterator[Chunk]:
        """Gather consecutive rows in chunks."""
        chunk: Chunk | None = None
        for number, cells, problems in rows:
            if chunk is None:
                chunk = Chunk(first=number)
            if problems:
                chunk.problems[len(chunk.rows)] = problems
            chunk.rows.append(cells)
            if len(chunk.rows) >= CHUNK_ROWS or self._characters >= CHUNK_CHARACTERS:
                yield chunk
                chunk, self._characters = None, 0
        if chunk is not None:
            yield chunk

    def _texts(self) -> Iterator[str]:
        """Read the text, in blocks.

        Raises:
            SourceError: A byte is not in the encoding, a line is too long, too many are blank, or the file is damaged.
        """
        self._bytes.seek(0)
        decoder = codecs.getincrementaldecoder(self._codec)()
        offset, line, unbroken, blank, block = 0, 1, 0, 0, b""
        while offset == 0 or block:
            state = decoder.getstate()
            block = self._bytes.read(BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                place = error.start - len(state[0])  # the decoder may hold back the first bytes of a character
                decoder.setstate(state)
                line += _line_ends(decoder.decode(block[: max(place, 0)]))
                problem = N_("{file} is not {encoding}: byte 0x{byte:02x} at {offset:,}, in line {line:,}.")
                where = {"byte": error.object[error.start], "offset": offset + place, "line": line}
                about = {"file": self.name, "encoding": _(self.encoding)}
                raise SourceError(problem, NAME_THE_ENCODING, **about, **where) from None
            ends = _line_ends(text)
            line += ends
            unbroken = 0 if ends else unbroken + len(text)
            if unbroken > LONGEST_LINE:
                problem = N_("{file} has a line of more than {most:,} characters.")
                advice = N_("It is not a table of rows, or its line ends are missing.")
                raise SourceError(problem, advice, file=self.name, most=LONGEST_LINE)
            blank = blank + ends if text.isspace() else 0
            if blank > MOST_BLANK_LINES:
                problem = N_("{file} has more than {most:,} blank lines in a row.")
                raise SourceError(problem, "Was its export finished?", file=self.name, most=MOST_BLANK_LINES)
            # Python leaves the mark of UTF-16 whose byte order was named.
            yield text.removeprefix("\ufeff") if offset == 0 else text
            offset += len(block)

    def _sample(self) -> bytes:
        """The first bytes and, if they are all ASCII, those around the first that is not."""
        sample = self._bytes.read(BLOCK)
        if not sample.isascii() or 0 in sample:  # UTF-16 shows in its NULs
            return sample
        for _number in range(SEARCHED // BLOCK):
            block = self._bytes.read(BLOCK)
            if not block.isascii():
                first = next(place for place, byte in enumerate(block) if byte >= 0x80)
                return sample + block[block.rfind(b"\n", 0, first) + 1 :]  # a character never begins before its line
        return sample


def _line_ends(text: str) -> int:
    return text.count("\n") or text.count("\r")
