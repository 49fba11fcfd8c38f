"""Stop before harm: what would refuse every row stops the run, and the rows stay as they were."""

import asyncio

import pytest

from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.faults import Faults, Forced
from batch_alias.settings.target import Secret

WIDTH = 16
"""Most requests under way at once."""


@pytest.mark.parametrize("code", [1001, 1004, 1006, 1007, 1009, 404])
def test_a_code_against_the_whole_run_stops_it_within_the_attempts_in_flight(
    code, run, sandbox, settings_for, write_csv, accounts, onlooker
):
    running = sandbox(Faults(latency=0.02))
    met = []

    def turn(sending):
        def look():
            if running.stats().requests < 40:
                asyncio.get_running_loop().call_later(0.005, look)
            else:
                running.faults = Faults(latency=0.02, forced=Forced(code=code))
                met.append(running.stats().requests)

        look()

    settings = settings_for(write_csv(200), running, max_in_flight=WIDTH)
    summary = run(settings, watcher=onlooker(at_start=turn))
    assert summary.exit_code == ExitCode.STOPPED
    assert str(code) in summary.stopped
    # One more round than those in flight for 1004: it is signed afresh once.
    assert running.stats().requests - met[0] <= WIDTH * (3 if code == 1004 else 2)
    found = accounts()
    assert set(found.states) == {State.ACCEPTED, State.PENDING}
    assert running.aliases() == found.accepted
    running.faults = Faults()
    assert run(settings).exit_code == ExitCode.DONE


@pytest.mark.parametrize("code", [1001, 1004])
def test_a_wrong_secret_is_met_by_one_row_alone(code, run, sandbox, settings_for, write_csv, service_of):
    running = sandbox(rules=Rules(wrong_secret_code=code))
    wrong = service_of(running, app_secret=Secret("wrong"))
    summary = run(settings_for(write_csv(100), running, service=wrong))
    assert summary.exit_code == ExitCode.STOPPED
    assert running.stats().requests == (2 if code == 1004 else 1)
    assert running.stats().most_in_flight == 1
    assert "RONGCLOUD_APP_SECRET" in summary.stopped


def test_when_all_of_the_first_rows_are_invalid_it_is_the_key_or_the_columns(
    run, sandbox, settings_for, write_csv, accounts
):
    running = sandbox(Faults(forced=Forced(code=1002)))
    summary = run(settings_for(write_csv(500), running))
    assert summary.exit_code == ExitCode.STOPPED
    assert "RONGCLOUD_APP_KEY" in summary.stopped
    assert "column" in summary.stopped
    assert running.stats().requests == 3
    assert accounts().states == {State.PENDING: 500}


def test_a_single_invalid_row_among_the_first_fails_alone(run, sandbox, settings_for, write_csv, accounts):
    running = sandbox(Faults(forced=Forced(code=1002, share=0.3), seed=2))
    summary = run(settings_for(write_csv(20), running, max_failed=1.0))
    assert summary.exit_code == ExitCode.NOT_ALL_ACCEPTED
    states = accounts().states
    assert states[State.FAILED] >= 1
    assert states[State.ACCEPTED] == len(running.aliases())


def test_a_job_that_goes_wrong_row_after_row_is_stopped(run, sandbox, settings_for, write_csv, accounts):
    running = sandbox(Faults(forced=Forced(code=1005, share=0.5)))
    settings = settings_for(write_csv(1200), running, max_failed=0.05, max_in_flight=WIDTH)
    summary = run(settings)
    assert summary.exit_code == ExitCode.STOPPED
    assert "--max-failed" in summary.stopped
    assert 50 < accounts().states[State.FAILED] <= 51 + WIDTH
    assert summary.states["pending"] > 800


def test_failures_that_are_permitted_do_not_stop_a_job(run, sandbox, settings_for, write_csv, accounts):
    running = sandbox(Faults(forced=Forced(code=1005, share=0.5), seed=6))
    summary = run(settings_for(write_csv(200), running, max_failed=1.0))
    assert summary.exit_code == ExitCode.NOT_ALL_ACCEPTED
    found = accounts()
    assert found.states[State.FAILED] == 200 - len(running.aliases())
    assert {row["code"] for row in found.of(State.FAILED)} == {"1005"}
