"""The main job, end to end: what a newcomer does, and what a script relies on."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from batch_alias.errors import ExitCode, LedgerError
from batch_alias.job import open_job
from batch_alias.model import State
from batch_alias.settings import Settings
from batch_alias.settings.target import Secret

SAMPLES = Path(__file__).parents[2] / "samples"


def test_the_sample_is_sent_to_the_sandbox_from_csv_and_from_excel(command, accounts, tmp_path):
    runs = {
        name: command("run", SAMPLES / name, "--sandbox", "--json", "--job", tmp_path / name)
        for name in ("nicknames.csv", "nicknames.xlsx")
    }
    for name, started in runs.items():
        ended = started.end()
        assert ended.code == ExitCode.DONE, ended.err
        told, found = json.loads(ended.out), accounts(tmp_path / name)
        assert told == found.summary
        assert found.states == {State.ACCEPTED: 300}
        assert (told["requests"], told["retries"], told["refusals"]) == (300, 0, 0)
        assert told["busiest_second"] <= 100
        assert "300 accepted" in ended.err
    first, second = (accounts(tmp_path / name).accepted for name in runs)
    assert first == second


@pytest.mark.parametrize("name", ["nicknames.csv", "nicknames.xlsx"])
def test_the_aliases_at_the_server_are_those_of_the_file_byte_for_byte(name, run, sandbox, settings_for):
    with (SAMPLES / "nicknames.csv").open(encoding="utf-8", newline="") as file:
        wanted = {(row["groupId"], row["userId"]): row["remark"].strip() for row in csv.DictReader(file)}
    running = sandbox()
    assert run(settings_for(SAMPLES / name, running)).exit_code == ExitCode.DONE
    held = running.aliases()
    assert {key: value.encode() for key, value in held.items()} == {key: v.encode() for key, v in wanted.items()}
    assert {"&", "+", "%", '"', ","} <= set("".join(held.values()))


def test_a_file_with_bad_rows_is_refused_with_a_cause_and_sends_nothing(command, accounts, sandbox, tmp_path):
    running = sandbox()
    ended = command("run", SAMPLES / "bad-rows.csv", "--job", "job", to=running).end()
    assert ended.code == ExitCode.SOURCE
    assert "Nothing was sent" in ended.err
    assert running.stats().requests == 0
    found = accounts()
    assert set(found.states) <= {State.REJECTED, State.SUPERSEDED, State.PENDING}


def test_bad_rows_are_accounted_for_and_the_rest_is_sent(command, accounts, sandbox):
    running = sandbox()
    ended = command("run", SAMPLES / "bad-rows.csv", "--job", "job", "--max-rejected", "100%", to=running).end()
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED, ended.err
    found = accounts()
    assert set(found.states) == {State.REJECTED, State.SUPERSEDED, State.ACCEPTED}
    assert running.aliases() == found.accepted
    assert all(row["message"] and row["code"] for row in found.of(State.REJECTED))
    assert found.accepted["g2001", "u1012"] == "second value"
    assert found.accepted["g2001", "u1015"] == "NULL"


def test_terminal_and_page_name_the_same_next_command_and_it_works(command, sandbox, tmp_path):
    running = sandbox()
    source = tmp_path / "rows.csv"
    source.write_text("who,groupId,remark\nu1,g1,one\nu2,g1,two\nu3,,no group\n", encoding="utf-8")
    options = ("--max-rejected", "50%")
    first = command("run", source, "--job", "job", "--user-column", "who", *options, to=running).end()
    assert first.code == ExitCode.NOT_ALL_ACCEPTED, first.err
    step = "batch-alias run job/not-accepted.csv --user-column who"
    assert step in first.err
    assert step in (tmp_path / "job" / "report.html").read_text(encoding="utf-8")

    path = tmp_path / "job" / "not-accepted.csv"
    path.write_text(path.read_text(encoding="utf-8-sig").replace("u3,,", "u3,g1,"), encoding="utf-8")
    again = command(*shlex.split(step)[1:], to=running).end()
    assert again.code == ExitCode.DONE, again.err
    assert running.aliases()["g1", "u3"] == "no group"


def test_run_again_after_success_nothing_is_sent(run, sandbox, settings_for, write_csv):
    running = sandbox()
    settings = settings_for(write_csv(50), running)
    first = run(settings)
    second = run(settings)
    assert (first.exit_code, second.exit_code) == (ExitCode.DONE, ExitCode.DONE)
    assert running.stats().requests == 50
    assert second.states == first.states


def test_a_limit_sends_so_many_rows_and_the_next_run_goes_on(run, sandbox, settings_for, write_csv):
    running = sandbox()
    source = write_csv(60)
    first = run(settings_for(source, running, limit=20))
    assert (first.exit_code, first.states["pending"]) == (ExitCode.NOT_ALL_ACCEPTED, 40)
    assert run(settings_for(source, running)).exit_code == ExitCode.DONE
    assert (running.stats().requests, running.stats().keys_set_again) == (60, 0)


def test_a_wrong_secret_costs_a_handful_of_requests_and_no_row(command, accounts, sandbox, write_csv):
    running = sandbox()
    ended = command(
        "run", write_csv(200), "--job", "job", to=running, environment={"RONGCLOUD_APP_SECRET": "not-the-secret"}
    ).end()
    assert ended.code == ExitCode.STOPPED
    assert 1 <= running.stats().requests <= 5
    assert accounts().states == {State.PENDING: 200}
    assert "RONGCLOUD_APP_SECRET" in ended.err
    assert "Traceback" not in ended.err
    assert command("run", "rows.csv", "--job", "job", "--rate", 1000, to=running).end().code == ExitCode.DONE


def test_a_source_that_changed_after_sending_is_refused(command, sandbox, write_csv):
    running = sandbox()
    source = write_csv(30)
    assert command("run", source, "--job", "job", to=running).end().code == ExitCode.DONE
    write_csv(31)
    ended = command("run", source, "--job", "job", to=running).end()
    assert ended.code == ExitCode.LEDGER
    assert "has changed" in ended.err
    assert running.stats().requests == 30


def test_a_second_run_of_a_job_under_way_is_refused(command, sandbox, write_csv, until):
    running = sandbox()
    source = write_csv(2000)
    first = command("run", source, "--job", "job", to=running)
    until(lambda: running.stats().requests > 10, first)
    second = command("run", source, "--job", "job", to=running).end()
    assert second.code == ExitCode.LEDGER
    assert "locked" in second.err
    assert not first.over


def test_a_job_is_not_continued_for_another_app(run, sandbox, settings_for, write_csv):
    source = write_csv(5)
    run(settings_for(source, sandbox()))
    other = sandbox()
    with pytest.raises(LedgerError, match="another App Key"):
        run(settings_for(source, other))
    assert other.stats().requests == 0


def test_of_a_repeated_pair_only_the_last_is_sent(run, sandbox, settings_for, write_csv, accounts):
    running = sandbox()
    rows = [("u", "g", f"value {n}") for n in range(20)] + [("u", "G", "another group")]
    assert run(settings_for(write_csv(rows), running)).exit_code == ExitCode.DONE
    assert accounts().states == {State.SUPERSEDED: 19, State.ACCEPTED: 2}
    assert [write.remark for write in running.writes() if write.group_id == "g"] == ["value 19"]


def test_the_reports_can_be_written_again_from_the_ledger_alone(command, run, sandbox, settings_for, write_csv):
    settings = settings_for(write_csv(30), sandbox())
    run(settings)
    written = {path.name: path.read_bytes() for path in settings.job_folder.iterdir() if path.suffix == ".csv"}
    assert len(written) == 2
    for name in written:
        (settings.job_folder / name).unlink()
    assert command("report", settings.job_folder).end().code == ExitCode.DONE
    assert {name: (settings.job_folder / name).read_bytes() for name in written} == written


def test_nobody_but_the_owner_may_read_the_ledger(run, sandbox, settings_for, write_csv):
    settings = settings_for(write_csv(3), sandbox())
    run(settings)
    assert (settings.job_folder / "ledger.sqlite").stat().st_mode & 0o777 == 0o600


def test_without_a_service_or_credentials_nothing_begins(command, write_csv, tmp_path):
    source = write_csv(3)
    nowhere = command("run", source).end()
    keyless = command("run", source, "--region", "beijing").end()
    assert (nowhere.code, keyless.code) == (ExitCode.USAGE, ExitCode.USAGE)
    assert "--region" in nowhere.err
    assert "RONGCLOUD_APP_KEY" in keyless.err
    assert not (tmp_path / "rows.aliases").exists()


def test_a_job_that_was_never_run_cannot_be_retried(tmp_path, sandbox, service_of):
    settings = Settings(job=tmp_path / "nothing", service=service_of(sandbox()))
    with pytest.raises(LedgerError, match="no ledger"), open_job(settings):
        pass
    assert not (tmp_path / "nothing").exists()


def test_progress_goes_to_stderr_and_only_json_to_stdout(command, sandbox, write_csv):
    running = sandbox()
    source = write_csv(10)
    quiet = command("run", source, "--job", "a", "--quiet", to=running).end()
    telling = command("run", source, "--job", "b", "--json", to=running).end()
    assert (quiet.out, quiet.err) == ("", "")
    assert json.loads(telling.out)["states"]["accepted"] == 10
    assert re.search(r"To send +10 rows", telling.err)


def test_a_key_that_no_app_has_is_named_before_anything_is_sent(sandbox, settings_for, write_csv, run, service_of):
    running = sandbox()
    wrong = service_of(running, app_key="nobody", app_secret=Secret("x"))
    summary = run(settings_for(write_csv(40), running, service=wrong))
    assert summary.exit_code == ExitCode.STOPPED
    assert "RONGCLOUD_APP_KEY" in summary.stopped
    assert running.stats().requests <= 3
    assert summary.states["pending"] == 40
