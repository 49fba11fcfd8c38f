import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.model import LATENCY_STEP, Action, Classification, EventKind, Outcome, RequestKind, Response, State
from batch_alias.sending.metrics import Estimate, Metrics, Progress, latency_bucket

ACCEPT = Classification(action=Action.ACCEPT, meaning="")
SLOW_DOWN = Classification(action=Action.SLOW_DOWN, meaning="")


class Wall:
    """A wall clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def events() -> list:
    return []


@pytest.fixture
def metrics(wall, events) -> Metrics:
    return Metrics(RequestKind.WRITE, wall=wall, observer=events.append)


def response(latency: float = 0.01, classification: Classification = ACCEPT, **what) -> Response:
    return Response(request_id="r", host="h", latency=latency, classification=classification, **what)


def outcome(state: State) -> Outcome:
    return Outcome(row=2, state=state, code=None, message="", attempts=1, request_id="", finished_at=0.0)


def test_a_second_can_be_taken_once_it_is_over(metrics, wall):
    wall.now = 100.2
    metrics.started(retry=False, now=0.2)
    metrics.started(retry=True, now=0.9)
    metrics.responded(response(status=200, code=200))
    metrics.responded(response(status=429, code=1008, classification=SLOW_DOWN))
    metrics.settle(State.ACCEPTED)
    assert metrics.take() == ([], [])
    wall.now = 101.0
    ([second], _) = metrics.take()
    assert (second.at, second.requests, second.retries, second.refusals) == (100, 2, 1, 1)
    assert second.settled == {"accepted": 1}
    assert second.codes == {"200": 1, "1008": 1}
    assert second.latencies == {latency_bucket(0.01): 2}
    assert metrics.take(all_of_it=True) == ([], [])


def test_at_the_end_the_second_under_way_is_taken_too(metrics, wall):
    wall.now = 7.5
    metrics.started(retry=False, now=0.0)
    ([second], _) = metrics.take(all_of_it=True)
    assert (second.at, second.requests) == (7, 1)


def test_nothing_is_counted_twice_or_lost_over_many_seconds(metrics, wall):
    taken = []
    for n in range(500):
        wall.now = n / 10
        metrics.started(retry=n % 5 == 0, now=n / 10)
        metrics.settle(State.FAILED)
        if n % 33 == 0:
            taken += metrics.take()[0]
    taken += metrics.take(all_of_it=True)[0]
    assert [second.at for second in taken] == list(range(50))
    assert sum(second.requests for second in taken) == 500
    assert sum(second.retries for second in taken) == 100
    assert sum(second.settled["failed"] for second in taken) == metrics.settled[State.FAILED] == 500


def test_a_clock_that_is_set_back_loses_no_second(metrics, wall):
    for now in (100.0, 101.0, 100.5):
        wall.now = now
        metrics.started(retry=False, now=now)
    assert [second.at for second in metrics.take(all_of_it=True)[0]] == [100, 101, 100]


def test_an_event_is_observed_and_can_be_taken_once(metrics, wall, events):
    wall.now = 5.0
    metrics.emit(EventKind.HOST_SWITCHED, host="b.example")
    [event] = events
    assert (event.at, event.text) == (5.0, "All connections move to b.example.")
    assert metrics.take() == ([], [event])
    assert metrics.take() == ([], [])


@given(st.lists(st.floats(0, 20), min_size=1, max_size=200).map(sorted))
def test_the_rate_is_that_of_the_last_second(times):
    metrics = Metrics(RequestKind.WRITE, wall=lambda: 0.0, observer=lambda _event: None)
    for time in times:
        metrics.started(retry=False, now=time)
    last = times[-1]
    assert metrics.recent_rate(now=last) == sum(1 for time in times if last - 1 < time)
    assert metrics.recent_rate(now=last + 1.001) == 0


@given(st.floats(0.001, 1000))
def test_a_latency_is_in_the_bucket_that_reaches_up_to_it_within_five_per_cent(seconds):
    upper = LATENCY_STEP ** latency_bucket(seconds)
    assert upper / LATENCY_STEP * (1 - 1e-9) <= max(seconds * 1000, 1) <= upper * (1 + 1e-9)


def test_a_latency_of_zero_has_a_bucket():
    assert latency_bucket(0.0) == latency_bucket(-1.0) == 0


def at(done: int, **more) -> Progress:
    return Progress(done=done, states={}, recent_rate=0, in_flight=0, outage=None, **more)


@pytest.fixture
def estimate() -> Estimate:
    return Estimate(now=100.0)


def test_nothing_is_said_of_the_time_left_before_five_seconds_have_passed(estimate):
    assert [estimate.seconds_left(at(10 * n), 1000, now=100.0 + n) for n in range(1, 5)] == [None] * 4
    assert estimate.seconds_left(at(50), 1000, now=105.0) == pytest.approx(95)


def test_the_time_left_follows_the_pace_of_the_last_fifteen_seconds(estimate):
    for second in range(1, 61):
        estimate.seconds_left(at(100 * second), 10_000, now=100.0 + second)
    left = [estimate.seconds_left(at(6000 + 10 * second), 10_000, now=160.0 + second) for second in range(1, 16)]
    assert left == sorted(left)
    assert left[-1] == pytest.approx((10_000 - 6150) / 10)


def test_time_on_hold_is_left_out_of_the_pace_and_nothing_is_said_meanwhile(estimate):
    for second in range(1, 11):
        estimate.seconds_left(at(100 * second), 10_000, now=100.0 + second)
    on_hold = [estimate.seconds_left(at(1000, on_hold=True), 10_000, now=110.0 + second) for second in range(1, 3600)]
    assert set(on_hold) == {None}
    assert estimate.seconds_left(at(1100), 10_000, now=3710.0) == pytest.approx(89, abs=1)


def test_nothing_is_said_of_the_time_left_without_progress_at_the_end_or_anew(estimate):
    assert estimate.seconds_left(at(0), 1000, now=110.0) is None
    assert estimate.seconds_left(at(900), 1000, now=111.0) is not None
    assert estimate.seconds_left(at(1000), 1000, now=112.0) is None
    assert estimate.seconds_left(at(10), 1000, now=113.0) is None, "something else has begun"
    assert estimate.seconds_left(at(60), 1000, now=118.0) == pytest.approx(94)


def test_where_it_is_asked_for_seldom_the_time_left_is_said_too(estimate):
    estimate.seconds_left(at(1000), 10_000, now=110.0)
    assert estimate.seconds_left(at(1100), 10_000, now=120.0) == pytest.approx(890)
