"""Connections and descriptors are bounded."""

from pathlib import Path

from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.sandbox import Faults
from batch_alias.sandbox.faults import DROP_AFTER, DROP_BEFORE
from tests.support.faults import Shares

ROWS = 300
WIDTH = 16
"""Most requests in flight."""


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left_open_by_hundreds_of_lost_connections(
    run, sandbox, settings_for, write_csv, results, until
):
    served = sandbox(Shares({DROP_BEFORE: 0.25, DROP_AFTER: 0.25}, seed=31))
    samples = []

    def sample(_job):
        until(lambda: samples.append(open_descriptors()) or served.stats().aliases == ROWS)

    settings = settings_for(write_csv(ROWS), served, attempts=100, max_in_flight=WIDTH)
    before = open_descriptors()
    assert run(settings, beside=sample).exit_code == ExitCode.DONE
    assert results().states == {State.ACCEPTED: ROWS}
    until(lambda: served.stats().connections_open == 0)
    assert served.stats().connections_opened > ROWS
    # Both ends of each connection are in this process; a few more belong to the ledger and the event loop.
    assert max(samples) <= before + 2 * WIDTH + 20
    assert open_descriptors() <= before + 3


def test_a_connection_is_renewed_before_its_eightieth_request(run, sandbox, settings_for, write_csv):
    served = sandbox()
    run(settings_for(write_csv(200), served, max_in_flight=2))
    stats = served.stats()
    assert (stats.most_requests_on_a_connection, stats.connections_over_79) == (79, 0)
    assert stats.connections_opened <= 2 + 200 // 79


def test_there_are_never_more_requests_and_connections_than_permitted(run, sandbox, settings_for, write_csv):
    served = sandbox(Faults(latency=0.03))
    run(settings_for(write_csv(60), served, max_in_flight=10))
    assert served.stats().most_in_flight <= 10
    assert served.stats().connections_opened <= 10
