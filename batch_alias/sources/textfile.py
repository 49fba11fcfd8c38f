"""Text files, decoded and split into lines in bounded memory; they may be compressed by gzip."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from batch_alias.errors import SourceError
from batch_alias.sources.encodings import NAME_THE_ENCODING, find_encoding

GZIP = b"\x1f\x8b"
BLOCK = 64 * 1024
LONGEST_LINE = 256 * 1024
"""Characters; more than the longest field that ``csv`` reads."""
SEARCHED = 16 * 1024 * 1024
"""Bytes that are searched for the first one beyond ASCII, which shows the encoding."""
BOMB_BYTES = 64 * 1024 * 1024
BOMB_RATIO = 250
"""A gzip may unpack to so many bytes, and to so many times its size beyond them. A table of ids shrinks to a twentieth,
one of a single repeated row to a two-hundredth, a bomb to a thousandth."""


class UndecodableByteError(Exception):
    """A byte is not in the encoding of the text; all whole lines before it were read."""

    def __init__(self, byte: int, offset: int) -> None:
        super().__init__(byte, offset)
        self.byte = byte
        self.offset = offset


class ByteReader:
    """Reads the bytes of a file, unpacked if it is a gzip.

    Args:
        path: The file.
        bomb_bytes: How many bytes a gzip may unpack to, whatever its size.

    Attributes:
        name: The name of the file.
        compression: ``gzip`` or empty.
    """

    def __init__(self, path: Path, bomb_bytes: int = BOMB_BYTES) -> None:
        self.name = path.name
        self._size = path.stat().st_size
        self._bomb_bytes = bomb_bytes
        self._file = path.open("rb", buffering=2 * BLOCK)
        self.compression = "gzip" if self._file.read(len(GZIP)) == GZIP else ""
        self.rewind()

    def rewind(self) -> None:
        """Continue at the first byte."""
        self._file.seek(0)
        self._unpacked = 0
        self._gzip = gzip.GzipFile(fileobj=self._file) if self.compression else None

    def read(self, size: int) -> bytes:
        """Read the next bytes; fewer only at the end.

        Raises:
            SourceError: The gzip is damaged, or unpacks to far more than a table.
        """
        if self._gzip is None:
            return self._file.read(size)
        try:
            block = self._gzip.read(size)
        except (zlib.error, EOFError, OSError) as error:
            problem = "{file} cannot be unpacked: {error}."
            raise SourceError(problem, "Transfer or export it again.", file=self.name, error=error) from None
        self._unpacked += len(block)
        if self._unpacked > self._bomb_bytes + BOMB_RATIO * self._file.tell():
            raise SourceError("{file} unpacks to far more than a table would.", "Unpack it first.", file=self.name)
        return block

    def progress(self) -> tuple[int, int]:
        """Bytes of the file that were read, and its size."""
        return (self._size if self._file.closed else min(self._file.tell(), self._size)), self._size

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TextReader(ByteReader):
    """Reads the lines of a text file; the base of the readers of text formats.

    Args:
        path: The file.
        encoding: The encoding that the user named.
        bomb_bytes: How many bytes a gzip may unpack to, whatever its size.

    Attributes:
        encoding: The usual name of its encoding.
        sample: Its first characters.
        characters: Characters read so far; may be reset.

    Raises:
        SourceError: The file is empty, not text or damaged, or its encoding is not certain.
    """

    def __init__(self, path: Path, encoding: str | None, *, bomb_bytes: int = BOMB_BYTES) -> None:
        super().__init__(path, bomb_bytes)
        try:
            sample = self._sample()
            if not sample:
                raise SourceError("{file} is empty.", "Was its export finished?", file=self.name)
            found = find_encoding(sample, encoding, file=self.name)
            self.rewind()
        except BaseException:
            self.close()
            raise
        self.encoding = found.name
        self.sample = sample[:BLOCK].decode(found.codec, errors="replace").removeprefix("\ufeff")
        self.characters = 0
        self._codec = found.codec
        self._lines: list[str] = []
        self._lines_before = 0

    def blocks(self) -> Iterator[list[str]]:
        """Read the lines, each with its line end, in blocks.

        Raises:
            UndecodableByteError: A byte is not in the encoding.
            SourceError: A line is too long, or the file is damaged.
        """
        rest = ""
        try:
            for text in self._texts():
                self.characters += len(text)
                lines = io.StringIO(rest + text, newline="").readlines()
                rest = lines.pop() if lines else ""  # even a whole line: its CR may be the first half of a CR LF
                if any(len(line) >= LONGEST_LINE for line in (rest, *lines[:1])):
                    problem = "{file} has a line of more than {most:,} characters."
                    advice = "It is not a table of rows, or its line ends are missing."
                    raise SourceError(problem, advice, file=self.name, most=LONGEST_LINE)
                yield self._next(lines)
        except UndecodableByteError:
            if rest.endswith(("\r", "\n")):
                yield self._next([rest])
            raise
        yield self._next([rest] if rest else [])

    def line(self, number: int) -> str:
        """A line of the block read last, by its number in the file, from 1."""
        return self._lines[number - self._lines_before - 1]

    def undecodable(self, error: UndecodableByteError, row: int) -> SourceError:
        """The error for a byte in a row."""
        problem = "{file} is not {encoding}: byte 0x{byte:02x} at {offset:,}, in row {row:,}."
        values = {"file": self.name, "encoding": self.encoding, "byte": error.byte, "offset": error.offset, "row": row}
        return SourceError(problem, NAME_THE_ENCODING, **values)

    def _next(self, lines: list[str]) -> list[str]:
        self._lines_before += len(self._lines)
        self._lines = lines
        return lines

    def _texts(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self._codec)()
        offset = 0
        block = b""
        while offset == 0 or block:
            state = decoder.getstate()
            block = self.read(BLOCK)
            undecodable = None
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                place = error.start - len(state[0])  # the decoder may hold back the first bytes of a character
                undecodable = UndecodableByteError(error.object[error.start], offset + place)
                decoder.setstate(state)
                text = decoder.decode(block[: max(place, 0)])
            # Python leaves the mark of UTF-16 whose byte order was named.
            yield text.removeprefix("\ufeff") if offset == 0 else text
            if undecodable is not None:
                raise undecodable
            offset += len(block)

    def _sample(self) -> bytes:
        """The first bytes and, if they are all ASCII, those around the first that is not."""
        sample = self.read(BLOCK)
        if not sample.isascii() or 0 in sample:  # UTF-16 shows in its NULs
            return sample
        for _ in range(SEARCHED // BLOCK):
            block = self.read(BLOCK)
            if not block.isascii():
                first = next(place for place, byte in enumerate(block) if byte >= 0x80)
                return sample + block[block.rfind(b"\n", 0, first) + 1 :]  # a character never begins before its line
        return sample
