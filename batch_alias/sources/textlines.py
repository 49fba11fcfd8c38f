"""A text, line by line, in bounded memory: no line is endless, and no wrong byte goes unnoticed."""

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from batch_alias.errors import SourceError
from batch_alias.sources.bytestream import ByteStream
from batch_alias.sources.encodings import WHAT_TO_DO, find_encoding

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LONGEST_LINE = 256 * 1024
SAMPLE_BYTES = 64 * 1024
FURTHEST_SAMPLE = 16 * 1024 * 1024
"""How far into an ASCII beginning the first foreign character is looked for, to tell the encoding by it."""


class TextLines:
    """The lines of a text, each with its line end.

    Args:
        stream: The text's bytes.
        encoding: The encoding a person named.

    Attributes:
        encoding: What the encoding was found to be, for people.
        sample: The first characters; for a look ahead.
        current: The line given last.
        characters: How many characters were given; to be reset at will.
        rows: How lines make rows; to name the row of a wrong byte.

    Raises:
        SourceError: The file is empty, no text, or in an unknown encoding.
    """

    def __init__(self, stream: ByteStream, encoding: str | None) -> None:
        self._stream = stream
        sample = _sample(stream)
        if not sample:
            raise SourceError(f"{stream.name} is empty.", "Was its export finished?")
        try:
            found = find_encoding(sample, encoding)
        except SourceError as error:
            raise SourceError(f"{stream.name} cannot be read. {error.problem}", error.advice) from None
        self._codec = found.codec
        self.encoding = found.name
        self.sample = sample[:SAMPLE_BYTES].decode(found.codec, errors="replace").removeprefix("\ufeff")
        self.current = ""
        self.characters = 0
        self.rows: Callable[[Iterable[str]], Iterable[object]] = iter
        self._text = io.TextIOWrapper(stream.open(), encoding=found.codec, newline="")

    def close(self) -> None:
        """Let go of the file."""
        self._text.close()

    def __iter__(self) -> Iterator[str]:
        readline = self._text.readline
        mark = "\ufeff"  # of UTF-16 whose byte order was named: Python then takes it for a character
        try:
            while line := readline(LONGEST_LINE):
                if len(line) == LONGEST_LINE:
                    raise SourceError(
                        f"{self._stream.name} has a line of more than {LONGEST_LINE:,} characters.",
                        "It is not a table of rows, or its line ends are missing.",
                    )
                self.current = line.removeprefix(mark)
                mark = ""
                self.characters += len(line)
                yield self.current
        except UnicodeDecodeError:
            raise self._wrong_byte() from None

    def _wrong_byte(self) -> SourceError:
        """Name the first byte that is not in the encoding, and its row: a second pass, but nothing will be sent."""
        with self._stream.open() as file:
            offset, byte = self._first_wrong_byte(file)
        with self._stream.open() as file:
            row = self._rows_begun(file, offset)
        return SourceError(
            f"{self._stream.name} is not {self.encoding}: byte 0x{byte:02x} at {offset:,}, in row {row:,}.", WHAT_TO_DO
        )

    def _first_wrong_byte(self, file: BinaryIO) -> tuple[int, int]:
        decoder = codecs.getincrementaldecoder(self._codec)()
        start = 0
        while True:
            held_back = decoder.getstate()[0]
            block = file.read(SAMPLE_BYTES)
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return start - len(held_back) + error.start, error.object[error.start]
            if not block:
                raise AssertionError("a text that could not be decoded can be decoded")
            start += len(block)

    def _rows_begun(self, file: BinaryIO, offset: int) -> int:
        """In which row the bytes up to the offset end."""
        text = io.TextIOWrapper(
            io.BufferedReader(_FirstBytes(file, offset)), encoding=self._codec, errors="ignore", newline=""
        )
        last = "\n"

        def lines() -> Iterator[str]:
            nonlocal last
            while line := text.readline(LONGEST_LINE):
                last = line
                yield line

        try:
            rows = sum(1 for _ in self.rows(lines()))
        except csv.Error:
            return 1
        return rows + last.endswith(("\r", "\n"))


def _sample(stream: ByteStream) -> bytes:
    """The first bytes, and if they are all ASCII, those around the first that are not."""
    with stream.open() as file:
        sample = file.read(SAMPLE_BYTES)
        if not sample.isascii() or 0 in sample:  # UTF-16 shows itself by its NULs
            return sample
        for _ in range(FURTHEST_SAMPLE // SAMPLE_BYTES):
            block = file.read(SAMPLE_BYTES)
            if not block.isascii():
                # From the line's start: a character is never cut in half there.
                return sample + block[block.rfind(b"\n", 0, _first_foreign(block)) + 1 :]
    return sample


def _first_foreign(block: bytes) -> int:
    return next(place for place, byte in enumerate(block) if byte >= 0x80)


class _FirstBytes(io.RawIOBase):
    """The first bytes of a file, as a file."""

    def __init__(self, file: BinaryIO, count: int) -> None:
        super().__init__()
        self._source = file
        self._left = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        with memoryview(buffer) as view:
            block = self._source.read(min(len(view), self._left))
            view[: len(block)] = block
        self._left -= len(block)
        return len(block)
