"""The log has a line for each attempt, and no secret."""

import asyncio
import json
from pathlib import Path

from batch_alias.sandbox.app import Sandbox

from batch_alias.job import run_job
from batch_alias.logs import logging_to
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.faults import mixed
from batch_alias.sandbox.server import serve
from batch_alias.sending.retry import Backoff
from batch_alias.sending.timing import Timing
from batch_alias.settings import Service, Settings


def test_every_attempt_is_a_json_line_and_every_retry_is_said(tmp_path: Path) -> None:
    source = tmp_path / "names.csv"
    source.write_text("userId,groupId,remark\n" + "".join(f"u{n},g,名字{n}\n" for n in range(100)), encoding="utf-8")
    log = tmp_path / "attempts.log"
    said: list[str] = []
    with serve(Sandbox(Rules(rate=1000), mixed(errors=0.2, seed=4))) as running, logging_to(log, said.append):
        service = Service(urls=(running.url,), app_key=running.app_key, app_secret=running.app_secret)
        settings = Settings(source=source, job=tmp_path / "job", service=service, rate=500)
        summary = asyncio.run(run_job(settings, timing=Timing(backoff=Backoff(base=0.01))))
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == summary.requests > 100
    assert {line["row"] for line in lines} == set(range(2, 102))
    assert sum(line["code"] == 200 for line in lines) == summary.states["accepted"]
    assert len({line["request_id"] for line in lines}) == len(lines)
    assert set(lines[0]) == {
        *("at", "row", "attempt", "host", "status", "code", "action", "meaning", "message", "latency_ms", "request_id")
    }
    # A row that waits out an outage goes again too, but the outage itself is the news then.
    assert 0 < len(said) <= summary.retries
    assert running.app_secret.reveal() not in log.read_text(encoding="utf-8")
