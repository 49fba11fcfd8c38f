"""Whole jobs with their ledger in PostgreSQL: what is sent and reported is what it is with one in a folder."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from batch_alias.errors import ExitCode, LedgerError, SourceError
from batch_alias.ledger import Place
from batch_alias.ledger.writer import NOT_A_MEMBER
from batch_alias.model import State
from batch_alias.sandbox import Faults
from batch_alias.settings import Comparing, Reading
from tests.support.faults import Script, coded, on_writes

ROWS = 40
OF_A_RUN = {"attempts", "request_id", "finished_at", "verified_at"}
"""Columns of ``results.csv`` that differ from run to run."""
Steps = Callable[..., Path]
"""What is done for a job, given its settings for its ledger; returns the folder with the reports."""


def source() -> list[tuple[str, str, str]]:
    """Rows to send, and some that are repeated, rejected, odd, or clear an alias."""
    remarks = ("名字🐉", "R&D 50%+ 'x' \"y\" \\N", "a\\tb", "-1", "")
    rows = [(f"u{n}", f"g{n % 7}", remarks[n % len(remarks)]) for n in range(ROWS)]
    return [*rows, ("u1", "g1", "again"), ("", "g1", "nobody"), ("u2", "g2", "x" * 200), ("U3", "g3", "other case")]


def before() -> dict[tuple[str, str], str]:
    return {(f"g{n % 7}", f"u{n}"): f"老 {n}" for n in range(0, ROWS, 3)}


@pytest.fixture
def compare(tables, tmp_path, results) -> Callable[[Steps], None]:
    """Do the same with a ledger in a folder and with one in a database; the reports must be the same."""

    def do(steps: Steps) -> None:
        places = {"folder": {}, "database": {"ledger": tables}}
        tables_of = [results(steps(job=tmp_path / name, **more)).rows for name, more in places.items()]
        in_folder, in_database = ([withouttimes(row) for row in rows] for rows in tables_of)
        assert in_database == in_folder
        assert len(in_folder) == len(source())

    return do


def withouttimes(row: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in row.items() if name not in OF_A_RUN}


def test_a_run_with_faults(compare, run, sandbox, settings_for, write_csv, results):
    path = write_csv(source())

    def steps(**more) -> Path:
        served = sandbox(Faults(errors=0.05, drops=0.05, pages=0.02, refusals=0.02, seed=4))
        settings = settings_for(path, served, max_rejected=0.5, reading=Reading(empty="clear"), **more)
        assert run(settings).exit_code == ExitCode.NOT_ALL_ACCEPTED
        accepted = results(settings.job_folder).accepted
        assert served.aliases() == {key: alias for key, alias in accepted.items() if alias}
        return settings.job_folder

    compare(steps)


def test_a_run_that_is_interrupted_and_gone_on_with(compare, run, sandbox, settings_for, write_csv, at_request):
    path = write_csv(source())

    def steps(**more) -> Path:
        served, jobs = sandbox(), []
        served.faults = at_request(15, lambda: jobs[0].stop())
        settings = settings_for(path, served, max_rejected=0.5, rate=100, max_in_flight=4, **more)
        assert run(settings, beside=jobs.append).exit_code == ExitCode.INTERRUPTED
        assert 15 <= served.stats().sets < 25
        assert run(settings).exit_code == ExitCode.NOT_ALL_ACCEPTED
        assert served.stats().sets == len(served.aliases())
        return settings.job_folder

    compare(steps)


def test_failed_rows_that_are_sent_again(compare, run, sandbox, settings_for, write_csv):
    path = write_csv(source())

    def steps(**more) -> Path:
        served = sandbox(on_writes(lambda number: coded(1005) if number % 4 else None))
        settings = settings_for(path, served, max_rejected=0.5, **more)
        assert run(settings).states[State.FAILED] > ROWS / 2
        served.faults = Faults()
        again = settings_for(None, served, max_rejected=0.5, **more)
        assert run(again).states[State.FAILED] == 0
        return settings.job_folder

    compare(steps)


def test_a_run_that_compares_and_verifies(compare, run, sandbox, settings_for, write_csv):
    path = write_csv(source())

    def steps(**more) -> Path:
        served = sandbox(aliases=before())
        comparing = Comparing(compare=True, verify=True)
        settings = settings_for(path, served, max_rejected=0.5, comparing=comparing, **more)
        assert run(settings).exit_code == ExitCode.NOT_ALL_ACCEPTED
        return settings.job_folder

    compare(steps)


def test_users_who_are_not_in_their_group(compare, run, sandbox, settings_for, write_csv):
    path = write_csv(source())
    members = {f"g{n}": [f"u{number}" for number in range(n, ROWS - 7, 7)] for n in range(7)}

    def steps(**more) -> Path:
        served = sandbox(members=members)
        comparing = Comparing(members="reject")
        settings = settings_for(path, served, max_rejected=0.9, comparing=comparing, **more)
        assert run(settings).exit_code == ExitCode.NOT_ALL_ACCEPTED
        with Place(settings.job_folder, settings.ledger).read() as ledger:
            assert NOT_A_MEMBER in {row.reason for row in ledger.rows(State.REJECTED)}
        assert not [key for key in served.aliases() if key[1] not in members[key[0]]]
        return settings.job_folder

    compare(steps)


def test_every_command_finds_a_job_from_anywhere(batch_alias, sandbox, tables, write_csv, tmp_path, monkeypatch):
    path, served = write_csv([row for row in source()[:ROWS] if row[2]]), sandbox(aliases=before())
    given = ("--ledger", tables, "--rate", "1000")
    planned = batch_alias("plan", path, *given, "--job", "新 job", to=served)
    assert planned.code == ExitCode.DONE, planned.err
    assert (tmp_path / "新 job.aliases" / "plan.csv").exists()
    assert served.aliases() == before()
    for number, (command, *more) in enumerate(
        (["run", path, "--job", "新 job", "--yes"], ["verify", "新 job"], ["undo", "新 job", "--yes"])
    ):
        elsewhere = tmp_path / str(number)
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        ended = batch_alias(command, *more, *given, to=served)
        assert ended.code == ExitCode.DONE, ended.err
        assert (elsewhere / "新 job.aliases").is_dir()
    assert served.aliases() == before()
    monkeypatch.setenv("BATCH_ALIAS_LEDGER", tables)
    assert batch_alias("report", "新 job").code == ExitCode.DONE
    with (elsewhere / "新 job.aliases" / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        assert {row["state"] for row in csv.DictReader(file)} == {State.ACCEPTED}
    status = json.loads(batch_alias("status", "新 job.undo", "--json").out)
    assert status["states"][State.ACCEPTED] > 0
    listed = json.loads(batch_alias("jobs", "--json").out)
    assert len(listed) == 2
    retried = batch_alias("retry", "新 job", "--yes", to=served)
    assert retried.code == ExitCode.DONE, retried.err
    assert {path.name for path in elsewhere.iterdir()} == {"新 job.aliases", "新 job.undo.aliases"}


def test_a_check_of_members_shares_the_quota_in_the_database(batch_alias, sandbox, tables, write_csv):
    served = sandbox(members={"g0": ["u0"]})
    checked = batch_alias("check", write_csv(1), "--members", "--ledger", tables, to=served)
    assert checked.code == ExitCode.DONE, checked.err
    with psycopg.connect(tables) as connection:
        assert connection.execute("SELECT path FROM batch_alias.quota").fetchall() == [("members",)]


def test_an_undo_is_not_made_again_once_it_was_begun_and_more_was_sent(
    batch_alias, sandbox, tables, write_csv, at_request
):
    served, given = sandbox(aliases=before()), ("--ledger", tables, "--job", "j", "--compare", "--yes")
    path = write_csv([row for row in source()[:ROWS] if row[2]])
    assert batch_alias("run", path, *given, "--limit", 5, to=served).code == ExitCode.NOT_ALL_ACCEPTED
    assert batch_alias("undo", "j", "--ledger", tables, "--yes", to=served).code == ExitCode.DONE
    assert batch_alias("run", path, *given, to=served).code == ExitCode.DONE
    ended = batch_alias("undo", "j", "--ledger", tables, "--yes", to=served)
    assert ended.code == ExitCode.LEDGER
    assert "More rows of the job j were sent since its undo was begun." in ended.err
    assert f"batch-alias retry j.undo --ledger {tables}" in ended.err.replace("'", "")


@pytest.fixture(params=["folder", "database"])
def place(request, tmp_path) -> dict[str, object]:
    """Settings for a ledger in a folder and for one in a database."""
    if request.param == "folder":
        return {}
    return {"job": tmp_path / "job.aliases", "ledger": request.getfixturevalue("tables")}


def test_a_source_is_staged_once_and_again_when_it_changes_before_it_is_sent(
    place, run, sandbox, settings_for, write_csv
):
    served = sandbox(Script(lambda number: coded(1004)))
    settings = settings_for(write_csv(5), served, **place)
    assert run(settings).exit_code == ExitCode.STOPPED
    with Place(settings.job_folder, settings.ledger).read() as ledger:
        first = ledger.info()
    run(settings)
    with Place(settings.job_folder, settings.ledger).read() as ledger:
        assert ledger.info() == first
        assert len(ledger.runs()) == 2
    write_csv(7)
    served.faults = Faults()
    assert run(settings).states[State.ACCEPTED] == 7
    write_csv(8)
    with pytest.raises(LedgerError, match="has changed since the job"):
        run(settings)
    assert served.stats().aliases == 7


def test_too_many_rejected_rows_are_reported_and_send_nothing(place, run, sandbox, settings_for, write_csv):
    served = sandbox()
    settings = settings_for(write_csv([("", "g", "r"), ("u", "g", "r")]), served, **place)
    with pytest.raises(SourceError, match="rejected"):
        run(settings)
    assert (settings.job_folder / "results.csv").exists()
    assert served.stats().requests == 0
    write_csv([("v", "g", "r"), ("u", "g", "r")])
    assert run(settings).exit_code == ExitCode.DONE


def test_a_guard_stays_although_the_source_is_corrected(place, run, sandbox, settings_for, write_csv):
    served = sandbox(Script(lambda number: coded(1004)), aliases={("g0", "u0"): "theirs"})
    guarded = settings_for(write_csv(3), served, comparing=Comparing(only_absent=True), **place)
    assert run(guarded).exit_code == ExitCode.STOPPED
    served.faults = Faults()
    corrected = settings_for(write_csv(4), served, **place)
    assert run(corrected).states[State.CONFLICT] == 1
    assert served.aliases()["g0", "u0"] == "theirs"


def test_what_is_wrong_with_a_ledger_is_said_in_a_sentence(batch_alias, sandbox, tables, write_csv, free_port):
    path, served = write_csv(3), sandbox()
    nobody = f"postgresql://me@127.0.0.1:{free_port()}/db"
    cases = [
        (("jobs",), nobody, ExitCode.LEDGER, "The database cannot be used"),
        (("ledger", "init"), nobody, ExitCode.LEDGER, "The database cannot be used"),
        (("work",), nobody, ExitCode.LEDGER, "The database cannot be used"),
        (("check", path, "--members"), nobody, ExitCode.LEDGER, "The database cannot be used"),
        (("run", path, "--yes"), nobody, ExitCode.LEDGER, "The database cannot be used"),
        (("status", "nothing"), tables, ExitCode.LEDGER, "There is no job nothing in the database"),
        (("retry", "nothing", "--yes"), tables, ExitCode.LEDGER, "There is no job nothing in the database"),
        (("run", path, "--yes"), "postgresql://me:secret@h/db", ExitCode.USAGE, "contains a password"),
        (("jobs",), "mysql://h/db", ExitCode.USAGE, "is not the URL of a database"),
        (("jobs",), "postgresql://[::1/db", ExitCode.USAGE, "is not the URL of a database"),
    ]
    for command, url, code, problem in cases:
        ended = batch_alias(*command, "--ledger", url, to=served)
        assert ended.code == code, (command, ended.err)
        assert problem in ended.err
        assert "Traceback" not in ended.err
        assert "secret" not in ended.err
    assert served.stats().requests == 0


def test_a_folder_with_a_ledger_of_its_own_is_not_that_of_a_job_in_the_database(
    run, sandbox, settings_for, write_csv, tables, batch_alias, tmp_path
):
    served, folder = sandbox(), tmp_path / "own.aliases"
    own = settings_for(write_csv(3), served, job=folder)
    run(own)
    for command in (("run", own.source, "--job", folder, "--yes"), ("report", folder), ("status", folder)):
        ended = batch_alias(*command, "--ledger", tables, to=served)
        assert ended.code == ExitCode.USAGE, ended.err
        assert "has a ledger of its own" in ended.err
    assert served.stats().sets == 3
