"""Adding up a job over time: nothing is lost, whatever its length and the time between its runs."""

import pytest

from batch_alias.model import Event, EventKind, RequestKind
from batch_alias.reports.timeline import POINTS, Timeline

DAY = 86_400


@pytest.fixture
def timeline(job, start):
    """Build the timeline of runs, each with its times after ``start``, its seconds and events."""

    def make(*runs, events=(), settings=()):
        job.stage({"remark": "a"})
        for number, (begin, end, seconds) in enumerate(runs):
            times = start + begin, None if end is None else start + end
            rate = dict(settings[number]) if settings else {}
            happened = events if number == len(runs) - 1 else ()
            job.run({}, seconds, happened, exit_code=None, times=times, **rate)
        return Timeline(job.ledger)

    return make


def requests(found):
    return [point.requests for point in found.points]


def test_in_a_short_run_every_second_is_a_point_also_without_requests(timeline, second, start):
    found = timeline((0.3, 9.7, [second(start, 50), second(start + 7, 20)]))
    assert found.width == 1
    assert requests(found) == [50, 0, 0, 0, 0, 0, 0, 20, 0, 0]


@pytest.mark.parametrize("length", [599, 601, 10_150, 3 * DAY + 17, 400 * DAY])
def test_a_job_of_any_length_has_few_points_with_all_requests_in_them(timeline, second, start, length):
    seconds = [second(start + at, 90, refusals=1) for at in range(0, length, max(1, length // 1000))]
    found = timeline((0, length, seconds))
    assert len(found.points) == len(found.edges) - 1 <= POINTS
    assert sum(point.seconds for point in found.points) == found.edges[-1] == length
    assert sum(requests(found)) == 90 * len(seconds)
    assert sum(point.refused for point in found.points) == len(seconds)
    assert sum(point.latencies.total() for point in found.points) == 90 * len(seconds)
    assert max(point.busiest for point in found.points) == 90


def test_reads_are_counted_apart_and_requests_for_members_not_at_all(timeline, second, start):
    kinds = zip(RequestKind, (20, 50, 70), strict=True)
    found = timeline((0, 1, [second(start, requests, kind=kind, refusals=requests) for kind, requests in kinds]))
    (point,) = found.points
    assert (point.requests, point.busiest, point.refused, point.reads) == (20, 20, 20, 50)
    assert point.latencies.total() == 20


def test_the_days_between_two_runs_are_left_out(timeline, second, start):
    runs = (0, 100, [second(start + 99, 10)]), (5 * DAY, 5 * DAY + 50, [second(start + 5 * DAY, 30)])
    found = timeline(*runs)
    assert found.total == 150
    assert found.sending_time(start + 2 * DAY) == 100
    assert requests(found)[98:102] == [0, 10, 30, 0]


def test_a_killed_run_ends_with_its_last_second(timeline, second, start):
    found = timeline((0, None, [second(start + 9)]), (5 * DAY, None, [second(start + 5 * DAY + 4)]))
    assert found.lengths == [10, 5]


def test_a_clock_that_was_set_back_loses_no_request(timeline, second, start):
    found = timeline((0, 10, [second(start - 3600, 5), second(start + 3600, 7)]))
    assert sum(requests(found)) == 12
    assert len(found.points) == 10


def test_an_outage_lasts_until_its_end_or_the_end_of_its_run(timeline, start):
    began, ended = EventKind.OUTAGE_BEGAN, EventKind.OUTAGE_ENDED
    kinds = {10: began, 30: ended, 90: began, DAY + 5: began, DAY + 15: ended, DAY + 80: began}
    events = [Event(at=start + at, kind=kind, values={"detail": ""}) for at, kind in kinds.items()]
    found = timeline((0, 100, []), (DAY, DAY + 100, []), events=events)
    assert found.outages == [(10, 30), (90, 100), (105, 115), (180, 200)]


def test_each_run_has_its_own_rate_limit(timeline):
    found = timeline((0, 100, []), (DAY, DAY + 100, []), settings=[{"rate": 80}, {"rate": 100}])
    assert found.limits == [(0, 100, 80), (100, 200, 100)]


def test_a_point_knows_the_kinds_of_its_events(timeline, start):
    kinds = {1.2: EventKind.RATE_LOWERED, 3.1: EventKind.HOST_SWITCHED, 3.9: EventKind.ASKED_TO_WAIT}
    events = [Event(at=start + at, kind=kind, values={}) for at, kind in kinds.items() for _ in range(2)]
    found = timeline((0, 5, []), events=events)
    assert [point.events for point in found.points] == [
        set(),
        {EventKind.RATE_LOWERED},
        set(),
        {EventKind.HOST_SWITCHED, EventKind.ASKED_TO_WAIT},
        set(),
    ]


def test_a_sending_time_is_a_time_in_its_run(timeline, start):
    found = timeline((0, 100, []), (DAY, DAY + 50, []))
    assert [found.time(at) - start for at in (0, 99, 100, 149)] == [0, 99, DAY, DAY + 49]
