"""Somebody else eats the quota: the pace gives way and feels its way back; no row fails by it."""

import asyncio

from batch_alias.records import EventKind

from batch_alias.errors import ExitCode
from batch_alias.ledger import LedgerReader
from batch_alias.model import State
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.faults import Faults, Trouble
from batch_alias.sending.timing import Timing

ASKED, GRANTED = 500, 200
SETTLED_AFTER = 3
"""Seconds of the run after which the pace has found its place."""


def test_with_two_fifths_of_the_quota_the_rate_settles_just_below_it_and_few_are_refused(
    run, sandbox, settings_for, write_csv, accounts, tmp_path
):
    running = sandbox(Faults(latency=0.02, jitter=0.3), rules=Rules(rate=GRANTED))
    rows = GRANTED * 7
    summary = run(settings_for(write_csv(rows), running, rate=ASKED), timing=Timing())
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert accounts().states == {State.ACCEPTED: rows}
    with LedgerReader(tmp_path / "job") as ledger:
        settled = [second.settled.get("accepted", 0) for second in ledger.seconds()]
    middle = settled[SETTLED_AFTER:-1]
    assert sum(middle) / len(middle) >= 0.9 * GRANTED
    assert summary.refusals < 0.1 * summary.requests
    assert summary.busiest_second <= ASKED


def test_refusals_never_use_up_the_attempts_of_a_row(run, sandbox, settings_for, write_csv, accounts):
    running = sandbox(Faults(shares={Trouble.REFUSAL: 0.35, Trouble.GATEWAY_LIMIT: 0.35}, seed=5))
    summary = run(settings_for(write_csv(10), running, attempts=1, rate=2000))
    assert summary.exit_code == ExitCode.DONE
    assert accounts().states == {State.ACCEPTED: 10}
    assert summary.refusals > 10


def test_the_time_the_server_asks_to_wait_is_waited(run, sandbox, settings_for, write_csv, onlooker):
    running = sandbox(rules=Rules(rate=50, retry_after=1))
    surplus = []

    def look(sending, event):
        before, in_flight = running.stats().requests, sending.progress().in_flight

        def look_again():
            surplus.append(running.stats().requests - before - in_flight)

        asyncio.get_running_loop().call_later(0.9, look_again)

    watcher = onlooker(at_notice=look)
    summary = run(settings_for(write_csv(120), running, rate=400), watcher=watcher)
    assert summary.exit_code == ExitCode.DONE
    lowered = watcher.heard(EventKind.PACE_LOWERED)
    assert lowered
    assert "asked to wait 1 s" in lowered[0].text
    assert surplus
    assert max(surplus) <= 0


def test_a_quota_that_is_never_granted_ends_the_patience(run, sandbox, settings_for, write_csv, accounts):
    running = sandbox(Faults(shares={Trouble.REFUSAL: 1.0}))
    summary = run(settings_for(write_csv(30), running, patience=1.5))
    assert summary.exit_code == ExitCode.STOPPED
    assert "limit" in summary.stopped
    assert accounts().states == {State.PENDING: 30}
    assert running.stats().aliases == 0
