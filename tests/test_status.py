"""The status of a job is read from its ledger, whatever the job does at the moment."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from batch_alias.job import open_job, run_job
from batch_alias.ledger import Ledger
from batch_alias.records import Second
from batch_alias.sandbox.app import Sandbox
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.server import serve
from batch_alias.settings import Service, Settings
from batch_alias.status import status_of


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "names.csv"
    path.write_text("userId,groupId,remark\n" + "".join(f"u{n},g,name {n}\n" for n in range(20)), encoding="utf-8")
    return path


def test_a_job_goes_from_staged_over_sending_and_silent_to_ended(source: Path, tmp_path: Path) -> None:
    job = tmp_path / "job"
    with serve(Sandbox(Rules(rate=1000))) as running:
        service = Service(urls=(running.url,), app_key=running.app_key, app_secret=running.app_secret)
        settings = Settings(source=source, job=job, service=service, rate=500)
        with open_job(settings):
            staged = status_of(job)
        assert (staged.phase, staged.runs, staged.tally.pending) == ("staged", 0, 20)

        with Ledger(job) as ledger:
            ledger.begin_run(host="there", version="0", settings={})
            at = int(time.time())
            for back in (2, 1, 0):
                second = Second(at=at - back, requests=10, retries=0, refusals=0, settled={}, codes={}, latencies={})
                ledger.record_second(second, busiest=10)
            sending = status_of(job)
        assert (sending.phase, sending.rate, sending.seconds_left) == ("sending", 10.0, 2)

        with Ledger(job) as ledger:
            ledger.begin_run(host="there", version="0", settings={})
            long_ago = Second(at=at - 3600, requests=1, retries=0, refusals=0, settled={}, codes={}, latencies={})
            ledger.record_second(long_ago, busiest=1)
        silent = status_of(job)
        assert (silent.phase, silent.seconds_left) == ("silent", None)

        asyncio.run(run_job(settings))
        ended = status_of(job)
    assert (ended.phase, ended.exit_code, ended.tally.accepted) == ("ended", 0, 20)
    assert json.loads(ended.as_json())["states"]["accepted"] == 20
