import asyncio
import json
import os
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest
import wcwidth

from batch_alias.errors import ExitCode, LedgerError, UsageError
from batch_alias.job import open_job, run_job
from batch_alias.ledger import LEDGER, LOCK, NEW_LEDGER, Place, WorkerRecord
from batch_alias.ledger.database import schema_of
from batch_alias.ledger.sqlite import SqliteLedger
from batch_alias.model import Second, StateCounts
from batch_alias.render.jobs import jobs_lines, status_line, status_lines
from batch_alias.settings import Reading
from batch_alias.staging import PROGRESS, staged
from batch_alias.status import (
    Phase,
    Status,
    jobs_as_json,
    jobs_below,
    status_of,
    watch_status,
)
from tests.support.postgres import away

LONG_AGO = 1_000_000_000
LONG_AFTER = 4_000_000_000
"""Seconds since the epoch; the second one so that a test may take its time."""


def touch(path: Path, at: int) -> None:
    path.touch()
    os.utime(path, (at, at))


def test_the_phases_of_a_job(sandbox, settings_for, write_csv):
    settings = settings_for(write_csv(20), sandbox())
    folder, now = settings.job_folder, int(time.time())
    with open_job(settings):
        staged = status_of(Place(folder))
    assert (staged.phase, staged.runs, staged.counts.pending) == (Phase.STAGED, 0, 20)
    assert (staged.target, staged.last_attempt_at) == ("", None)

    # In the future, so that the test may take its time.
    with SqliteLedger(folder) as ledger:
        ledger.begin_run("run", target="there", version="0", settings={"limit": 15})
        seconds = [Second(at=now + 1000 + n, requests=10) for n in range(3)]
        asyncio.run(ledger.record_metrics(seconds, [], busiest=10))
    sending = status_of(Place(folder))
    assert (sending.phase, sending.rate, sending.seconds_left) == (Phase.SENDING, 10.0, round(1.5))

    with SqliteLedger(folder) as ledger:
        ledger.begin_run("run", target="there", version="0", settings={})
        asyncio.run(ledger.record_metrics([Second(at=now + 1010, requests=1)], [], busiest=1))
    resumed = status_of(Place(folder))
    assert (resumed.phase, resumed.rate, resumed.last_attempt_at) == (Phase.SENDING, 1.0, now + 1010)

    with closing(sqlite3.connect(folder / LEDGER)) as db, db:
        db.execute("UPDATE runs SET started_at = started_at - 4000")
        db.execute("UPDATE seconds SET at = ?", (now - 3600,))
    silent = status_of(Place(folder))
    assert (silent.phase, silent.seconds_left, silent.last_attempt_at) == (Phase.SILENT, None, now - 3600)

    asyncio.run(run_job(settings))
    ended = status_of(Place(folder))
    assert (ended.phase, ended.exit_code, ended.counts.accepted) == (Phase.ENDED, 0, 20)


def test_a_job_whose_source_is_being_read(write_csv, tmp_path):
    source, folder, seen = write_csv(20), tmp_path / "job", []
    with staged(source, Reading(), Place(folder), lambda _done, _total: seen.append((folder / PROGRESS).exists())):
        pass
    assert not (folder / PROGRESS).exists()

    def look(done: int, _total: int) -> None:
        if done:
            seen.append(status_of(Place(folder)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), staged(write_csv(30), Reading(), Place(folder), look):
        pass
    found = seen[-1]
    assert (found.source, found.phase, found.counts.rows) == ("rows.csv", Phase.READING, 0)
    assert list(status_lines(found, time.time())) == ["Job       rows.csv", "Now       reading the source: 0%"]
    assert status_of(Place(folder)).phase is Phase.STAGED

    noted = {"source": "rows.csv", "done": 30, "total": 120, "at": time.time() - 3600}
    (folder / PROGRESS).write_text(json.dumps(noted), encoding="utf-8")
    assert (status_of(Place(folder)).phase, status_of(Place(folder)).read) == (Phase.SILENT, 0.25)
    assert status_line(status_of(Place(folder))) == "reading the source was killed, or takes long: 25%"
    touch(folder / NEW_LEDGER, LONG_AFTER)  # is written to after the whole source was read
    assert status_of(Place(folder)).phase is Phase.READING


@pytest.mark.parametrize("name", [LOCK, NEW_LEDGER])
def test_a_job_that_has_just_begun(name, tmp_path):
    touch(tmp_path / name, LONG_AFTER)
    assert list(status_lines(status_of(Place(tmp_path)), time.time())) == ["Now       reading the source: 0%"]
    touch(tmp_path / name, LONG_AGO)
    with pytest.raises(LedgerError, match="There is no ledger"):
        status_of(Place(tmp_path))


def test_members_are_looked_up_before_anything_is_sent(write_csv, tmp_path):
    with staged(write_csv(20), Reading(), Place(tmp_path)) as ledger:
        ledger.begin_run("members", target="there", version="0", settings={})
        ledger.end_run(exit_code=ExitCode.NOT_ALL_ACCEPTED, host_switches=0)
        assert status_of(Place(tmp_path)).phase is Phase.STAGED
        ledger.begin_run("members", target="there", version="0", settings={})
        ledger.end_run(exit_code=ExitCode.INTERRUPTED, host_switches=0)
        assert status_of(Place(tmp_path)).phase is Phase.ENDED


def test_a_job_is_watched_until_it_has_ended(write_csv, tmp_path):
    def date(at: int) -> None:
        with closing(sqlite3.connect(tmp_path / LEDGER)) as db, db:
            db.execute("UPDATE runs SET started_at = ?1, ended_at = iif(ended_at IS NULL, NULL, ?1)", (at,))

    with staged(write_csv(20), Reading(), Place(tmp_path)) as ledger:

        def begin(command: str) -> None:
            ledger.begin_run(command, target="there", version="0", settings={})
            date(LONG_AFTER)

        def end(code: ExitCode) -> None:
            ledger.end_run(exit_code=code, host_switches=0)
            date(LONG_AFTER)

        steps = [
            lambda: begin("plan"),
            lambda: end(ExitCode.DONE),
            lambda: begin("run"),
            lambda: end(ExitCode.STOPPED),
            lambda: date(LONG_AGO),
        ]
        seen = [found.phase for found in watch_status(Place(tmp_path), wait=lambda _seconds: steps.pop(0)())]
    assert seen == [Phase.STAGED, Phase.SENDING, Phase.ENDED, Phase.SENDING, Phase.ENDED, Phase.ENDED]


def test_a_status_in_one_line():
    counts = StateCounts(accepted=1200, pending=3800)
    sending = Status(
        source="a.csv", counts=counts, command="run", phase=Phase.SENDING, rate=100.0, seconds_left=38, runs=1
    )
    assert status_line(sending) == "1,200 accepted, 3,800 pending of 5,000: sending 100 per second, about 38 s left"
    reading = Status(source="a.csv", counts=StateCounts(), phase=Phase.READING, read=0.5)
    assert status_line(reading) == "reading the source: 50%"


def worker(number: int) -> WorkerRecord:
    return WorkerRecord(
        name=f"host-{number}:7", started_at=1000.0, seen_at=1090.0 + number, requests=1 + 1200 * number, accepted=number
    )


@pytest.fixture
def in_database(tables, sandbox, settings_for, write_csv, tmp_path) -> Place:
    """A job in a database whose run has begun long ago."""
    settings = settings_for(write_csv(3), sandbox(), job=tmp_path / "job", ledger=tables)
    with open_job(settings) as job:
        job.ledger.begin_run("run", target="there", version="0", settings={})
    with psycopg.connect(tables) as connection:
        connection.execute(f"UPDATE {schema_of(job.ledger.job)}.runs SET started_at = 0")
    return Place(settings.job_folder, tables)


def test_a_run_is_sending_as_long_as_its_process_lives(in_database):
    assert status_of(in_database).phase is Phase.SILENT
    with in_database.opened():
        assert status_of(in_database).phase is Phase.SENDING


def test_a_job_in_a_database_is_watched_while_that_is_away(in_database, postgres_server):
    steps = [lambda: gone.enter_context(away(postgres_server, in_database.url)), lambda: gone.close()]
    with ExitStack() as gone:
        watched = watch_status(in_database, wait=lambda _seconds: steps.pop(0)())
        assert [next(watched).phase for _ in range(3)] == [Phase.SILENT] * 3
    assert steps == []


def test_the_workers_are_those_that_were_seen_last():
    def lines(*workers: WorkerRecord) -> list[str]:
        status = Status(source="", counts=StateCounts(), phase=Phase.ENDED, workers=workers)
        return [line for line in status_lines(status, 1100.0) if "host-" in line or "and" in line]

    assert lines() == []
    assert lines(worker(0), worker(1)) == [
        "Workers   host-0:7: 0 accepted, 1 request in 1 min 30 s; last seen 10 s ago",
        "          host-1:7: 1 accepted, 1,201 requests in 1 min 31 s; last seen 9 s ago",
    ]
    assert [line.split(":")[0] for line in lines(*map(worker, range(7)))] == [
        "Workers   host-2",
        *(f"          host-{number}" for number in (3, 4, 5, 6)),
        "          and 2 workers before",
    ]


def test_as_json_workers_have_times_in_iso_8601():
    shown = Status(source="", counts=StateCounts(), phase=Phase.ENDED, workers=(worker(0),)).as_dict()
    assert shown["workers"] == [
        {
            "name": "host-0:7",
            "started_at": "1970-01-01T00:16:40.000Z",
            "seen_at": "1970-01-01T00:18:10.000Z",
            "requests": 1,
            "accepted": 0,
        }
    ]


def test_as_json_it_has_counts_by_state_and_times_in_iso_8601(sandbox, settings_for, write_csv):
    settings = settings_for(write_csv(3), sandbox())
    asyncio.run(run_job(settings))
    shown = json.loads(status_of(Place(settings.job_folder)).as_json())
    assert shown["states"]["accepted"] == 3
    assert shown["phase"] == "ended"
    assert shown["last_attempt_at"].endswith("Z")


@pytest.fixture
def jobs(write_csv, tmp_path):
    """A folder with a job that was not sent, one inside it, a damaged one, one that is read, and other things."""
    inner = Path("职员.aliases", "undo.aliases")
    for folder in (inner.parent, inner):
        with staged(write_csv(20), Reading(), Place(tmp_path / "work" / folder)):
            pass
    for name in ("a damaged one", ".hidden", "photos"):
        (tmp_path / "work" / name).mkdir()
        (tmp_path / "work" / name / ("cat.jpg" if name == "photos" else LEDGER)).write_bytes(b"x" * 5000)
    (tmp_path / "work" / "read").mkdir()
    noted = {"source": "rows.csv", "done": 30, "total": 120, "at": LONG_AFTER}
    (tmp_path / "work" / "read" / PROGRESS).write_text(json.dumps(noted), encoding="utf-8")
    return tmp_path / "work"


def test_the_jobs_in_a_folder_and_below_it(jobs, monkeypatch):
    monkeypatch.chdir(jobs)
    with SqliteLedger(jobs / "职员.aliases") as ledger:
        ledger.begin_run("run", target="there", version="0", settings={})
        ledger.end_run(exit_code=ExitCode.INTERRUPTED, host_switches=0)
        ended_at = ledger.runs()[0].end
    found = list(jobs_below(Path()))
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(ended_at))
    assert list(jobs_lines(found, None)) == [
        "Job                        State                    Rows  Not accepted  Last run",
        "a damaged one              cannot be read",
        "  The ledger a damaged one/ledger.sqlite is damaged: file is not a database.",
        "read                       reading the source",
        f"职员.aliases               interrupted, 20 pending    20             0  {at}",
        "职员.aliases/undo.aliases  not sent yet               20             0",
    ]
    damaged, read, interrupted, inner = json.loads(jobs_as_json(found))
    assert set(damaged) == {"job", "error", "advice"}
    assert (read["job"], read["read"]) == ("read", 0.25)
    assert Path(inner["job"]) == Path("职员.aliases", "undo.aliases")
    assert (interrupted["exit_code"], interrupted["states"]["pending"]) == (130, 20)
    assert interrupted["last_run_at"].endswith("Z")


def test_the_list_of_jobs_fits_a_terminal(jobs):
    (jobs / "职员.aliases").rename(jobs / f"{'职员' * 30}.aliases")
    lines = list(jobs_lines(jobs_below(jobs), 80))
    long = [line for line in lines if wcwidth.width(line) > 80]
    assert {line.split("/")[-1] for line in long} <= {"a damaged one", "read", "undo.aliases", f"{'职员' * 30}.aliases"}
    assert len({wcwidth.width(line) for line in lines if line.endswith("0")}) == 1


def test_the_job_in_a_folder_itself_is_listed(jobs):
    assert [place.folder.name for place, _ in jobs_below(jobs / "职员.aliases")] == ["职员.aliases", "undo.aliases"]
    assert list(jobs_below(jobs / "photos")) == []
    with pytest.raises(UsageError, match="There is no folder"):
        list(jobs_below(jobs / "nowhere"))


@pytest.mark.parametrize(
    ("status", "label"),
    [
        ({"phase": Phase.SENDING, "counts": StateCounts(pending=5)}, "under way, 5 pending"),
        ({"phase": Phase.SILENT}, "killed or waiting"),
        ({"phase": Phase.STAGED, "counts": StateCounts(pending=5)}, "not sent yet"),
        ({"phase": Phase.ENDED, "exit_code": 0}, "ended"),
        ({"phase": Phase.ENDED, "exit_code": 1, "counts": StateCounts(pending=2000)}, "ended, 2,000 pending"),
        ({"phase": Phase.ENDED, "exit_code": 4, "counts": StateCounts(pending=2)}, "stopped, 2 pending"),
        ({"phase": Phase.ENDED, "exit_code": 130}, "interrupted"),
    ],
)
def test_what_a_job_is_doing_in_a_few_words(status, label):
    listed = Path("job"), Status(**{"source": "a.csv", "counts": StateCounts()} | status)
    _, line = jobs_lines([listed], None)
    assert line.split("  ")[1] == label


def test_rows_that_are_not_accepted_are_counted_in_the_list():
    counts = StateCounts(rejected=1, conflict=20, failed=300, unknown=4000, pending=9, accepted=9, superseded=9)
    _, line = jobs_lines([(Path("job"), Status(source="a.csv", counts=counts, phase=Phase.STAGED))], None)
    assert line.split() == ["job", "not", "sent", "yet", "4,348", "4,321"]
