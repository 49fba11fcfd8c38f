"""From a source to a ledger, and from a target to a client: what both a run and a check begin with."""

import hashlib
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from batch_alias.errors import LedgerError, SourceError
from batch_alias.ledger import STAYS_ON, JobInfo, Ledger, Place, create, locked
from batch_alias.ledger.sqlite import SqliteLedger
from batch_alias.rongcloud.client import Client
from batch_alias.sandbox import Sandbox
from batch_alias.sandbox.server import serve
from batch_alias.sending import Timing
from batch_alias.settings import STDIN, Reading, Settings
from batch_alias.settings.target import Target
from batch_alias.sources import open_source, readable
from batch_alias.text import N_
from batch_alias.version import __version__

if TYPE_CHECKING:
    import pandas as pd

Version = tuple[int, int, int]
"""What changes when a file is written: inode, size, time."""
PROGRESS = "reading.json"
"""How far the source of a job has been read, while it is."""
NOTE_INTERVAL = 0.5
"""Seconds between two notes of it."""
OnRead = Callable[[int, int], None]
"""Called while a source is read, with the bytes read and the bytes in all."""


@contextmanager
def staged(
    source: Path,
    reading: Reading,
    place: Place,
    on_read: OnRead = lambda _done, _total: None,
    *,
    app_key: str = "",
) -> Iterator[Ledger]:
    """A job's ledger, locked: the one that there is, or a new one filled from the source.

    A job that has sent nothing yet is staged again when the source has changed; the aliases that a plan has read for
    it are kept.

    Args:
        source: The file.
        reading: How it is read.
        place: Where the ledger is.
        on_read: Called while the source is read.
        app_key: A hash of the App Key, for a ledger in a database: jobs of an app share its quota.

    Raises:
        SourceError: The source cannot be read.
        LedgerError: The ledger cannot be used, or belongs to another source.
    """
    with _spooled(source) as path:
        version, folder = version_of(path), place.folder
        if place.url is not None:
            if not _belongs(place, path, reading):
                with tempfile.TemporaryDirectory(prefix="batch-alias-") as scratch:
                    _fill(path, reading, Path(scratch), version, on_read)
                    place.fill(Path(scratch), app_key)
            with place.opened() as ledger:
                yield ledger
            return
        existed = folder.exists()
        with locked(folder):
            (folder / PROGRESS).unlink(missing_ok=True)  # left by a process that was killed
            if not _belongs(place, path, reading):
                try:
                    _fill(path, reading, folder, version, on_read)
                except BaseException:
                    if not existed:
                        shutil.rmtree(folder)
                    raise
            with SqliteLedger(folder) as ledger:
                yield ledger


@contextmanager
def connected(
    settings: Settings, timing: Timing, on_switch: Callable[[str], None] = lambda _host: None
) -> Iterator[Client]:
    """A client for the target of the settings; the sandbox is served as long as the block lasts.

    Raises:
        UsageError: There is no target, or the client cannot be set up as the settings or the environment say.
    """
    with reachable(settings.required_target) as target:
        yield Client(
            target,
            timeout=settings.sending.timeout,
            first_timeout=timing.first_timeout,
            switch_interval=timing.switch_interval,
            on_switch=on_switch,
        )


@contextmanager
def reachable(target: Target) -> Iterator[Target]:
    """A target with URLs: for the sandbox that of one that is served as long as the block lasts."""
    if not target.sandbox:
        yield target
        return
    with serve(Sandbox()) as sandbox:
        yield Target(url=sandbox.url, no_proxy=True, app_key=sandbox.app_key, app_secret=sandbox.app_secret)


@contextmanager
def _spooled(source: Path) -> Iterator[Path]:
    """The source as a file that can be read twice: for standard input a copy of it."""
    if source != STDIN:
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="batch-alias-") as folder:
        copy = Path(folder) / "stdin"
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield copy


def _belongs(place: Place, source: Path, reading: Reading) -> bool:
    """Whether there is a ledger of this source; an error if there is one of another that may not be replaced."""
    if not place.exists:
        return False
    with place.read() as ledger:
        info, sent = ledger.info(), ledger.may_have_sent()
        compared = any(ledger.meta(fact) is not None for fact in STAYS_ON)
    sha256 = sha256_of(source)
    if (info.sha256, info.reading) == (sha256, _identity(reading)):
        return True
    is_read_alike = info.reading == _identity(reading)
    if not sent and (is_read_alike or not compared):
        return False
    if not is_read_alike and (info.sha256 == sha256 or not sent):
        problem = N_("The job {folder} was begun with {source} read in another way, by other flags (columns, sheet).")
    elif info.source == source.name:
        problem = N_("{source} has changed since the job {folder} was begun, and some of its rows have been sent.")
    else:
        problem = N_("The job {folder} belongs to another source, {other}.")
    advice = N_("Pass the flags that it was begun with, or give this one a folder of its own: --job DIR")
    if place.url is not None:
        advice = N_("Pass the flags that it was begun with, or give this one another name: --job NAME")
    raise LedgerError(problem, advice, folder=place.name, source=source, other=info.source)


@contextmanager
def _noted(source: Path, folder: Path, on_read: OnRead) -> Iterator[OnRead]:
    """Keep in the folder how far the source has been read, for ``status``, while a block reads it."""
    path, size = folder / PROGRESS, source.stat().st_size
    noted_at = -math.inf

    def note(done: int, total: int) -> None:
        nonlocal noted_at
        on_read(done, total)
        if time.monotonic() - noted_at >= NOTE_INTERVAL:
            noted_at = time.monotonic()
            scratch = path.with_suffix(".new")
            noted = {"source": source.name, "done": done, "total": total, "at": time.time()}
            with suppress(OSError):  # the disk is full, or on Windows the file is being read
                scratch.write_text(json.dumps(noted))
                scratch.replace(path)

    try:
        note(0, size)
        yield note
    finally:
        for file in (path, path.with_suffix(".new")):
            with suppress(OSError):
                file.unlink(missing_ok=True)


def _fill(source: Path, reading: Reading, folder: Path, version: Version, on_read: OnRead) -> None:
    # A file that is no table is refused before its content is hashed: it may be of any size.
    with _noted(source, folder, on_read) as noted, open_source(source, reading) as table:
        sha256 = sha256_of(source)

        def describe() -> JobInfo:
            _, total = table.progress()
            noted(total, total)
            if not source.exists() or version_of(source) != version:
                problem = N_("{source} changed while it was read.")
                raise SourceError(problem, "Run again when it is complete.", source=source)
            return JobInfo(
                source=source.name,
                sha256=sha256,
                description=table.description,
                header=table.header,
                columns=table.columns.indexes,
                why=tuple(column.why for column in table.columns),
                blank_rows=table.blank_rows,
                reading=_identity(reading),
                staged_at=time.time(),
                version=__version__,
            )

        def batches() -> "Iterator[pd.DataFrame]":
            for frame in table.batches():
                noted(*table.progress())
                yield frame

        create(folder, batches(), describe, strict=reading.strict)


def sha256_of(source: Path) -> str:
    """The SHA-256 of a source's content in hexadecimal digits. Raises ``SourceError`` if it cannot be read."""
    with readable(source), source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def version_of(source: Path) -> Version:
    """What changes when a source is written. Raises ``SourceError`` if it cannot be read."""
    with readable(source):
        stat = source.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _identity(reading: Reading) -> dict[str, object]:
    """How a source is read, of JSON's types."""
    return {**asdict(reading), "accept": sorted(reading.accept)}
