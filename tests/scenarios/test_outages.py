"""The service is down for a while: the run holds, asks now and then, and goes on; no row fails by it."""

import threading
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from batch_alias.records import EventKind
from batch_alias.sandbox.app import Sandbox

from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.faults import Faults, Outage, Trouble
from batch_alias.sandbox.server import serve
from batch_alias.sending.breaker import BreakerRules

ROWS = 240
PROBES = 8
"""Most probes in an outage of most of a second, at intervals that double from 0.05 s up to 0.4 s."""


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble.UNAVAILABLE,
        Trouble.INTERNAL_TIMEOUT,
        Trouble.GATEWAY_PAGE_OK,
        Trouble.DROP_AFTER,
        Trouble.HANG_AFTER,
        Trouble.NOT_HTTP,
    ],
)
def test_an_outage_in_the_middle_costs_no_row(trouble, run, sandbox, settings_for, write_csv, accounts, onlooker):
    running = sandbox(Faults(latency=0.01, outages=(Outage(start=0.1, end=0.7, trouble=trouble),)))
    requests, pace = [], []

    def look(sending, _notice):
        requests.append(running.stats().requests)
        requests.append(sending.progress().in_flight)
        pace.append(sending.progress().pace)

    watcher = onlooker(at_notice=look)
    settings = settings_for(write_csv(ROWS), running, timeout=0.3)
    summary = run(settings, watcher=watcher)
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert accounts().states == {State.ACCEPTED: ROWS}
    assert [event.kind for event in watcher.events] == [EventKind.OUTAGE_BEGAN, EventKind.OUTAGE_ENDED]
    at_begin, in_flight, at_end, _ = requests
    assert at_end - at_begin <= in_flight + PROBES
    assert pace[1] <= settings.rate * 0.2


@pytest.mark.parametrize(("rows", "left", "rate"), [(ROWS, ROWS // 2, 1000), (40, 8, 60)], ids=["midway", "at-the-end"])
def test_a_server_that_is_gone_and_comes_back_costs_no_row_not_even_one_of_the_last(
    rows, left, rate, run, settings_for, write_csv, accounts, onlooker, until
):
    sandbox = Sandbox(Rules(rate=100_000))
    began = threading.Event()
    with ExitStack() as first, ExitStack() as second:
        running = first.enter_context(serve(sandbox))

        def restart() -> None:
            until(lambda: running.stats().requests >= rows - left)
            first.close()
            assert began.wait(10)
            second.enter_context(serve(sandbox, port=urlsplit(running.url).port or 0))

        helper = threading.Thread(target=restart)
        watcher = onlooker(
            at_start=lambda _run: helper.start(),
            at_notice=lambda _run, event: began.set() if event.kind is EventKind.OUTAGE_BEGAN else None,
        )
        summary = run(settings_for(write_csv(rows), running, rate=rate), watcher=watcher)
        helper.join()
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert accounts().states == {State.ACCEPTED: rows}
    assert running.aliases() == accounts().accepted
    assert summary.codes["connect"] > 0


def test_a_service_that_is_down_from_the_start_is_waited_for(run, sandbox, settings_for, write_csv, onlooker):
    running = sandbox(Faults(outages=(Outage(start=0.0, end=0.5),)))
    watcher = onlooker()
    summary = run(settings_for(write_csv(50), running), watcher=watcher)
    assert summary.exit_code == ExitCode.DONE
    assert summary.requests <= 50 + PROBES
    assert len(watcher.heard(EventKind.OUTAGE_BEGAN)) == 1


def test_when_the_patience_ends_the_run_stops_and_every_unsent_row_is_pending(
    run, sandbox, settings_for, write_csv, accounts
):
    running = sandbox(Faults(outages=(Outage(start=0.2, end=1e9, trouble=Trouble.DROP_AFTER),)))
    settings = settings_for(write_csv(ROWS), running, patience=1.0)
    summary = run(settings)
    assert summary.exit_code == ExitCode.STOPPED
    assert "down" in summary.stopped
    found = accounts()
    assert set(found.states) == {State.ACCEPTED, State.PENDING}
    assert found.accepted.items() <= running.aliases().items()
    running.faults = Faults()
    assert run(settings).exit_code == ExitCode.DONE
    assert accounts().states == {State.ACCEPTED: ROWS}


def test_a_patience_of_nought_waits_on(run, sandbox, settings_for, write_csv):
    running = sandbox(Faults(outages=(Outage(start=0.1, end=1.0),)))
    assert run(settings_for(write_csv(150), running, patience=0.0)).exit_code == ExitCode.DONE


def test_one_outage_after_another_costs_no_row(run, sandbox, settings_for, write_csv, accounts, onlooker):
    outages = tuple(
        Outage(start=at, end=at + 0.3, trouble=trouble)
        for at, trouble in ((0.2, Trouble.UNAVAILABLE), (1.4, Trouble.DROP_AFTER))
    )
    running = sandbox(Faults(latency=0.01, outages=outages))
    watcher = onlooker()
    summary = run(settings_for(write_csv(700), running, timeout=0.3), watcher=watcher)
    assert summary.exit_code == ExitCode.DONE
    assert accounts().states == {State.ACCEPTED: 700}
    assert len(watcher.heard(EventKind.OUTAGE_ENDED)) == 2


def test_a_row_that_the_service_chokes_on_is_not_an_outage(run, sandbox, settings_for, write_csv, fast):
    running = sandbox(Faults(shares={Trouble.INTERNAL_ERROR: 0.5}, seed=3))
    timing = replace(fast, breaker=BreakerRules(failures=20, rows=10, first_interval=0.05))
    summary = run(settings_for(write_csv(300), running, attempts=30), timing=timing)
    assert summary.exit_code == ExitCode.DONE
    assert summary.retries > 100
