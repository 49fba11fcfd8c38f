"""Two hosts of one data centre: all connections move together, seldom, and only when the host is unhealthy."""

import time
from urllib.parse import urlsplit

import pytest

from batch_alias.errors import ExitCode
from batch_alias.model import EventKind, State
from batch_alias.sandbox import Faults
from batch_alias.sandbox.faults import DROP_BEFORE, GATEWAY_PAGE_OK, HANG_BEFORE, REFUSAL, UNAVAILABLE
from batch_alias.sending import Timing
from batch_alias.sending.controller import BreakerRules
from batch_alias.sending.retry import Backoff
from batch_alias.settings.target import Secret
from tests.support.faults import GATEWAY_LIMIT, Script, coded
from tests.support.processes import DEADLINE

ROWS = 100
SWITCH_INTERVAL = 0.1
QUICK = Timing(
    backoff=Backoff(base=0.02, cap=0.2),
    breaker=BreakerRules(first_interval=0.02, longest_interval=0.15),
    first_timeout=DEADLINE,
    switch_interval=SWITCH_INTERVAL,
    tick=0.1,
)


@pytest.fixture
def pair(sandbox):
    """A primary and its backup: one app, one secret."""

    def start(primary, backup=None):
        one_app = {"app_key": "one-app", "app_secret": Secret("one-secret")}
        return sandbox(primary, **one_app), sandbox(backup, **one_app)

    return start


@pytest.mark.parametrize("fault", [UNAVAILABLE, DROP_BEFORE, GATEWAY_PAGE_OK], ids=lambda fault: fault.name)
def test_when_the_primary_fails_all_connections_move_to_the_backup(fault, run, pair, settings_for, write_csv, results):
    primary, backup = pair(Script(lambda number: fault if number >= 20 else None))
    events = []
    settings = settings_for(write_csv(ROWS), primary, backup, max_in_flight=32)
    summary = run(settings, observer=lambda _job, event: events.append(event))
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert results().states == {State.ACCEPTED: ROWS}
    assert primary.aliases() | backup.aliases() == results().accepted
    (switch,) = [event for event in events if event.kind is EventKind.HOST_SWITCHED]
    assert urlsplit(backup.url).netloc in switch.text
    assert summary.host_switches == 1
    # A 503 may be congestion, until the breaker recognises an outage.
    assert primary.stats().requests - primary.stats().sets <= (64 if fault is UNAVAILABLE else 32)


def test_a_primary_that_hangs_is_left(run_with_hangs, pair, settings_for, write_csv, results):
    primary, backup = pair(Script(lambda number: HANG_BEFORE if number >= 20 else None))
    timed_out = 20

    def hanging():
        nonlocal timed_out
        if backup.stats().requests or primary.stats().requests < timed_out + 8:
            return False
        timed_out += 8
        return True

    summary = run_with_hangs(settings_for(write_csv(40), primary, backup, max_in_flight=8), hanging)
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert results().states == {State.ACCEPTED: 40}
    assert summary.codes.keys() == {"200", "timeout"}
    assert summary.host_switches >= 1
    assert backup.stats().sets > 0


def test_a_primary_that_cannot_be_reached_is_left_after_one_attempt(
    run, sandbox, settings_for, write_csv, target_of, free_port
):
    backup = sandbox()
    target = target_of(backup, url=f"http://127.0.0.1:{free_port()},{backup.url}")
    summary = run(settings_for(write_csv(20), backup, target=target))
    assert summary.exit_code == ExitCode.DONE
    assert (summary.codes["connect"], summary.host_switches) == (1, 1)
    assert len(backup.aliases()) == 20


def test_the_host_is_not_switched_more_often_than_permitted(run, pair, settings_for, write_csv):
    unreliable = Script(lambda number: DROP_BEFORE if number % 3 == 2 else None)
    primary, backup = pair(unreliable, unreliable)
    settings = settings_for(write_csv(200), primary, backup, attempts=50)
    began = time.monotonic()
    summary = run(settings, timing=QUICK)
    took = time.monotonic() - began
    assert summary.exit_code == ExitCode.DONE
    assert 1 <= summary.host_switches <= 1 + took / SWITCH_INTERVAL


@pytest.mark.parametrize("fault", [REFUSAL, GATEWAY_LIMIT, coded(1005)], ids=lambda fault: fault.name)
def test_a_refusal_switches_nothing(fault, run, pair, settings_for, write_csv):
    primary, backup = pair(Script(lambda number: fault if number % 5 == 3 else None))
    summary = run(settings_for(write_csv(25), primary, backup, max_failed=1.0))
    assert summary.states["pending"] == 0
    assert (summary.host_switches, backup.stats().requests) == (0, 0)


def test_while_both_hosts_are_down_the_probes_take_them_in_turn_until_one_works(run, pair, settings_for, write_csv):
    down = Script(lambda _number: UNAVAILABLE)
    primary, backup = pair(down, down)
    probes = []

    def repair(_job, event):
        if event.kind is EventKind.HOST_SWITCHED:
            probes.append((primary.stats().requests, backup.stats().requests))
            # By then the intervals of the probes are longer than the interval of the switches.
            if len(probes) == 7:
                backup.faults = Faults()

    summary = run(settings_for(write_csv(30), primary, backup), timing=QUICK, observer=repair)
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert len(backup.aliases()) == 30
    assert all(abs(first - second) <= 1 for first, second in probes)
