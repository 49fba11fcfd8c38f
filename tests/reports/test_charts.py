import pytest

from batch_alias.model import Event, EventKind
from batch_alias.reports.charts import LAYOUTS, draw
from batch_alias.reports.summary import summarize
from batch_alias.reports.timeline import build


@pytest.fixture
def charts(job, second, start):
    """Draw the charts of a run of 30 s with these events."""

    def make(*kinds, length=30, **counts):
        values = {"rate": 1.0, "seconds": 1.0, "host": "b.example.com", "detail": "HTTP 503"}
        events = [Event(at=start + 5, kind=kind, values=values) for kind in kinds]
        job.stage({"remark": "a"})
        job.run({}, [second(start, **counts), second(start + 20)], events, times=(start, start + length))
        return draw(build(job.ledger), summarize(job.ledger, exit_code=0, stopped=""))

    return make


def legend(chart):
    return {text: (color, shape) for color, shape, text in chart.legend}


def test_there_is_a_drawing_for_each_layout(charts):
    found = charts()
    assert [chart.title for chart in found] == [
        "Requests per second",
        "Response time",
        "Distribution of response times",
    ]
    assert all(set(chart.drawings) == {layout.name for layout in LAYOUTS} for chart in found)


def test_the_colours_are_those_of_the_page(charts):
    for chart in charts(EventKind.HOST_SWITCHED, refusals=3):
        for drawing in chart.drawings.values():
            assert "var(--blue)" in drawing
            assert "#0101" not in drawing
            assert "#000000" not in drawing


def test_the_legend_names_what_happened_and_nothing_else(charts):
    happened = {
        EventKind.RATE_LOWERED: "rate lowered",
        EventKind.HOST_SWITCHED: "host switched",
        EventKind.OUTAGE_BEGAN: "outage: sending on hold",
    }
    assert set(legend(charts(*happened)[0])) == {"rate limit", "requests per second", *happened.values()}


def test_every_kind_of_mark_looks_different(charts):
    found = legend(charts(EventKind.RATE_LOWERED, EventKind.ASKED_TO_WAIT, EventKind.HOST_SWITCHED)[0])
    looks = [found[text] for text in ("rate lowered", "asked to wait", "host switched")]
    assert len(set(looks)) == 3


def test_a_long_job_has_means_and_the_busiest_second(charts):
    found = legend(charts(length=6000, refusals=2)[0])
    assert set(found) == {"rate limit", "mean over 10 s", "busiest second in it", "refused by the rate limit"}


def test_without_a_response_there_are_no_charts_of_response_times(job, second, start):
    job.stage({"remark": "a"})
    job.run({}, [second(start, codes={}, latencies={})], times=(start, start + 1))
    found = draw(build(job.ledger), summarize(job.ledger, exit_code=4, stopped=""))
    assert [chart.title for chart in found] == ["Requests per second"]


def test_runs_without_a_round_time_in_them_are_labelled_by_their_numbers(job, second, start):
    job.stage({"remark": "a"})
    for number in range(20):
        begin = start + 1002 + 1000 * number
        job.run({}, [second(begin)], times=(begin, begin + 1))
    drawing = draw(build(job.ledger), summarize(job.ledger, exit_code=0, stopped=""))[0].drawings["wide"]
    assert [number for number in range(1, 21) if f">run {number}<" in drawing] == [1, 5, 9, 13, 17]
