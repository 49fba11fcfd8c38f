"""Logging: what is logged, and handlers for the command line.

The library only logs: ``batch_alias.attempts`` has one record per attempt, with its facts in ``fields``, and
``batch_alias.retries`` one per row that is sent again.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from batch_alias.errors import BatchAliasError, UsageError, reason
from batch_alias.model import Response, Row
from batch_alias.text import N_, english

MAX_BYTES = 100 * 1024 * 1024
BACKUPS = 9

_ATTEMPTS = logging.getLogger("batch_alias.attempts")
_RETRIES = logging.getLogger("batch_alias.retries")
# Without a handler Python prints warnings to stderr.
_SILENT = logging.NullHandler()
logging.getLogger("batch_alias").addHandler(_SILENT)


def log_attempt(row: Row, attempt: int, response: Response) -> None:
    """Log an attempt, without any key, secret or alias."""
    if _ATTEMPTS.isEnabledFor(logging.INFO):
        meaning = english(response.classification.text)
        fields = {
            "row": row.number,
            "attempt": attempt,
            "host": response.host,
            "status": response.status,
            "code": response.code,
            "action": response.classification.action.value,
            "meaning": meaning,
            "message": english(response.message),
            "latency_ms": round(response.latency * 1000, 1),
            "request_id": response.request_id,
        }
        _ATTEMPTS.info("row %d: %s", row.number, meaning, extra={"fields": fields})


def log_retry(row: Row, attempt: int, response: Response, wait: float) -> None:
    """Log that a row is sent again in ``wait`` seconds."""
    _RETRIES.info(
        "Row %d, attempt %d: %s%s; again in %.1f s",
        row.number,
        attempt,
        english(response.classification.text),
        f" ({english(response.message)})" if response.message else "",
        wait,
    )


class _JsonLine(logging.Formatter):
    """A record's ``fields`` as one JSON object; a traceback as the field ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"at": round(record.created, 3), **getattr(record, "fields", {})}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


class _Callback(logging.Handler):
    """Passes each message to a function."""

    def __init__(self, callback: Callable[[str], None]) -> None:
        super().__init__()
        self._callback = callback

    def emit(self, record: logging.LogRecord) -> None:
        self._callback(record.getMessage())


def _is_no_outage(record: logging.LogRecord) -> bool:
    """Whether it is no error of procrastinate's, which are those of the database: it leaves some to asyncio."""
    error = record.exc_info[1] if record.exc_info else None
    return not type(error).__module__.startswith("procrastinate.")


@contextmanager
def logging_to(file: Path | None, say: Callable[[str], None] | None) -> Iterator[None]:
    """Log attempts to a file and retries to a function, for the length of a block.

    Args:
        file: Gets one JSON line per attempt, and the traceback of a defect. At 100 MiB it is rotated; ten are kept.
        say: Called with one sentence per retry.

    Raises:
        UsageError: The file cannot be written.
    """
    for name in ("procrastinate", "psycopg"):  # without a handler their warnings come in between the progress
        logging.getLogger(name).addHandler(_SILENT)
    logging.getLogger("asyncio").addFilter(_is_no_outage)
    with ExitStack() as stack:
        if file is not None:
            try:
                handler = RotatingFileHandler(file, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8")
            except OSError as error:
                problem = N_("The log {file} cannot be written: {reason}.")
                raise UsageError(problem, file=file, reason=reason(error)) from error
            handler.setFormatter(_JsonLine())
            stack.enter_context(_attached(_ATTEMPTS, handler))
        if say is not None:
            stack.enter_context(_attached(_RETRIES, _Callback(say)))
        try:
            yield
        except BatchAliasError:
            raise
        except Exception:
            _ATTEMPTS.exception("internal error")
            raise


@contextmanager
def _attached(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
