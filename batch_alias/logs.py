"""Logs for the command line: every attempt as a JSON line in a file, retries on the screen.

The library logs through ``logging`` under ``batch_alias`` and configures nothing: ``batch_alias.attempts`` has one
record per attempt, ``batch_alias.retries`` one per row that is sent again.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from batch_alias.errors import UsageError

MAX_BYTES = 100 * 1024 * 1024
BACKUPS = 9


class _JsonLine(logging.Formatter):
    """The fields of an attempt as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"at": round(record.created, 3), **getattr(record, "fields", {})}
        return json.dumps(fields, ensure_ascii=False)


class _Say(logging.Handler):
    """Hands messages to the console, which keeps them clear of the bar."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


@contextmanager
def logging_to(file: Path | None, say: Callable[[str], None] | None) -> Iterator[None]:
    """Log attempts to a file and retries to the console, for the length of a block.

    Args:
        file: Gets one JSON line per attempt; at 100 MiB it is set aside, and ten of them are kept. ``None``: no file.
        say: Gets one sentence per retry. ``None``: nobody does.

    Raises:
        UsageError: The file cannot be written.
    """
    with ExitStack() as stack:
        if file is not None:
            try:
                handler = RotatingFileHandler(file, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8")
            except OSError as error:
                raise UsageError(f"The log {file} cannot be written: {error.strerror or error}.") from error
            handler.setFormatter(_JsonLine())
            stack.enter_context(_attached("batch_alias.attempts", handler))
        if say is not None:
            stack.enter_context(_attached("batch_alias.retries", _Say(say)))
        yield


@contextmanager
def _attached(name: str, handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
