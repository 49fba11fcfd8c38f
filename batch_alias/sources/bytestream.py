"""The bytes of a source: as they lie in the file, or out of a gzip or zip around them.

A text is read from front to back in bounded memory, so a compressed one needs no room; but a few kilobytes can unpack
to terabytes, and nobody waits for those. What unpacks to more than any table does is refused.
"""

import gzip
import io
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from batch_alias.errors import SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
BLOCK = 128 * 1024

BOMB_RATIO = 250
BOMB_BYTES = 64 * 1024 * 1024
"""A table of ids shrinks to a twentieth, one of a single repeated row to a two-hundredth; a bomb to a thousandth."""


DAMAGES = (zlib.error, zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, NotImplementedError)
"""What Python's unpackers raise over a damaged or foreign archive."""


class ByteStream:
    """A file whose bytes can be read more than once, from the front.

    Args:
        path: The file.

    Attributes:
        name: The file's name, for messages.
        wrapping: How it is compressed, for people: ``""``, ``gzip`` or ``zip``.
        size: The file's size in bytes.

    Raises:
        SourceError: It is an archive of something else than one text.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.size = path.stat().st_size
        self._path = path
        self._raw: BinaryIO | None = None
        with path.open("rb") as file:
            start = file.read(4)
        self.wrapping = {GZIP: "gzip", ZIP[:2]: "zip"}.get(start[:2], "")
        self._member = only_member(path) if self.wrapping == "zip" else ""

    def open(self) -> BinaryIO:
        """Start reading at the first byte; an earlier reader is left where it is."""
        raw = self._path.open("rb", buffering=BLOCK)
        self._raw = raw
        if not self.wrapping:
            return raw
        packed: IO[bytes] | gzip.GzipFile
        try:
            if self.wrapping == "gzip":
                packed = gzip.GzipFile(fileobj=raw)
            else:
                with zipfile.ZipFile(raw) as archive:  # its member outlives it
                    packed = archive.open(self._member)
        except DAMAGES as error:
            raw.close()
            raise _damaged(self.name, error) from None
        return io.BufferedReader(_Unpacked(packed, raw, self.name), BLOCK)

    def head(self, size: int) -> bytes:
        """The first bytes."""
        with self.open() as file:
            return file.read(size)

    def progress(self) -> tuple[int, int]:
        """Bytes of the file read by the last reader, and in all."""
        if self._raw is None:
            return 0, self.size
        return (self.size if self._raw.closed else min(self._raw.tell(), self.size)), self.size


def only_member(path: Path) -> str:
    """The name of the one file in a zip archive; what a Mac adds to it does not count.

    Raises:
        SourceError: It is no archive, holds more or less than one file, or the file is encrypted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                member
                for member in archive.infolist()
                if not (member.is_dir() or member.filename.startswith("__MACOSX/") or ".DS_Store" in member.filename)
            ]
    except DAMAGES as error:
        raise _damaged(path.name, error) from None
    match members:
        case [member] if member.flag_bits & 1:
            raise SourceError(f"{path.name} is protected by a password.", "Unpack it first.")
        case [member]:
            return member.filename
        case _:
            raise SourceError(f"{path.name} holds {len(members)} files instead of one.", "Unpack it first.")


def _damaged(name: str, error: Exception) -> SourceError:
    return SourceError(f"{name} cannot be unpacked: {error}.", "Fetch it again.")


class _Unpacked(io.RawIOBase):
    """A compressed stream that counts what comes out of it and turns its damages into sentences."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, raw: BinaryIO, name: str) -> None:
        super().__init__()
        self._stream = stream
        self._packed = raw
        self._name = name
        self._unpacked = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        with memoryview(buffer) as view:
            try:
                block = self._stream.read(len(view))
            except DAMAGES as error:
                raise _damaged(self._name, error) from None
            view[: len(block)] = block
        self._unpacked += len(block)
        if self._unpacked > BOMB_BYTES + BOMB_RATIO * self._packed.tell():
            raise SourceError(f"{self._name} unpacks to far more than a table would.", "Unpack it first.")
        return len(block)

    def close(self) -> None:
        self._stream.close()
        self._packed.close()
        super().close()
