import json
import logging
from pathlib import Path

import pytest

from batch_alias.errors import SourceError, UsageError
from batch_alias.logs import log_attempt, log_retry, logging_to
from batch_alias.model import Failure, Response, Row
from batch_alias.rongcloud.codes import CODES, FAILURES
from tests.support.processes import run_python

ROW = Row(number=7, user_id="user7", group_id="group1", remark="老王")
REFUSED = Response(
    request_id="r-1",
    host="one.example",
    latency=0.01234,
    classification=CODES[1008],
    status=429,
    code=1008,
    message="请求过多",
)
TIMED_OUT = Response(
    request_id="r-2",
    host="one.example",
    latency=10.0,
    classification=FAILURES[Failure.TIMEOUT],
    failure=Failure.TIMEOUT,
)


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "attempts.log"


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_every_attempt_is_a_json_line_without_the_alias(log):
    with logging_to(log, None):
        log_attempt(ROW, 1, REFUSED)
        log_attempt(ROW, 2, TIMED_OUT)
    first, second = lines(log)
    assert first.pop("at") <= second.pop("at")
    assert first == {
        "row": 7,
        "attempt": 1,
        "host": "one.example",
        "status": 429,
        "code": 1008,
        "action": "slow-down",
        "meaning": "over the rate limit",
        "message": "请求过多",
        "latency_ms": 12.3,
        "request_id": "r-1",
    }
    assert (second["attempt"], second["status"], second["code"], second["action"]) == (2, None, None, "retry")
    assert ROW.remark not in log.read_text(encoding="utf-8")


def test_a_log_is_appended_to(log):
    for _ in range(2):
        with logging_to(log, None):
            log_attempt(ROW, 1, REFUSED)
    assert len(lines(log)) == 2


def test_every_retry_is_said_in_a_sentence():
    said: list[str] = []
    with logging_to(None, said.append):
        log_attempt(ROW, 1, REFUSED)
        log_retry(ROW, 1, REFUSED, 0.25)
        log_retry(ROW, 2, TIMED_OUT, 2.0)
    assert said == [
        "Row 7, attempt 1: over the rate limit (请求过多); again in 0.2 s",
        "Row 7, attempt 2: no response in time; again in 2.0 s",
    ]


def test_nothing_is_logged_or_configured_outside_the_block(log):
    loggers = [logging.getLogger(f"batch_alias.{name}") for name in ("attempts", "retries")]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    said: list[str] = []
    with logging_to(log, said.append):
        pass
    log_attempt(ROW, 1, REFUSED)
    log_retry(ROW, 1, REFUSED, 0.25)
    assert [(logger.level, list(logger.handlers)) for logger in loggers] == before
    assert (lines(log), said) == ([], [])


def test_a_defect_is_logged_with_its_traceback(log):
    with pytest.raises(ZeroDivisionError), logging_to(log, None):
        raise ZeroDivisionError("a defect")
    (line,) = lines(log)
    assert "ZeroDivisionError: a defect" in line["traceback"]


def test_an_error_that_ends_the_run_is_not_logged(log):
    with pytest.raises(SourceError), logging_to(log, None):
        raise SourceError("The source is empty.")
    assert lines(log) == []


# pytest's own handlers would hide what Python prints for a record that has none.
WITHOUT_LOG = """
from contextlib import suppress
from batch_alias.logs import logging_to
with suppress(ZeroDivisionError), logging_to(None, None):
    raise ZeroDivisionError("a defect")
"""


@pytest.mark.slow
def test_a_defect_is_not_printed_when_there_is_no_log():
    assert run_python(WITHOUT_LOG) == (0, "", "")


def test_a_log_that_cannot_be_written_is_a_usage_error(tmp_path):
    log = tmp_path / "missing" / "attempts.log"
    with pytest.raises(UsageError, match="cannot be written") as raised, logging_to(log, None):
        pass
    assert str(log) in raised.value.problem
