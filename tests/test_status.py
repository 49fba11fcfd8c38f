import asyncio
import json
import sqlite3
import time
from contextlib import closing

import pytest

from batch_alias.job import open_job, run_job
from batch_alias.ledger import LEDGER, Ledger
from batch_alias.model import Second
from batch_alias.render import status_lines
from batch_alias.settings import Reading
from batch_alias.staging import PROGRESS, staged
from batch_alias.status import Phase, status_of


def test_the_phases_of_a_job(sandbox, settings_for, write_csv):
    settings = settings_for(write_csv(20), sandbox())
    folder, now = settings.job_folder, int(time.time())
    with open_job(settings):
        staged = status_of(folder)
    assert (staged.phase, staged.runs, staged.counts.pending) == (Phase.STAGED, 0, 20)
    assert (staged.target, staged.last_attempt_at) == ("", None)

    # In the future, so that the test may take its time.
    with Ledger(folder) as ledger:
        ledger.begin_run("run", target="there", version="0", settings={"limit": 15})
        seconds = [Second(at=now + 1000 + n, requests=10) for n in range(3)]
        asyncio.run(ledger.record_metrics(seconds, [], busiest=10))
    sending = status_of(folder)
    assert (sending.phase, sending.rate, sending.seconds_left) == (Phase.SENDING, 10.0, round(1.5))

    with Ledger(folder) as ledger:
        ledger.begin_run("run", target="there", version="0", settings={})
        asyncio.run(ledger.record_metrics([Second(at=now + 1010, requests=1)], [], busiest=1))
    resumed = status_of(folder)
    assert (resumed.phase, resumed.rate, resumed.last_attempt_at) == (Phase.SENDING, 1.0, now + 1010)

    with closing(sqlite3.connect(folder / LEDGER)) as db, db:
        db.execute("UPDATE runs SET started_at = started_at - 4000")
        db.execute("UPDATE seconds SET at = ?", (now - 3600,))
    silent = status_of(folder)
    assert (silent.phase, silent.seconds_left, silent.last_attempt_at) == (Phase.SILENT, None, now - 3600)

    asyncio.run(run_job(settings))
    ended = status_of(folder)
    assert (ended.phase, ended.exit_code, ended.counts.accepted) == (Phase.ENDED, 0, 20)


def test_a_job_whose_source_is_being_read(write_csv, tmp_path):
    source, folder, seen = write_csv(20), tmp_path / "job", []
    with staged(source, Reading(), folder, lambda _done, _total: seen.append((folder / PROGRESS).exists())):
        pass
    assert not (folder / PROGRESS).exists()

    def look(done: int, _total: int) -> None:
        if done:
            seen.append(status_of(folder))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), staged(write_csv(30), Reading(), folder, look):
        pass
    found = seen[-1]
    assert (found.source, found.phase, found.counts.rows) == ("rows.csv", Phase.READING, 0)
    assert list(status_lines(found, time.time())) == ["Job       rows.csv", "Now       reading the source: 0%"]
    assert status_of(folder).phase is Phase.STAGED

    noted = {"source": "rows.csv", "done": 30, "total": 120, "at": time.time() - 3600}
    (folder / PROGRESS).write_text(json.dumps(noted), encoding="utf-8")
    assert (status_of(folder).phase, status_of(folder).read) == (Phase.SILENT, 0.25)


def test_as_json_it_has_counts_by_state_and_times_in_iso_8601(sandbox, settings_for, write_csv):
    settings = settings_for(write_csv(3), sandbox())
    asyncio.run(run_job(settings))
    shown = json.loads(status_of(settings.job_folder).as_json())
    assert shown["states"]["accepted"] == 3
    assert shown["phase"] == "ended"
    assert shown["last_attempt_at"].endswith("Z")
