"""Two hosts of one data centre: all lanes move together, seldom, and only when the host is ill."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from batch_alias.records import EventKind

from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.sandbox.faults import Faults, Forced, Outage, Trouble
from batch_alias.settings import Secret

ROWS = 200


@pytest.fixture
def pair(sandbox):
    """A primary and its backup: one app, one secret."""

    def start(primary: Faults, backup: Faults | None = None):
        one_app = {"app_key": "one-app", "app_secret": Secret("one-secret")}
        return sandbox(primary, **one_app), sandbox(backup, **one_app)

    return start


@contextmanager
def nobody_listens() -> Iterator[str]:
    """A URL at which every connection is refused."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    "trouble", [Trouble.UNAVAILABLE, Trouble.DROP_BEFORE, Trouble.HANG_BEFORE, Trouble.GATEWAY_PAGE_OK]
)
def test_when_the_primary_breaks_down_all_lanes_move_at_once(
    trouble, run, pair, settings_for, write_csv, accounts, onlooker
):
    primary, backup = pair(Faults(outages=(Outage(start=0.1, end=1e9, trouble=trouble),)))
    watcher = onlooker()
    settings = settings_for(write_csv(ROWS), primary, backup, timeout=0.3, max_in_flight=32)
    summary = run(settings, watcher=watcher)
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert accounts().states == {State.ACCEPTED: ROWS}
    assert {**primary.aliases(), **backup.aliases()} == accounts().accepted
    assert summary.host_switches == len(watcher.heard(EventKind.HOST_SWITCHED)) == 1
    assert backup.url.removeprefix("http://") in watcher.heard(EventKind.HOST_SWITCHED)[0].text
    assert primary.stats().requests - primary.stats().sets <= settings.max_in_flight


def test_a_primary_that_cannot_be_reached_is_left_after_one_attempt(run, sandbox, settings_for, write_csv, service_of):
    backup = sandbox()
    with nobody_listens() as url:
        service = replace(service_of(backup), urls=(url, backup.url))
        summary = run(settings_for(write_csv(ROWS), backup, service=service))
    assert summary.exit_code == ExitCode.DONE
    assert (summary.codes["connect"], summary.host_switches) == (1, 1)
    assert len(backup.aliases()) == ROWS


def test_two_flaky_hosts_are_not_swapped_more_often_than_permitted(run, pair, settings_for, write_csv, fast):
    flaky = {Trouble.UNAVAILABLE: 0.3}
    primary, backup = pair(Faults(shares=flaky, seed=1), Faults(shares=flaky, seed=2))
    began = time.monotonic()
    summary = run(settings_for(write_csv(350), primary, backup, attempts=50))
    took = time.monotonic() - began
    assert summary.exit_code == ExitCode.DONE
    assert 1 <= summary.host_switches <= 1 + took / fast.switch_interval


@pytest.mark.parametrize(
    "faults",
    [
        Faults(shares={Trouble.REFUSAL: 0.15, Trouble.GATEWAY_LIMIT: 0.15}),
        Faults(forced=Forced(code=1005, share=0.2)),
    ],
    ids=["429", "4xx"],
)
def test_a_refusal_never_moves_the_lanes(faults, run, pair, settings_for, write_csv):
    primary, backup = pair(faults)
    summary = run(settings_for(write_csv(25), primary, backup))
    assert summary.states["pending"] == 0
    assert (summary.host_switches, backup.stats().requests) == (0, 0)


def test_while_both_are_down_the_probes_try_them_in_turn_and_find_the_one_that_comes_back(
    run, pair, settings_for, write_csv, onlooker
):
    for_good = Faults(outages=(Outage(start=0.0, end=1e9),))
    primary, backup = pair(for_good, for_good)
    probes = []

    def mend(_sending, event):
        if event.kind is EventKind.HOST_SWITCHED:
            probes.append((primary.stats().requests, backup.stats().requests))
            # Late enough for the intervals of the probes to have outgrown the interval of the switches.
            if len(probes) == 9:
                backup.faults = Faults()

    summary = run(settings_for(write_csv(30), primary, backup, patience=15.0), watcher=onlooker(at_notice=mend))
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert len(backup.aliases()) == 30
    assert all(abs(first - second) <= 1 for first, second in probes)
