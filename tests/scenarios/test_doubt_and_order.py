"""In doubt is not failed; and an earlier value never lands after a later one."""

import pytest

from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.sandbox.faults import Faults, Forced, Trouble


@pytest.mark.parametrize("trouble", [Trouble.HANG_AFTER, Trouble.DROP_AFTER, Trouble.INTERNAL_TIMEOUT])
def test_a_row_out_of_attempts_without_an_answer_is_unknown_and_sent_by_the_next_run(
    trouble, run, sandbox, settings_for, write_csv, accounts
):
    running = sandbox(Faults(shares={trouble: 0.15}, seed=21))
    settings = settings_for(write_csv(100), running, attempts=1, timeout=0.3)
    first = run(settings)
    assert first.exit_code == ExitCode.NOT_ALL_ACCEPTED
    found = accounts()
    unknown = found.of(State.UNKNOWN)
    assert set(found.states) == {State.ACCEPTED, State.UNKNOWN}
    assert len(running.aliases()) == 100
    assert all(row["message"] and row["request_id"] and row["attempts"] == "1" for row in unknown)

    running.faults = Faults()
    before = running.stats().requests
    assert run(settings).exit_code == ExitCode.DONE
    assert running.stats().requests - before == len(unknown)
    assert accounts().states == {State.ACCEPTED: 100}


def test_failed_rows_wait_for_retry_which_sends_them_and_the_unknown_again(
    run, sandbox, settings_for, write_csv, accounts
):
    running = sandbox(Faults(shares={Trouble.DROP_AFTER: 0.1}, forced=Forced(code=1005, share=0.2), seed=9))
    settings = settings_for(write_csv(100), running, attempts=1, max_failed=1.0)
    run(settings)
    states = accounts().states
    assert states[State.FAILED] > 5
    assert states[State.UNKNOWN] > 2

    before = running.stats().requests
    again = run(settings_for(None, running, attempts=1, max_failed=1.0))
    assert running.stats().requests - before == states[State.FAILED] + states[State.UNKNOWN]
    assert again.states["accepted"] > states[State.ACCEPTED]

    running.faults = Faults()
    run(settings)
    failed = accounts().states[State.FAILED]
    assert failed > 0
    before = running.stats().requests
    assert run(settings_for(None, running)).exit_code == ExitCode.DONE
    assert running.stats().requests - before == failed


def test_the_command_that_is_told_sends_the_failed_rows_again(command, sandbox, write_csv, accounts):
    running = sandbox(Faults(forced=Forced(code=1005, share=0.5), seed=1))
    rate = ("--rate", 1000)
    first = command("run", write_csv(60), "--job", "job", "--max-failed", "100%", *rate, to=running).end()
    assert first.code == ExitCode.NOT_ALL_ACCEPTED
    assert "batch-alias retry job" in first.err
    running.faults = Faults()
    again = command("retry", "job", *rate, to=running).end()
    assert again.code == ExitCode.DONE, again.err
    assert running.aliases() == accounts().accepted


FLAKY = Faults(
    latency=0.005,
    jitter=1.0,
    shares={
        Trouble.UNAVAILABLE: 0.1,
        Trouble.DROP_BEFORE: 0.05,
        Trouble.DROP_AFTER: 0.1,
        Trouble.HANG_AFTER: 0.05,
        Trouble.INTERNAL_TIMEOUT: 0.05,
        Trouble.REFUSAL: 0.02,
    },
    seed=13,
)


def test_never_are_two_attempts_of_one_row_under_way_whatever_goes_wrong(
    run, sandbox, settings_for, write_csv, accounts
):
    running = sandbox(FLAKY)
    rows = [(f"u{n % 100}", "g", f"value {n}") for n in range(300)]
    settings = settings_for(write_csv(rows), running, attempts=60, timeout=0.2)
    assert run(settings).exit_code == ExitCode.DONE
    wanted = {("g", user): remark for user, _, remark in rows}
    assert running.aliases() == accounts().accepted == wanted
    assert all(write.remark == wanted[write.group_id, write.user_id] for write in running.writes())
    assert running.stats().most_in_flight_for_one_key == 1


def test_run_twice_with_edits_through_two_jobs_no_earlier_value_lands_after_a_later_one(
    run, sandbox, settings_for, write_csv, tmp_path
):
    running = sandbox(FLAKY)
    settled = []
    for edition in ("first", "second"):
        source = write_csv(120, f"{edition}.csv", tag=edition)
        settings = settings_for(source, running, job=tmp_path / edition, attempts=60, timeout=0.2)
        assert run(settings).exit_code == ExitCode.DONE
        settled.append(len(running.writes()))
    writes = running.writes()
    assert all(write.remark.startswith("first") for write in writes[: settled[0]])
    assert all(write.remark.startswith("second") for write in writes[settled[0] :])
    assert len(running.aliases()) == 120
    assert all(remark.startswith("second") for remark in running.aliases().values())
