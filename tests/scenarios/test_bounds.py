"""Bounded: connections, descriptors, waiting retries."""

import asyncio
from dataclasses import replace
from pathlib import Path

from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.sandbox.faults import Faults, Trouble
from batch_alias.sending.retry import Backoff


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def sampled(sample):
    """Take a sample every few milliseconds while a run is under way."""

    def begin(_run):
        loop = asyncio.get_running_loop()

        def again():
            sample()
            loop.call_later(0.005, again)

        again()

    return begin


def test_no_descriptor_is_left_behind_by_a_thousand_lost_connections(
    run, sandbox, settings_for, write_csv, accounts, onlooker
):
    running = sandbox(Faults(shares={Trouble.DROP_BEFORE: 0.25, Trouble.DROP_AFTER: 0.25}, seed=31))
    width, seen = 16, []
    watcher = onlooker(at_start=sampled(lambda: seen.append(open_descriptors())))
    settings = settings_for(write_csv(1000), running, attempts=100, max_in_flight=width, rate=2000)
    before = open_descriptors()
    assert run(settings, watcher=watcher).exit_code == ExitCode.DONE
    assert accounts().states == {State.ACCEPTED: 1000}
    assert running.stats().connections_opened > 1000
    # Both ends of each connection are in this process; a few more belong to the ledger and the loop.
    assert max(seen) <= before + 2 * width + 20
    assert open_descriptors() <= before + 3


def test_a_connection_is_renewed_before_its_eightieth_request(run, sandbox, settings_for, write_csv):
    running = sandbox()
    run(settings_for(write_csv(400), running, max_in_flight=2))
    stats = running.stats()
    assert stats.most_requests_on_a_connection == 79
    assert stats.connections_over_79 == 0
    assert stats.connections_opened <= 8


def test_lanes_open_only_as_the_latency_demands_and_never_above_the_width(run, sandbox, settings_for, write_csv):
    slow = sandbox(Faults(latency=0.1))
    run(settings_for(write_csv(60), slow, max_in_flight=10))
    assert slow.stats().most_in_flight <= 10
    assert slow.stats().connections_opened <= 10 + 2


def test_beyond_the_bound_of_waiting_rows_no_new_ones_are_taken(run, sandbox, settings_for, write_csv, onlooker, fast):
    running = sandbox(Faults(shares={Trouble.UNAVAILABLE: 0.6}, seed=3))
    waiting = []
    watcher = onlooker()
    watcher.at_start = sampled(lambda: waiting.append(watcher.run.progress().waiting))
    timing = replace(fast, most_retries=10, backoff=Backoff(base=0.2, cap=0.2))
    settings = settings_for(write_csv(100), running, attempts=100, max_in_flight=8)
    summary = run(settings, timing=timing, watcher=watcher)
    assert summary.exit_code == ExitCode.DONE
    assert 8 <= max(waiting) <= 10 + 8
