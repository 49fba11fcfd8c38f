import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.model import Action, Failure, Response, State, Classification
from batch_alias.records import LATENCY_STEP
from batch_alias.sending.metrics import Metrics, describe, latency_bucket

ACCEPT = Classification(action=Action.ACCEPT, meaning="")
SLOW_DOWN = Classification(action=Action.SLOW_DOWN, meaning="")


class Log:
    def __init__(self) -> None:
        self.seconds = []
        self.busiest = []

    def record_second(self, second, *, busiest) -> None:
        self.seconds.append(second)
        self.busiest.append(busiest)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def meter(log) -> Metrics:
    return Metrics(log)


def reply(latency: float = 0.01, **what) -> Response:
    return Response(request_id="r", host="h", latency=latency, **what)


def test_a_second_is_handed_on_once_it_is_over(meter, log):
    meter.started(retry=False, wall=100.2, now=0.2)
    meter.started(retry=True, wall=100.9, now=0.9)
    meter.replied(reply(status=200, code=200), ACCEPT, wall=100.95)
    meter.replied(reply(status=429, code=1008), SLOW_DOWN, wall=100.96)
    meter.settle(State.ACCEPTED, wall=100.97)
    assert log.seconds == []
    meter.started(retry=False, wall=101.0, now=1.0)
    (second,) = log.seconds
    assert (second.at, second.requests, second.retries, second.refusals) == (100, 2, 1, 1)
    assert second.settled == {"accepted": 1}
    assert second.codes == {"200": 1, "1008": 1}
    assert second.latencies == {latency_bucket(0.01): 2}
    assert log.busiest == [2]


def test_nothing_is_counted_twice_or_lost_over_many_seconds(meter, log):
    for n in range(500):
        meter.started(retry=n % 5 == 0, wall=n / 10, now=n / 10)
        meter.settle(State.FAILED, wall=n / 10)
    meter.flush()
    meter.flush()
    assert [second.at for second in log.seconds] == list(range(50))
    assert sum(second.requests for second in log.seconds) == meter.requests == 500
    assert sum(second.retries for second in log.seconds) == 100
    assert sum(second.settled["failed"] for second in log.seconds) == meter.settled[State.FAILED] == 500


def test_a_clock_that_is_set_back_loses_no_second(meter, log):
    for wall in (100.0, 101.0, 100.5):
        meter.started(retry=False, wall=wall, now=wall)
    meter.flush()
    assert [second.at for second in log.seconds] == [100, 101, 100]


@given(st.lists(st.floats(0, 20), min_size=1, max_size=200).map(sorted))
def test_the_busiest_second_is_that_of_any_half_open_window(times):
    meter = Metrics(Log())
    for time in times:
        meter.started(retry=False, wall=0.0, now=time)
    assert meter.busiest == max(sum(1 for other in times if time - 1 < other <= time) for time in times)
    last = times[-1]
    assert meter.recent_rate(now=last) == sum(1 for time in times if last - 1 < time)
    assert meter.recent_rate(now=last + 1.001) == 0


@given(st.floats(0.001, 1000))
def test_a_latency_is_in_the_bucket_that_reaches_up_to_it_within_five_per_cent(seconds):
    bucket = latency_bucket(seconds)
    upper = LATENCY_STEP**bucket
    assert upper / LATENCY_STEP * (1 - 1e-9) <= max(seconds * 1000, 1) <= upper * (1 + 1e-9)


def test_even_no_time_at_all_has_a_bucket():
    assert latency_bucket(0.0) == latency_bucket(-1.0) == 0


@pytest.mark.parametrize(
    ("what", "word"),
    [
        ({"status": 200, "code": 200}, "200"),
        ({"status": 429, "code": 1008}, "1008"),
        ({"status": 502}, "HTTP 502"),
        ({"failure": Failure.TIMEOUT}, "timeout"),
        ({"failure": Failure.CONNECT}, "connect"),
        ({"failure": Failure.DROPPED}, "dropped"),
    ],
)
def test_a_reply_is_counted_by_one_word(what, word):
    assert describe(reply(**what)) == word
