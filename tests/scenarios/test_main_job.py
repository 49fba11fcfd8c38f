"""The main job from end to end: what a new user does, and what a script relies on."""

import csv
import json
import shlex

import pytest

from batch_alias import write_job_reports
from batch_alias.errors import ExitCode, LedgerError, SourceError, UsageError
from batch_alias.model import State
from batch_alias.settings import Settings
from tests.support.files import SAMPLES


def test_a_file_is_sent_to_the_sandbox_at_the_rate_of_the_service(command, results, tmp_path):
    lines = (SAMPLES / "nicknames.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "nicknames.csv").write_text("".join(lines[:151]), encoding="utf-8")
    ended = command("run", "nicknames.csv", "--sandbox", "--json", "--job", "job").end()
    assert ended.code == ExitCode.DONE, ended.err
    summary, found = json.loads(ended.out), results()
    assert summary == found.summary
    assert found.states == {State.ACCEPTED: 150}
    assert summary["requests"] - summary["retries"] == 150
    assert summary["busiest_second"] <= 100
    assert "150 accepted of 150 rows" in ended.err
    page = (found.folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>All 150 aliases were accepted.</h1>" in page
    assert "<bdi>nicknames.csv</bdi>" in page
    assert "Rehearsal on the sandbox" in page
    assert "to the sandbox</p>" in page
    assert page.count("<svg") >= 3


@pytest.mark.parametrize("name", ["nicknames.csv", "nicknames.xlsx"])
def test_the_aliases_at_the_server_are_those_of_the_file(name, run, sandbox, settings_for):
    with (SAMPLES / "nicknames.csv").open(encoding="utf-8", newline="") as file:
        wanted = {(row["groupId"], row["userId"]): row["remark"].strip() for row in csv.DictReader(file)}
    served = sandbox()
    assert run(settings_for(SAMPLES / name, served)).exit_code == ExitCode.DONE
    assert served.aliases() == wanted
    assert {"&", "+", "%", '"', ","} <= set("".join(wanted.values()))


def test_a_file_with_too_many_bad_rows_sends_nothing_and_its_reports_name_them(run, results, sandbox, settings_for):
    served = sandbox()
    with pytest.raises(SourceError, match="nothing was sent"):
        run(settings_for(SAMPLES / "bad-rows.csv", served))
    assert served.stats().requests == 0
    found = results()
    assert set(found.states) == {State.REJECTED, State.SUPERSEDED, State.PENDING}
    assert all(row["message"] and row["code"] for row in found.of(State.REJECTED))


def test_bad_rows_are_reported_and_the_others_sent(run, results, sandbox, settings_for):
    served = sandbox()
    summary = run(settings_for(SAMPLES / "bad-rows.csv", served, max_rejected=1.0))
    assert summary.exit_code == ExitCode.NOT_ALL_ACCEPTED
    found = results()
    assert set(found.states) == {State.REJECTED, State.SUPERSEDED, State.ACCEPTED}
    assert served.aliases() == found.accepted
    assert found.accepted["g2001", "u1012"] == "second value"
    assert found.accepted["g2001", "u1015"] == "NULL"
    write_job_reports(found.folder)
    page = (found.folder / "report.html").read_text(encoding="utf-8")
    assert all(row["code"] in page for row in found.of(State.REJECTED))


@pytest.mark.parametrize("column", ["who", "A", "1"])
def test_terminal_and_page_name_the_same_next_command_and_it_works(column, batch_alias, sandbox, tmp_path):
    served = sandbox()
    source = tmp_path / "rows.csv"
    source.write_text("who,groupId,remark\nu1,g1,one\nu3,,no group\nu2,g1,two\n", encoding="utf-8")
    options = ("--max-rejected", "50%", "--yes")
    first = batch_alias("run", source, "--job", "job", "--user-column", column, *options, to=served)
    assert first.code == ExitCode.NOT_ALL_ACCEPTED, first.err
    new = "--job job/not-accepted.aliases --user-column who"
    step = f"batch-alias run job/not-accepted.csv {new} --url {served.url}"
    assert step in first.err
    assert step in (tmp_path / "job" / "report.html").read_text(encoding="utf-8")

    path = tmp_path / "job" / "not-accepted.csv"
    path.write_text(path.read_text(encoding="utf-8-sig").replace("u3,,", "u3,g1,"), encoding="utf-8")
    again = batch_alias(*shlex.split(step)[1:], "--yes")
    assert again.code == ExitCode.DONE, again.err
    assert served.aliases()["g1", "u3"] == "no group"


def test_after_success_the_same_command_sends_nothing(run, sandbox, settings_for, write_csv):
    served = sandbox()
    settings = settings_for(write_csv(20), served)
    first, second = run(settings), run(settings)
    assert (first.exit_code, second.exit_code) == (ExitCode.DONE, ExitCode.DONE)
    assert served.stats().requests == 20
    assert second.states == first.states


def test_after_a_limit_the_next_run_sends_the_other_rows(run, sandbox, settings_for, write_csv):
    served = sandbox()
    source = write_csv(60)
    first = run(settings_for(source, served, limit=20))
    assert (first.exit_code, first.states["pending"]) == (ExitCode.NOT_ALL_ACCEPTED, 40)
    assert run(settings_for(source, served)).exit_code == ExitCode.DONE
    assert (served.stats().requests, served.stats().keys_set_again) == (60, 0)


def test_a_source_that_changed_after_sending_is_refused(run, sandbox, settings_for, write_csv):
    served = sandbox()
    settings = settings_for(write_csv(30), served)
    run(settings)
    write_csv(31)
    with pytest.raises(LedgerError, match="has changed"):
        run(settings)
    assert served.stats().requests == 30


def test_a_second_run_of_a_job_that_is_being_sent_is_refused(command, run, sandbox, settings_for, write_csv, until):
    served = sandbox()
    settings = settings_for(write_csv(2000), served, rate=50)
    second = []

    def run_again(job):
        until(lambda: served.stats().requests > 10)
        try:
            second.append(command("run", settings.source, "--job", settings.job, to=served).end())
        finally:
            job.stop()

    assert run(settings, beside=run_again).exit_code == ExitCode.INTERRUPTED
    assert second[0].code == ExitCode.LEDGER
    assert "locked" in second[0].err


def test_a_job_is_not_continued_for_another_app(run, sandbox, settings_for, target_of, write_csv):
    served, source = sandbox(), write_csv(5)
    run(settings_for(source, served))
    target = target_of(served, app_key="another")
    with pytest.raises(LedgerError, match="another App Key"):
        run(settings_for(source, served, target=target))


def test_a_job_that_was_rehearsed_elsewhere_is_refused_and_not_reported_as_sent(
    run, sandbox, settings_for, target_of, write_csv
):
    mock, real, source = sandbox(), sandbox(), write_csv(5)
    run(settings_for(source, mock))
    target = target_of(real, app_key=mock.app_key)
    for again in (source, None):
        with pytest.raises(LedgerError) as caught:
            run(settings_for(again, real, target=target))
        for named in (mock.url, real.url):
            assert named.removeprefix("http://") in caught.value.problem
    assert real.stats().requests == 0


def test_a_target_that_refused_everything_may_be_corrected(run, sandbox, settings_for, target_of, write_csv):
    wrong, right, source = sandbox(), sandbox(), write_csv(5)
    target = target_of(wrong, app_key=right.app_key)
    assert run(settings_for(source, wrong, target=target)).exit_code == ExitCode.STOPPED
    assert run(settings_for(source, right)).exit_code == ExitCode.DONE


def test_of_a_repeated_pair_only_the_last_row_is_sent(run, sandbox, settings_for, write_csv, results):
    writes = []
    served = sandbox(on_write=writes.append)
    rows = [("u", "g", f"value {n}") for n in range(20)] + [("u", "G", "another group")]
    assert run(settings_for(write_csv(rows), served)).exit_code == ExitCode.DONE
    assert results().states == {State.SUPERSEDED: 19, State.ACCEPTED: 2}
    assert [write.remark for write in writes if write.group_id == "g"] == ["value 19"]


def test_the_reports_can_be_written_again_from_the_ledger_alone(run, sandbox, settings_for, write_csv):
    settings = settings_for(write_csv(30), sandbox())
    run(settings)
    written = {path.name: path.read_bytes() for path in settings.job_folder.iterdir() if path.suffix == ".csv"}
    assert written.keys() == {"results.csv", "not-accepted.csv"}
    for name in written:
        (settings.job_folder / name).unlink()
    assert write_job_reports(settings.job_folder).exit_code == ExitCode.DONE
    assert {name: (settings.job_folder / name).read_bytes() for name in written} == written


def test_without_a_target_nothing_begins(run, write_csv, tmp_path):
    with pytest.raises(UsageError, match="--region"):
        run(Settings(source=write_csv(3), job=tmp_path / "job"))
    assert not (tmp_path / "job").exists()
