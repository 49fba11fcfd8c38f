from dataclasses import asdict, replace
from pathlib import Path

import pytest

from batch_alias.ledger import ADDRESS, REFUSED, Place
from batch_alias.model import State, StateCounts
from batch_alias.problems import ACCEPTABLE, REJECTIONS, found
from batch_alias.reports.advice import advise, conclude, next_steps
from batch_alias.reports.rows import NOT_ACCEPTED, write_not_accepted
from batch_alias.reports.summary import Summary
from batch_alias.reports.wording import facts
from batch_alias.settings import Reading
from batch_alias.staging import staged
from batch_alias.text import _, to_json
from tests.support.jobs import job_info
from tests.support.rows import a_row, described

INFO = job_info()


def a_summary(
    exit_code: int | None = 1,
    *,
    runs: int = 1,
    stopped: str = "",
    changes: dict[str, int] | None = None,
    verified: int = 0,
    differs: int = 0,
    left_out: int = 0,
    **states: int,
) -> Summary:
    counts = StateCounts(**states)
    return Summary(
        version="1.0",
        source="names.csv",
        sha256="",
        rows=counts.rows,
        blank_rows=0,
        states=asdict(counts),
        target="api.example.com",
        runs=runs,
        started_at="",
        ended_at="",
        changes=changes or {},
        reads=0,
        read_refusals=0,
        verified=verified,
        differs=differs,
        left_out=left_out,
        sending_seconds=1.0,
        requests=1,
        retries=0,
        refusals=0,
        mean_rate=1.0,
        busiest_second=1,
        latency_ms={},
        codes={},
        host_switches=0,
        exit_code=exit_code,
        stopped=stopped,
    )


@pytest.mark.parametrize(
    ("summary", "tone", "sentence"),
    [
        (a_summary(0, accepted=300), "good", "All 300 aliases were accepted."),
        (a_summary(0, accepted=1), "good", "The alias was accepted."),
        (a_summary(0, accepted=290, superseded=10), "good", "All 290 aliases were accepted."),
        (a_summary(1, accepted=2), "good", "All 2 aliases were accepted."),
        (
            a_summary(0, accepted=120, unchanged=180),
            "good",
            "All 300 aliases are set: 120 accepted, 180 were so already.",
        ),
        (a_summary(0, accepted=2, unchanged=1), "good", "All 3 aliases are set: 2 accepted, 1 was so already."),
        (a_summary(0, unchanged=180), "good", "All 180 aliases were so already."),
        (a_summary(0, unchanged=1, superseded=1), "good", "The alias was so already."),
        (
            a_summary(1, accepted=9, unchanged=1, verified=7, differs=2),
            "warning",
            "2 of 9 accepted rows not as sent when read back.",
        ),
        (a_summary(accepted=2, left_out=1), "warning", "All 2 aliases were accepted."),
        (a_summary(4, pending=2, left_out=1), "bad", "Stopped by the service: 0 of 2 rows accepted."),
        (a_summary(0, accepted=2, unknown=1), "warning", "1 of 3 rows was not accepted."),
        (a_summary(accepted=288, failed=9, rejected=3), "warning", "12 of 300 rows were not accepted."),
        (a_summary(accepted=299, failed=1), "warning", "1 of 300 rows was not accepted."),
        (a_summary(accepted=5, pending=5), "warning", "5 of 10 rows accepted; 5 not sent yet."),
        (a_summary(accepted=1, unchanged=4, pending=5), "warning", "5 of 10 rows done; 5 not sent yet."),
        (a_summary(accepted=1, unchanged=4, conflict=5), "warning", "5 of 10 rows were not accepted."),
        (a_summary(0, pending=5, changes={"set": 5}), "warning", "Nothing has been sent."),
        (a_summary(4, accepted=1200, pending=800), "bad", "Stopped by the service: 1,200 of 2,000 rows accepted."),
        (a_summary(130, accepted=1, pending=1), "warning", "Interrupted: 1 of 2 rows accepted."),
        (a_summary(None, accepted=1, pending=1), "warning", "Not finished: 1 of 2 rows accepted."),
        (a_summary(None, runs=0, pending=2), "warning", "Nothing has been sent."),
        (a_summary(3, runs=0, rejected=2), "warning", "Nothing has been sent."),
        (a_summary(accepted=3, failed=1, rejected=2, pending=2), "warning", "3 of 8 rows were not accepted."),
    ],
)
def test_the_result_in_a_sentence(summary, tone, sentence):
    found = conclude(summary)
    assert (found.tone, found.sentence) == (tone, sentence)


@pytest.mark.parametrize(
    ("summary", "detail"),
    [
        (a_summary(4, accepted=1, pending=1, stopped="The app is locked."), "The app is locked."),
        (a_summary(0, accepted=1, superseded=2), "2 rows not sent: a later row sets the same user and group."),
        (a_summary(3, runs=0, rejected=2), "Too many rows are rejected."),
        (a_summary(conflict=1, failed=1), "1 conflict: the alias is not the one that may be replaced."),
        (a_summary(failed=1, pending=2), "2 rows not sent yet."),
        (a_summary(0, pending=5, changes={"set": 1, "replace": 3}), "The aliases of 4 rows were read."),
        (a_summary(0, accepted=2, verified=2), "Read back and as sent: 2 rows."),
        (
            a_summary(1, accepted=2, verified=1, differs=1),
            "All 2 aliases were accepted. Read back and as sent: 1 row.",
        ),
        (a_summary(accepted=2, left_out=1), "1 row of the job is left out: its alias before was not read."),
        (
            a_summary(accepted=2, verified=2, left_out=3),
            "Read back and as sent: 2 rows. 3 rows of the job are left out: their alias before was not read.",
        ),
        (a_summary(None, pending=1), "The last run was killed, or is still running."),
    ],
)
def test_the_detail_says_why(summary, detail):
    assert conclude(summary).detail == detail


def test_a_finished_job_has_no_next_step(job):
    job.stage({})
    assert next_steps(a_summary(0, accepted=3, superseded=2), Path("job"), INFO, job.ledger) == []


def test_the_commands_of_next_steps_can_be_pasted_into_a_shell(job):
    info = replace(
        INFO, header=("my id", "groupId", "remark"), reading={"user_column": "B", "sheet": None, "accept": []}
    )
    job.stage({"remark": "a"})
    job.run(argv=["run", "my names.csv", "--sandbox"])
    summary = a_summary(pending=2, failed=1, unknown=1, rejected=1)
    steps = next_steps(summary, Path("my job"), info, job.ledger)
    assert [step.command for step in steps] == [
        "batch-alias run 'my names.csv' --sandbox",
        "batch-alias retry 'my job'",
        "batch-alias run 'my job/not-accepted.csv' --job 'my job/not-accepted.aliases' --user-column 'my id'",
    ]
    assert "Send 2 rows not sent yet: " in steps[0].text
    assert "1 failed row " in steps[1].text
    assert "2 rejected or failed rows " in steps[2].text


def test_rows_that_are_not_sent_yet_are_never_sent_by_the_file_of_those_not_accepted(job):
    job.stage({})
    (step,) = next_steps(a_summary(130, accepted=3, pending=2), Path("job"), INFO, job.ledger)
    assert step.text == "Send 2 rows not sent yet: the same command continues where it ended."


@pytest.mark.parametrize(
    ("argvs", "command"),
    [
        ([], ""),
        ([["run", "a b.csv", "--region", "beijing"]], "batch-alias run 'a b.csv' --region beijing"),
        ([["plan", "a.csv", "--rate", "9"]], "batch-alias run a.csv --rate 9"),
        ([["run", "a.csv"], ["retry", "job", "--sandbox"], ["verify", "job"]], "batch-alias retry job --sandbox"),
    ],
)
def test_the_command_that_continues_is_the_one_that_was_run(job, argvs, command):
    job.stage({"remark": "a"})
    for argv in argvs:
        job.run(argv=argv)
    (step,) = next_steps(a_summary(130, accepted=3, pending=2), Path("job"), INFO, job.ledger)
    assert step.command == command


@pytest.mark.parametrize(
    ("exit_code", "more"), [(3, " To send the others without them, add --max-rejected 22%."), (None, "")]
)
def test_before_anything_is_sent_the_source_itself_is_corrected(job, exit_code, more):
    job.stage({"remark": "a"})
    job.ledger.set_meta(REFUSED, '["run", "names.csv", "--sandbox"]')
    (step,) = next_steps(a_summary(exit_code, runs=0, rejected=65, pending=235), Path("job"), INFO, job.ledger)
    assert step.command == "batch-alias run names.csv --sandbox"
    assert step.text == f"Correct 65 rejected rows in names.csv and run the same command again.{more}"


def test_what_is_corrected_is_run_with_the_guard_of_the_job(job):
    job.stage({"remark": "a"})
    job.ledger.set_meta("only_absent", "")
    steps = next_steps(a_summary(rejected=1, conflict=1), Path("job"), INFO, job.ledger)
    assert steps[0].command == "batch-alias run job/not-accepted.csv --job job/not-accepted.aliases --only-absent"


@pytest.mark.parametrize(
    ("address", "again", "new"),
    [
        ({"region": "beijing"}, "", " --region beijing"),
        (
            {"url": "https://a.example", "ca_bundle": "/my ca.pem"},
            "",
            " --url https://a.example --ca-bundle '/my ca.pem'",
        ),
        ({"sandbox": True}, " --sandbox", " --sandbox"),
    ],
)
def test_a_new_job_goes_where_the_rows_went_and_the_job_itself_knows_it(job, address, again, new):
    job.stage({"remark": "a"})
    job.ledger.set_meta(ADDRESS, to_json(address))
    steps = next_steps(a_summary(accepted=1, failed=1), Path("job"), INFO, job.ledger)
    assert [step.command for step in steps] == [
        f"batch-alias retry job{again}",
        f"batch-alias run job/not-accepted.csv --job job/not-accepted.aliases{new}",
    ]


def test_the_same_command_sends_the_unknown_rows_with_those_that_are_not_sent_yet(job):
    job.stage({})
    (step,) = next_steps(a_summary(130, accepted=3, pending=2, unknown=5), Path("job"), INFO, job.ledger)
    assert step.text.startswith("Send 2 rows not sent yet: the same command")
    (step,) = next_steps(a_summary(accepted=3, unknown=5), Path("job"), INFO, job.ledger)
    assert step.text == "Send 5 unknown rows again: setting an alias twice does no harm."


def test_rows_that_failed_are_sent_again_before_they_are_corrected(job):
    job.stage({})
    steps = next_steps(a_summary(accepted=3, failed=2), Path("job"), INFO, job.ledger)
    assert [step.text for step in steps] == [
        "Send 2 failed rows again: setting an alias twice does no harm.",
        "If that does not help, correct 2 failed rows in not-accepted.csv and run that file.",
    ]


def test_what_the_source_was_read_with_is_said_again_as_far_as_it_is_not_usual(job):
    job.stage({})
    names = {"user_column": None, "remark_column": "D", "expect_column": "4"}
    reading = asdict(Reading(**names, empty="clear", format="csv", verbatim=True)) | {"accept": []}
    info = replace(INFO, header=("userId", "was", "groupId", "new"), columns=(0, 2, 3, 1), reading=reading)
    sent = replace(info, reading=reading | {"verbatim": False})
    [step] = next_steps(a_summary(accepted=1, rejected=1), Path("job"), sent, job.ledger)
    columns = "--remark-column new --expect-column was --empty clear"
    assert step.command == f"batch-alias run job/not-accepted.csv --job job/not-accepted.aliases {columns}"
    assert facts(info, [])["Read with"] == ["--remark-column D", "--expect-column 4", "--empty clear", "--format csv"]
    assert facts(info, [])["Column of expected"] == ["was"]
    assert "Read with" not in facts(replace(INFO, reading=asdict(Reading())), [])


def test_conflicts_have_a_step_without_a_command(job):
    job.stage({})
    (step,) = next_steps(a_summary(accepted=1, unchanged=1, conflict=3), Path("job"), INFO, job.ledger)
    assert step.text.startswith("Decide about 3 conflicts. ")
    assert not step.command


def test_what_is_left_of_an_undo_is_only_retried(job):
    job.stage({})
    info = replace(INFO, reading=asdict(Reading(empty="clear", format="csv", verbatim=True)))
    summary = a_summary(accepted=1, pending=1, failed=1, rejected=1, conflict=1, differs=1)
    steps = next_steps(summary, Path("job/undo.aliases"), info, job.ledger)
    retry = "batch-alias retry job/undo.aliases"
    assert [step.command for step in steps] == [retry, retry, "", ""]
    for text in [*(step.text for step in steps), advise(a_row(State.CONFLICT), info)]:
        assert "same source" not in text
        assert "not-accepted.csv" not in text


def test_rows_that_differ_can_be_sent_again(job):
    job.stage({})
    summary = a_summary(accepted=3, verified=1, differs=2)
    (step,) = next_steps(summary, Path("my job"), INFO, job.ledger)
    assert "2 rows in differs.csv" in step.text
    assert step.command == "batch-alias run 'my job/differs.csv' --job 'my job/differs.aliases'"
    for empty, more in (("clear", " --empty clear"), ("reject", "")):
        (step,) = next_steps(summary, Path("my job"), replace(INFO, reading={"empty": empty}), job.ledger)
        assert step.command == f"batch-alias run 'my job/differs.csv' --job 'my job/differs.aliases'{more}"


@pytest.mark.parametrize("reason", REJECTIONS)
def test_a_rejected_row_has_the_advice_of_its_reason(reason):
    advice = advise(a_row(State.REJECTED, reason=reason), INFO)
    assert advice.startswith(REJECTIONS[reason].advice)
    assert (f"--accept {reason}" in advice) == (reason in ACCEPTABLE and not REJECTIONS[reason].is_damage)


def test_accepting_is_not_proposed_where_the_text_that_was_meant_is_lost():
    values = {"column": "'u'", "value": "'1'"}
    messages = [found("number-format", final=final, **values).message for final in (False, True)]
    rows = [a_row(State.REJECTED, reason="number-format", message=message) for message in messages]
    advised = [advise(row, INFO) for row in rows]
    assert ["--accept" in advice for advice in advised] == [True, False]


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        (None, described("no connection", "refused"), "batch-alias retry"),
        (None, described("HTTP {status} from a gateway", "<html>", status=403), "A gateway refuses this row"),
        (None, _("the alias could not be read before it was set: {why}", why="HTTP 502"), "batch-alias retry"),
        (1002, "", "Check the ids"),
        (1003, "", "batch-alias retry"),
        (1005, "", "Shorten"),
    ],
)
def test_a_failed_row_has_the_advice_of_its_code(code, message, advice):
    assert advice in advise(a_row(State.FAILED, code=code, message=message), INFO)


@pytest.mark.parametrize("state", NOT_ACCEPTED)
def test_a_row_that_is_not_done_has_advice_even_for_unknown_reasons_and_codes(state):
    assert advise(a_row(state, reason="from-a-later-version", code=4711), INFO).endswith(".")


@pytest.mark.parametrize("state", [State.ACCEPTED, State.UNCHANGED, State.SUPERSEDED])
def test_a_row_that_is_done_has_no_advice(state):
    assert advise(a_row(state), INFO) == ""


def test_the_file_of_what_is_left_of_a_source_without_a_header_can_be_run(tmp_path):
    source = tmp_path / "names.csv"
    source.write_text("u1,g1,\nu2,g1,b\n", encoding="utf-8")
    reading = Reading(no_header=True, user_column="A", group_column="B", remark_column="C")
    with staged(source, reading, Place(tmp_path / "job")) as ledger:
        copy = tmp_path / "job" / "not-accepted.csv"
        write_not_accepted(copy, ledger)
        (step,) = next_steps(a_summary(accepted=1, rejected=1), tmp_path / "job", ledger.info(), ledger)
    assert step.command.endswith("--user-column 1 --group-column 2 --remark-column 3 --header-row 1")
    copy.write_text(copy.read_text(encoding="utf-8").replace(",g1,", ",g1,a"), encoding="utf-8")
    reading = Reading(user_column="1", group_column="2", remark_column="3", header_row=1)
    with staged(copy, reading, Place(tmp_path / "again")) as ledger:
        assert [row[:5] for row in ledger.rows()] == [(2, "u1", "g1", "a", "pending")]
