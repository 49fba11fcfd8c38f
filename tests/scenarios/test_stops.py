"""What would refuse every row stops the run, and the rows stay as they are."""

import pytest

from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.sandbox import Faults
from batch_alias.settings.target import Secret
from tests.support.faults import Script, coded

WIDTH = 16
"""Most requests in flight."""


@pytest.mark.parametrize("code", [1001, 1004, 1006, 1007, 1009, 404])
def test_a_code_for_the_whole_run_stops_it_within_the_requests_in_flight(
    code, run, sandbox, settings_for, write_csv, results
):
    refused = coded(code)
    served = sandbox(Script(lambda number: refused if number >= 40 else None, Faults(latency=0.01)))
    settings = settings_for(write_csv(100), served, max_in_flight=WIDTH)
    summary = run(settings)
    assert summary.exit_code == ExitCode.STOPPED
    assert str(code) in summary.stopped
    # A refused signature is tried again once, and a gateway's refusal with two other rows.
    assert 40 < served.stats().requests <= 40 + {1004: 2 * WIDTH, 404: WIDTH + 2}.get(code, WIDTH)
    assert results().states == {State.ACCEPTED: 40, State.PENDING: 60}
    assert served.aliases() == results().accepted
    served.faults = Faults()
    assert run(settings).exit_code == ExitCode.DONE


def test_a_wrong_secret_costs_two_requests_of_one_row_and_is_not_blamed_on_the_clock(
    run, sandbox, settings_for, write_csv, target_of, results
):
    served = sandbox()
    source = write_csv(100)
    summary = run(settings_for(source, served, target=target_of(served, app_secret=Secret("wrong"))))
    assert summary.exit_code == ExitCode.STOPPED
    assert (served.stats().requests, served.stats().most_in_flight) == (2, 1)
    assert "RONGCLOUD_APP_SECRET" in summary.stopped
    assert "clock" not in summary.stopped
    assert results().states == {State.PENDING: 100}
    assert run(settings_for(source, served)).exit_code == ExitCode.DONE


def test_key_and_secret_that_do_not_match_cost_one_request(run, sandbox, settings_for, write_csv):
    served = sandbox(Script(lambda _number: coded(1001)))
    summary = run(settings_for(write_csv(100), served))
    assert (summary.exit_code, served.stats().requests) == (ExitCode.STOPPED, 1)
    assert "RONGCLOUD_APP_SECRET" in summary.stopped


def test_an_unknown_app_key_costs_three_rows_and_a_call_that_changes_nothing(
    run, sandbox, settings_for, write_csv, target_of, results
):
    served = sandbox()
    target = target_of(served, app_key="unknown", app_secret=Secret("x"))
    summary = run(settings_for(write_csv(40), served, target=target))
    assert (summary.exit_code, served.stats().requests) == (ExitCode.STOPPED, 4)
    assert "RONGCLOUD_APP_KEY" in summary.stopped
    assert "column" in summary.stopped
    assert results().states == {State.PENDING: 40}


def test_a_single_invalid_row_among_the_first_fails_alone(run, sandbox, settings_for, write_csv, results):
    served = sandbox(Script(lambda number: coded(1002) if number == 0 else None))
    summary = run(settings_for(write_csv(20), served))
    assert summary.exit_code == ExitCode.NOT_ALL_ACCEPTED
    assert results().states == {State.FAILED: 1, State.ACCEPTED: 19}
    assert served.aliases() == results().accepted


HALF_FAIL = Script(lambda number: coded(1005) if number % 2 else None)


def test_a_job_in_which_too_many_rows_fail_is_stopped(run, sandbox, settings_for, write_csv, results):
    served = sandbox(HALF_FAIL)
    summary = run(settings_for(write_csv(300), served, max_failed=0.02, max_in_flight=WIDTH))
    assert summary.exit_code == ExitCode.STOPPED
    assert "--max-failed" in summary.stopped
    # 2 % of a thousand rows.
    assert 20 < results().states[State.FAILED] <= 20 + WIDTH
    assert summary.states["pending"] > 200


def test_failures_that_are_permitted_do_not_stop_a_job(run, sandbox, settings_for, write_csv, results):
    served = sandbox(HALF_FAIL)
    summary = run(settings_for(write_csv(60), served, max_failed=1.0))
    assert summary.exit_code == ExitCode.NOT_ALL_ACCEPTED
    found = results()
    assert found.states == {State.ACCEPTED: 30, State.FAILED: 30}
    assert {row["code"] for row in found.of(State.FAILED)} == {"1005"}
