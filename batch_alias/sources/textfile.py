"""Text files: their encoding, and their lines in bounded memory; they may be compressed by gzip.

UTF-8 and UTF-16 can be recognised. GB18030 and Big5 decode nearly every byte pair, so that "it decodes" proves nothing,
and a general detector needs more text than a handful of names (charset-normalizer chose the right one of the two in 3
of 5 files with one name). But both tables list the characters in daily use first: a text in which these are rare is in
neither, and if they are frequent in both, the user has to name the encoding. Reading the whole text strictly confirms
what was found in its sample.
"""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from batch_alias.errors import SourceError
from batch_alias.problems import RowProblem
from batch_alias.sources.columns import CHUNK_CHARACTERS, CHUNK_ROWS, Chunk

GZIP = b"\x1f\x8b"
BLOCK = 64 * 1024
LONGEST_LINE = 256 * 1024
"""Characters; more than the longest field that ``csv`` reads."""
SEARCHED = 16 * 1024 * 1024
"""Bytes that are searched for the first one beyond ASCII, which shows the encoding."""
BOMB_BYTES = 64 * 1024 * 1024
BOMB_RATIO = 250
"""What is compressed may unpack to so many bytes, and beyond them to so many times its size. A table of ids shrinks to
a twentieth, one of a single repeated row to a two-hundredth, a bomb to a thousandth."""

LEAST_SHARE = 0.6  # of common characters, for a text to be in an encoding
LEAST_LEAD = 0.05  # of one encoding's share over the other's
LEAST_PAIRS = 4
"""Fewer double-byte characters prove nothing: the "Ås" of a Western "Åsa" is a common character of Big5."""
LEAST_KOREAN_PAIRS = 12
"""So many characters that are all in the range of EUC-KR's syllables are Korean: Chinese ones spread further."""

NAME_THE_ENCODING = "Save it as CSV UTF-8, or name its encoding with --encoding."

# A double-byte character, or one of the four-byte characters of GB18030, which have a digit in the second place.
_CHARACTER = re.compile(rb"[\x80-\xff][0-9].{0,2}|([\x80-\xff][^0-9])", re.DOTALL)

Encoding = tuple[str, str]
"""Python's name of a codec, and the usual name."""

BYTE_ORDER_MARKS: dict[bytes, Encoding] = {
    codecs.BOM_UTF8: ("utf-8", "UTF-8 with mark"),
    codecs.BOM_UTF32_LE: ("utf-32", "UTF-32 with mark"),  # before the mark of UTF-16, which begins it
    codecs.BOM_UTF16_LE: ("utf-16", "UTF-16 with mark"),
    codecs.BOM_UTF16_BE: ("utf-16", "UTF-16 with mark"),
}


class ReadRow(NamedTuple):
    """A row as it was read: its number as a spreadsheet shows it, its cells, and what the reader found wrong."""

    number: int
    cells: list[str]
    problems: list[RowProblem] = []  # noqa: RUF012 - never changed


class _Gzip(gzip.GzipFile):
    """A gzip; reading it is a ``SourceError`` if it is damaged, or unpacks to far more than a table."""

    def __init__(self, file: io.BufferedIOBase, name: str) -> None:
        super().__init__(name, "rb", fileobj=file)
        self._packed = file

    def read(self, size: int | None = -1) -> bytes:
        try:
            block = super().read(size)
        except (zlib.error, EOFError, OSError) as error:
            problem = "{file} cannot be unpacked: {error}."
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
        self.line = ""  # read last
        self.row = 0  # the number of the row read last; set by the reader of the format
        self._bytes = unpacked(file, name)
        self.compression = "" if self._bytes is file else "gzip"
        sample = self._sample()
        if not sample:
            raise SourceError("{file} is empty.", "Was its export finished?", file=name)
        self._codec, self.encoding = find_encoding(sample, encoding, file=name)
        self._bytes.seek(0)
        self.sample = sample[:BLOCK].decode(self._codec, errors="replace").removeprefix("\ufeff")
        self._characters = 0
        self._undecodable: tuple[int, int] | None = None

    def lines(self) -> Iterator[str]:
        """Read the lines, each with its line end.

        Raises:
            SourceError: A line is too long, a byte is not in the encoding, or the file is damaged.
        """
        rest = ""
        for text in self._texts():
            self._characters += len(text)
            lines = io.StringIO(rest + text, newline="").readlines()
            rest = lines.pop() if lines else ""  # even a whole line: its CR may be the first half of a CR LF
            if any(len(line) >= LONGEST_LINE for line in (rest, *lines[:1])):
                problem = "{file} has a line of more than {most:,} characters."
                advice = "It is not a table of rows, or its line ends are missing."
                raise SourceError(problem, advice, file=self.name, most=LONGEST_LINE)
            for line in lines:
                self.line = line
                yield line
        if rest and (self._undecodable is None or rest.endswith(("\r", "\n"))):
            self.line = rest
            yield rest
        if self._undecodable is not None:
            byte, offset = self._undecodable
            problem = "{file} is not {encoding}: byte 0x{byte:02x} at {offset:,}, in row {row:,}."
            values = {"file": self.name, "encoding": self.encoding, "byte": byte, "offset": offset}
            raise SourceError(problem, NAME_THE_ENCODING, row=self.row + 1, **values)

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
        """The text, up to a byte that is not in the encoding."""
        decoder = codecs.getincrementaldecoder(self._codec)()
        offset, block = 0, b""
        while offset == 0 or block:
            state = decoder.getstate()
            block = self._bytes.read(BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                place = error.start - len(state[0])  # the decoder may hold back the first bytes of a character
                self._undecodable = error.object[error.start], offset + place
                decoder.setstate(state)
                text = decoder.decode(block[: max(place, 0)])
            # Python leaves the mark of UTF-16 whose byte order was named.
            yield text.removeprefix("\ufeff") if offset == 0 else text
            if self._undecodable is not None:
                return
            offset += len(block)

    def _sample(self) -> bytes:
        """The first bytes and, if they are all ASCII, those around the first that is not."""
        sample = self._bytes.read(BLOCK)
        if not sample.isascii() or 0 in sample:  # UTF-16 shows in its NULs
            return sample
        for _ in range(SEARCHED // BLOCK):
            block = self._bytes.read(BLOCK)
            if not block.isascii():
                first = next(place for place, byte in enumerate(block) if byte >= 0x80)
                return sample + block[block.rfind(b"\n", 0, first) + 1 :]  # a character never begins before its line
        return sample


def find_encoding(sample: bytes, wanted: str | None, *, file: str) -> Encoding:
    """Find the encoding of a text.

    Args:
        sample: Its first bytes; may end within a character.
        wanted: The encoding that the user named; only a byte order mark may refine it.
        file: The name of the file, for the error.

    Raises:
        SourceError: It is not text, or its encoding is not certain.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if sample.startswith(mark) and (wanted is None or _family(wanted) == _family(encoding[0])):
            return encoding
    if wanted is not None:
        if codecs.lookup(wanted).name in {"utf-16", "utf-32"}:
            problem = "{file} does not begin with the byte order mark of {encoding}."
            advice = "Name the byte order too: {encoding}-LE or {encoding}-BE."
            raise SourceError(problem, advice, file=file, encoding=wanted.upper())
        return wanted, wanted.upper()
    if sample.count(0) * 10 > len(sample):  # a few NULs are a problem of their rows; this many are UTF-16 or no text
        return _utf_16(sample, file)
    if _decodes(sample, "utf-8"):
        return "utf-8", "UTF-8"
    return _chinese(sample, file)


def _family(codec: str) -> list[str]:
    return codecs.lookup(codec).name.split("-")[:2]


def _decodes(sample: bytes, codec: str) -> bool:
    try:
        codecs.getincrementaldecoder(codec)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _utf_16(sample: bytes, file: str) -> Encoding:
    """Text with many ASCII characters has its NULs at the even or at the odd positions."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > 10 * even and _decodes(sample, "utf-16-le"):
        return "utf-16-le", "UTF-16 LE"
    if even > 10 * odd and _decodes(sample, "utf-16-be"):
        return "utf-16-be", "UTF-16 BE"
    raise SourceError("{file} is not text.", "Name a file of rows: CSV or Excel.", file=file)


def _chinese(sample: bytes, file: str) -> Encoding:
    pairs = [(pair[0], pair[1]) for pair in _CHARACTER.findall(sample) if pair]
    if len(pairs) >= LEAST_KOREAN_PAIRS and all(0xB0 <= lead <= 0xC8 and trail >= 0xA1 for lead, trail in pairs):
        raise SourceError("The encoding of {file} seems to be Korean.", NAME_THE_ENCODING, file=file)
    gb = _common_in_gb(pairs) if _decodes(sample, "gb18030") else 0.0
    big5_codec = next((codec for codec in ("cp950", "big5hkscs") if _decodes(sample, codec)), None)
    big5 = _common_in_big5(pairs) if big5_codec else 0.0
    if min(gb, big5) >= LEAST_SHARE and abs(gb - big5) < LEAST_LEAD:
        raise SourceError("The encoding of {file} could be GB18030 as well as Big5.", NAME_THE_ENCODING, file=file)
    if len(pairs) >= LEAST_PAIRS and max(gb, big5) >= LEAST_SHARE:
        if big5_codec is not None and big5 > gb:
            return big5_codec, "Big5"
        return "gb18030", "GB18030"
    return "utf-8", "UTF-8"  # it is not: reading it will name the first byte that is wrong


def _common_in_gb(pairs: list[tuple[int, int]]) -> float:
    """The share of GB2312's first level, the 3,755 characters in daily use, leads B0 to D7, ordered by sound."""
    words = [(lead, trail) for lead, trail in pairs if not (0xA1 <= lead <= 0xA9 and trail >= 0xA1)]  # no punctuation
    return sum(0xB0 <= lead <= 0xD7 and trail >= 0xA1 for lead, trail in words) / max(len(words), 1)


def _common_in_big5(pairs: list[tuple[int, int]]) -> float:
    """The share of Big5's first level, the 5,401 characters in daily use, leads A4 to C6, ordered by strokes."""
    words = [lead for lead, _ in pairs if not 0xA1 <= lead <= 0xA3]  # no punctuation
    return sum(0xA4 <= lead <= 0xC6 for lead in words) / max(len(words), 1)
