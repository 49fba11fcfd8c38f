"""The log of a job has a line for each attempt, and no secret."""

import json

from batch_alias.logs import logging_to
from batch_alias.sandbox.faults import INTERNAL_ERROR
from tests.support.faults import Script

FIELDS = {
    *("at", "row", "attempt", "host", "status", "code", "action", "meaning", "message", "latency_ms", "request_id")
}


def test_every_attempt_is_a_json_line_and_every_retry_is_said(run, sandbox, settings_for, write_csv, tmp_path):
    served = sandbox(Script(lambda number: INTERNAL_ERROR if number % 4 == 2 else None))
    log = tmp_path / "attempts.log"
    said: list[str] = []
    with logging_to(log, said.append):
        summary = run(settings_for(write_csv(30), served, attempts=30))
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == summary.requests > 30
    assert {line["row"] for line in lines} == set(range(2, 32))
    assert sum(line["code"] == 200 for line in lines) == summary.states["accepted"] == 30
    assert len({line["request_id"] for line in lines}) == len(lines)
    assert all(set(line) == FIELDS for line in lines)
    assert len(said) == summary.retries > 0
    assert served.app_secret.reveal() not in log.read_text(encoding="utf-8")
