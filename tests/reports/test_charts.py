import re

import pytest

from batch_alias.model import Event, EventKind, RequestKind
from batch_alias.reports.charts import draw
from batch_alias.reports.timeline import Timeline

DAY = 86_400


@pytest.fixture
def charts(job, second, start):
    """Draw the charts of runs, given by begin and end in seconds, with these events 5 s after the first one began."""

    def make(*kinds, runs=((0, 30),), **counts):
        values = {"rate": 1.0, "seconds": 1.0, "host": "b.example.com", "detail": "HTTP 503"}
        events = [Event(at=start + 5, kind=kind, values=values) for kind in kinds]
        job.stage({"remark": "a"})
        for begin, end in runs:
            times = start + begin, start + end
            job.run({}, [second(times[0], **counts), second(times[1] - 1)], events, times=times)
            events = []
        return draw(Timeline(job.ledger))

    return make


def legend(chart):
    return {text: (color, shape) for color, shape, text in chart.legend}


def labels(chart, wanted):
    return [text for classes, _, _, text in chart.labels if classes == wanted]


def test_shapes_are_stretched_and_have_the_colours_of_the_page(charts):
    for chart in charts(EventKind.HOST_SWITCHED, refusals=3):
        assert 'preserveAspectRatio="none"' in chart.svg
        assert "stroke:var(--line)" in chart.svg
        assert ":var(--blue)" in chart.svg
        assert "#" not in chart.svg
        assert "<text" not in chart.svg


def test_every_chart_is_labelled_at_both_axes_within_its_bounds(charts):
    for chart in charts(EventKind.HOST_SWITCHED):
        assert len(labels(chart, "x")) >= 2
        assert len(labels(chart, "y")) >= 2
        assert all(0 <= x <= 100 and 0 <= y <= 100 for _, x, y, _ in chart.labels)


def test_the_legend_names_what_happened_and_nothing_else(charts):
    happened = {
        EventKind.RATE_LOWERED: "rate lowered",
        EventKind.HOST_SWITCHED: "host switched",
        EventKind.OUTAGE_BEGAN: "outage: sending on hold",
    }
    assert set(legend(charts(*happened)[0])) == {"rate limit", "requests per second", *happened.values()}


def test_events_are_marked_where_they_happened_in_looks_of_their_own(charts):
    chart = charts(EventKind.RATE_LOWERED, EventKind.ASKED_TO_WAIT, EventKind.HOST_SWITCHED)[0]
    looks = {" ".join(legend(chart)[text]) for text in ("rate lowered", "asked to wait", "host switched")}
    assert len(looks) == 3
    assert {classes: x for classes, x, _, text in chart.labels if not text} == dict.fromkeys(looks, 16.67)


def test_a_long_job_has_means_and_the_busiest_second(charts):
    found = legend(charts(runs=[(0, 6000)], refusals=2)[0])
    assert set(found) == {"rate limit", "mean over 10 s", "busiest second in it", "refused by the rate limit"}


def test_reads_have_a_line_of_their_own_also_where_nothing_was_sent(job, second, start):
    job.stage({"remark": "a"})
    seconds = [second(start + at, 80, kind=RequestKind.READ) for at in range(10)]
    job.run({}, seconds, command="plan", times=(start, start + 10))
    (chart,) = draw(Timeline(job.ledger))
    assert legend(chart)["aliases read per second"] == ("violet", "line")
    assert labels(chart, "y")[-1] == "120"


def test_without_a_response_there_are_no_charts_of_response_times(job, second, start):
    job.stage({"remark": "a"})
    job.run({}, [second(start, codes={}, latencies={})], times=(start, start + 1))
    assert [chart.title for chart in draw(Timeline(job.ledger))] == ["Requests per second"]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (4, ["14:13:20", "14:13:21", "14:13:22", "14:13:23", "14:13:24"]),
        (3600, ["14:20", "14:30", "14:40", "14:50", "15:00", "15:10"]),
        (3 * DAY, ["22 Sep", "12:00", "23 Sep", "12:00", "24 Sep", "12:00"]),
    ],
)
def test_the_time_axis_shows_round_times_of_the_day(charts, length, expected):
    assert labels(charts(runs=[(0, length)])[0], "x") == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"requests": 1}, ["0", "20", "40", "60", "80", "100", "120"]),  # up to the rate limit
        ({"requests": 1000}, ["0", "200", "400", "600", "800", "1,000", "1,200"]),
    ],
)
def test_the_axis_of_rates_shows_round_numbers(charts, counts, expected):
    assert labels(charts(**counts)[0], "y") == expected


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ([77], ["30 ms", "40 ms", "50 ms", "60 ms"]),
        ([47, 77], ["10 ms", "20 ms", "50 ms"]),
        ([0, 94, 188], ["1 ms", "10 ms", "100 ms", "1 s", "10 s"]),
    ],
)
def test_the_axis_of_response_times_shows_round_times(charts, buckets, expected):
    assert labels(charts(latencies=dict.fromkeys(buckets, 1))[2], "x") == expected


def test_a_line_of_response_times_has_gaps_where_there_was_no_response(charts):
    chart = charts(runs=[(0, 30)])[1]
    p99, p50 = re.findall(r'stroke-width:1.3[^"]*" d="([^"]*)"', chart.svg)
    assert p99.count("M") == p50.count("M") == 2


def test_a_run_is_labelled_with_its_command(job, start):
    job.stage({"remark": "a"})
    for number, command in enumerate(("plan", "run", "verify")):
        job.run({}, command=command, times=(start + 100 * number, start + 100 * number + 50))
    assert labels(draw(Timeline(job.ledger))[0], "note") == ["plan 1", "run 2", "verify 3"]


def test_runs_are_numbered_where_there_is_room(charts):
    chart = charts(runs=[(0, 100), (DAY, DAY + 1), (2 * DAY, 2 * DAY + 100)])[0]
    assert labels(chart, "note") == ["run 1", "run 3"]
    assert labels(chart, "x") == ["14:13:30", "14:14:00", "14:14:30", "14:13:20", "14:13:49", "14:14:19", "14:14:49"]
