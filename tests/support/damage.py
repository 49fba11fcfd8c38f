"""Ways in which a ledger becomes a file that cannot be used."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

PAGE = 4096
"""Bytes of a page of the database."""


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def _replace_by_another_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE rows (number INTEGER); CREATE TABLE meta (key, value);")


def _set_format(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {number}")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("This is not a ledger.\n" * 500), "damaged"),
    "empty": (lambda path: path.write_bytes(b""), "not a ledger"),
    "another database": (_replace_by_another_database, "not a ledger"),
    "older format": (lambda path: _set_format(path, 1), "format 1"),
    "later format": (lambda path: _set_format(path, 99), "format 99"),
    "beginning overwritten": (lambda path: overwrite(path, 0, b"\0" * PAGE), "damaged"),
    "middle overwritten": (
        lambda path: overwrite(path, path.stat().st_size // 2 // PAGE * PAGE, b"\xff" * PAGE),
        "damaged",
    ),
    "cut in half": (lambda path: os.truncate(path, path.stat().st_size // 2), "damaged"),
}
"""By name: the damage, and what is said of it."""
