"""A job over time: nothing is lost in the adding up, whatever the length and the gaps."""

from batch_alias.records import LATENCY_STEP, Event, EventKind, RunRecord
from batch_alias.reports.timeline import POINTS, build

START = 1_790_000_000
DAY = 86_400


def a_run(start, end, **settings):
    return RunRecord(
        started_at=start,
        ended_at=end,
        host="api.example.com",
        version="1.0",
        settings={"rate": 100} | settings,
        busiest_second=100,
        host_switches=0,
        exit_code=0,
    )


def built(runs, seconds, events=()):
    found = build(runs, lambda: iter(seconds), events)
    assert found is not None
    covered = [after - before for before, after in zip(found.edges, found.edges[1:], strict=False)]
    return found, covered


def test_a_job_that_sent_nothing_has_no_timeline():
    assert build([], lambda: iter([]), []) is None
    assert build([a_run(START, START + 5)], lambda: iter([]), []) is None


def test_in_a_short_run_every_second_is_a_point_and_idle_seconds_are_there(second):
    found, _ = built([a_run(START + 0.3, START + 9.7)], [second(START, 50), second(START + 7, 20)])
    assert found.width == 1
    assert list(found.rates["mean"]) == [50, 0, 0, 0, 0, 0, 0, 20, 0, 0]


def test_whatever_the_length_there_are_few_points_and_all_requests_are_in_them(second):
    for length in (599, 601, 10_150, 3 * DAY + 17, 400 * DAY):
        step = max(1, length // 2000)
        seconds = [second(START + at, 90, refusals=1) for at in range(0, length, step)]
        found, covered = built([a_run(START, START + length)], seconds)
        assert len(covered) <= POINTS
        total = sum(mean * width for mean, width in zip(found.rates["mean"], covered, strict=True))
        assert round(total) == 90 * len(seconds)
        assert found.histogram.sum() == 90 * len(seconds)
        assert found.rates["busiest"].max() == 90


def test_days_between_two_runs_take_no_room(second):
    runs = [a_run(START, START + 100), a_run(START + 5 * DAY, START + 5 * DAY + 50)]
    found, _ = built(runs, [second(START + 99, 10), second(START + 5 * DAY, 30)])
    assert found.clock.total == 150
    assert found.clock.place(START + 2 * DAY) == 100
    assert list(found.rates["mean"][98:102]) == [0, 10, 30, 0]


def test_a_killed_run_ends_with_its_last_second_and_not_with_the_next_run(second):
    runs = [a_run(START, None), a_run(START + 5 * DAY, None)]
    found, _ = built(runs, [second(START + 9), second(START + 5 * DAY + 4)])
    assert list(found.clock.lengths) == [10, 5]


def test_a_clock_that_was_set_back_loses_no_request(second):
    found, covered = built([a_run(START, START + 10)], [second(START - 3600, 5), second(START + 3600, 7)])
    assert sum(found.rates["mean"]) == 12
    assert len(covered) == 10


def test_percentiles_of_a_point_are_those_of_its_attempts(second):
    seconds = [second(START, 100, latencies={10: 50, 40: 49, 90: 1}), second(START + 2, 1, latencies={7: 1})]
    found, _ = built([a_run(START, START + 3)], seconds)
    assert found.latencies["p50"].to_list()[0] == LATENCY_STEP**10
    assert found.latencies["p99"].to_list()[0] == LATENCY_STEP**40
    assert found.latencies["p50"].isna().to_list() == [False, True, False]


def test_an_outage_lasts_from_its_beginning_to_its_end_or_to_the_end_of_its_run(second):
    runs = [a_run(START, START + 100), a_run(START + DAY, START + DAY + 100)]
    events = [
        Event(at=START + 10, kind=EventKind.OUTAGE_BEGAN, text=""),
        Event(at=START + 30, kind=EventKind.OUTAGE_ENDED, text=""),
        Event(at=START + 90, kind=EventKind.OUTAGE_BEGAN, text=""),
        Event(at=START + DAY + 5, kind=EventKind.OUTAGE_BEGAN, text=""),
        Event(at=START + DAY + 15, kind=EventKind.OUTAGE_ENDED, text=""),
        Event(at=START + DAY + 80, kind=EventKind.OUTAGE_BEGAN, text=""),
    ]
    found, _ = built(runs, [second(START)], events)
    assert found.outages == [(10, 30), (90, 100), (105, 115), (180, 200)]


def test_each_run_has_the_limit_that_it_was_told(second):
    runs = [a_run(START, START + 100, rate=80), a_run(START + DAY, START + DAY + 100)]
    found, _ = built(runs, [second(START)])
    assert found.limits == [(0, 100, 80.0), (100, 200, 100.0)]


def test_thousands_of_slow_downs_leave_at_most_a_mark_a_point(second):
    events = [Event(at=START + at / 10, kind=EventKind.PACE_LOWERED, text="") for at in range(50_000)]
    found, covered = built([a_run(START, START + 5000)], [second(START)], events)
    assert 100 < len(found.marks[EventKind.PACE_LOWERED]) <= len(covered)
