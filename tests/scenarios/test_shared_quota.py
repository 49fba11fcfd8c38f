"""Another service uses the same quota: the rate is lowered, and no row fails because of it."""

from dataclasses import replace

from batch_alias.errors import ExitCode
from batch_alias.model import EventKind, State
from batch_alias.sandbox import Fault
from batch_alias.sandbox.emulator import refusal
from batch_alias.sandbox.faults import REFUSAL
from tests.support.faults import GATEWAY_LIMIT, Script


def refusal_with_retry_after(request):
    response = refusal(1008, request.path)
    return replace(response, headers=(*response.headers, ("retry-after", "1")))


def test_refusals_by_the_rate_limit_are_not_counted_as_attempts(run, sandbox, settings_for, write_csv, results):
    refusals = {1: REFUSAL, 2: GATEWAY_LIMIT}
    served = sandbox(Script(lambda number: refusals.get(number % 3)))
    summary = run(settings_for(write_csv(10), served, attempts=1, rate=2000))
    assert summary.exit_code == ExitCode.DONE
    assert results().states == {State.ACCEPTED: 10}
    assert summary.refusals > 10


def test_a_refusal_that_names_a_time_is_an_event_and_costs_no_row(run, sandbox, settings_for, write_csv):
    refused = Fault("retry-after", refusal_with_retry_after)
    served = sandbox(Script(lambda number: refused if number == 10 else None))
    events = []
    summary = run(settings_for(write_csv(30), served), observer=lambda _job, event: events.append(event))
    assert (summary.exit_code, summary.refusals, summary.requests) == (ExitCode.DONE, 1, 31)
    assert [event.kind for event in events] == [EventKind.ASKED_TO_WAIT]
    assert "asks to wait 1 s" in events[0].text


def test_a_quota_that_is_never_granted_uses_up_the_patience(run, sandbox, settings_for, write_csv, results):
    served = sandbox(Script(lambda _number: REFUSAL))
    summary = run(settings_for(write_csv(30), served, patience=0.5))
    assert summary.exit_code == ExitCode.STOPPED
    assert "limit" in summary.stopped
    assert results().states == {State.PENDING: 30}
    assert served.stats().aliases == 0
