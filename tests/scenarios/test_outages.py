"""The service is down for a while: the run holds, probes, and continues; no row fails because of it."""

from contextlib import ExitStack

import pytest

from batch_alias.errors import ExitCode
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.model import EventKind, State
from batch_alias.sandbox import Faults, Rules, Sandbox
from batch_alias.sandbox.faults import (
    DROP_AFTER,
    GATEWAY_PAGE_OK,
    HANG_AFTER,
    HANG_BEFORE,
    INTERNAL_ERROR,
    INTERNAL_TIMEOUT,
    UNAVAILABLE,
)
from batch_alias.sandbox.server import serve
from batch_alias.sending.controller import ControllerRules
from tests.support.faults import NOT_HTTP, Script

ROWS = 80
WIDTH = 24
"""Most requests in flight: enough to recognise an outage, too few for a second one after it has ended."""
RATE = 10_000
"""A tenth of it, with which a run goes on after an outage, is still fast."""
BEGAN, ENDED = EventKind.OUTAGE_BEGAN, EventKind.OUTAGE_ENDED


def failing(fault, first, end=float("inf")):
    """A plan in which the requests from one number up to another have a fault."""
    return Script(lambda number: fault if first <= number < end else None)


def outages(events):
    """The beginnings and ends; on a slow machine the rate may be lowered before an outage is recognised."""
    return [kind for kind in events if kind in {BEGAN, ENDED}]


@pytest.mark.parametrize(
    "fault",
    [UNAVAILABLE, INTERNAL_TIMEOUT, GATEWAY_PAGE_OK, DROP_AFTER, NOT_HTTP],
    ids=lambda fault: fault.name,
)
def test_an_outage_in_the_middle_costs_no_row(fault, run, sandbox, settings_for, write_csv, results):
    served = sandbox(failing(fault, 40))
    events = []

    def note(_job, event):
        events.append(event.kind)
        if event.kind is BEGAN:
            served.faults = failing(fault, 0, 1)

    summary = run(settings_for(write_csv(ROWS), served, rate=RATE, max_in_flight=WIDTH), observer=note)
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert results().states == {State.ACCEPTED: ROWS}
    assert served.aliases() == results().accepted
    assert outages(events) == [BEGAN, ENDED]


def test_an_outage_in_which_requests_hang_costs_no_row(run_with_hangs, sandbox, settings_for, write_csv, results):
    served, width = sandbox(failing(HANG_AFTER, 40)), ControllerRules().least_in_flight
    events = []
    timed_out = 40 + width - 1

    def note(_job, event):
        events.append(event.kind)
        if event.kind is BEGAN:
            served.faults = Faults()

    def hanging():
        # At first as many as may be under way, then each that follows: it may be a probe, which goes alone.
        nonlocal timed_out
        arrived = served.stats().requests
        if events or arrived <= timed_out:
            return False
        timed_out = arrived
        return True

    settings = settings_for(write_csv(ROWS), served, rate=RATE, max_in_flight=width)
    summary = run_with_hangs(settings, hanging, observer=note)
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert results().states == {State.ACCEPTED: ROWS}
    assert served.aliases() == results().accepted
    assert outages(events) == [BEGAN, ENDED]
    assert summary.codes["timeout"] >= width


def test_one_outage_after_another_costs_no_row(run, sandbox, settings_for, write_csv, results):
    served = sandbox(failing(UNAVAILABLE, 40))
    events = []

    def note(_job, event):
        events.append(event.kind)
        if event.kind is BEGAN:
            served.faults = failing(UNAVAILABLE, 0, 1)
        elif outages(events) == [BEGAN, ENDED]:
            served.faults = failing(DROP_AFTER, 30)

    summary = run(settings_for(write_csv(150), served, rate=RATE, max_in_flight=WIDTH), observer=note)
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert results().states == {State.ACCEPTED: 150}
    assert outages(events) == [BEGAN, ENDED, BEGAN, ENDED]


@pytest.mark.parametrize(
    ("left", "width"), [(ROWS // 2, ControllerRules().least_in_flight), (8, 2)], ids=["midway", "last-rows"]
)
def test_a_server_that_is_gone_and_comes_back_costs_no_row(
    left, width, run, settings_for, write_csv, results, until, free_port
):
    served, port = Sandbox(Rules(rate=100_000), failing(HANG_BEFORE, ROWS - left)), free_port()
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(serve(served, port=port))

        def gone(job):
            with SqliteReader(job.folder) as ledger:
                events = [event.kind for event in ledger.events()]
                return events[-1:] == [BEGAN] and any(second.codes["connect"] for second in ledger.seconds())

        def restart(job):
            until(lambda: served.stats().requests >= ROWS - left + width)
            first.close()
            until(lambda: gone(job))
            served.faults = Faults()
            second.enter_context(serve(served, port=port))

        summary = run(settings_for(write_csv(ROWS), served, rate=RATE, max_in_flight=width), beside=restart)
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert results().states == {State.ACCEPTED: ROWS}
    assert served.aliases() == results().accepted
    assert summary.codes["connect"] > 0


@pytest.mark.parametrize("patience", [60.0, 0.0], ids=["a-minute", "for-ever"])
def test_a_service_that_is_down_from_the_start_is_waited_for(patience, run, sandbox, settings_for, write_csv):
    served = sandbox(failing(UNAVAILABLE, 0, 3))
    events = []
    settings = settings_for(write_csv(30), served, patience=patience)
    summary = run(settings, observer=lambda _job, event: events.append(event.kind))
    assert (summary.exit_code, summary.requests) == (ExitCode.DONE, 30 + 3)
    assert outages(events) == [BEGAN, ENDED]


def test_when_the_patience_ends_the_run_stops_and_rows_not_confirmed_are_unknown(
    run, sandbox, settings_for, write_csv, results
):
    served = sandbox(failing(DROP_AFTER, 40))
    settings = settings_for(write_csv(ROWS), served, patience=0.5)
    summary = run(settings)
    assert summary.exit_code == ExitCode.STOPPED
    assert "down" in summary.stopped
    found = results()
    assert found.states[State.ACCEPTED] == 40
    assert found.states.keys() <= {State.ACCEPTED, State.PENDING, State.UNKNOWN}
    assert len(found.of(State.UNKNOWN)) == len(served.aliases()) - 40  # those were sent, and not confirmed
    assert results().accepted.items() <= served.aliases().items()
    served.faults = Faults()
    assert run(settings).exit_code == ExitCode.DONE
    assert results().states == {State.ACCEPTED: ROWS}


def test_failures_between_successes_are_no_outage(run, sandbox, settings_for, write_csv):
    served = sandbox(Script(lambda number: INTERNAL_ERROR if number % 2 else None))
    events = []
    settings = settings_for(write_csv(30), served, attempts=100)
    summary = run(settings, observer=lambda _job, event: events.append(event))
    assert (summary.exit_code, events) == (ExitCode.DONE, [])
    assert summary.retries == 29
