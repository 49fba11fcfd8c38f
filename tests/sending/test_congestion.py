"""Services that bear less than the full rate, on a driven clock: how fast rows are sent and how many are refused."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from batch_alias.model import Failure, State
from tests.sending.conftest import CHECK
from tests.support.services import Connections, Gap, Queue, Sliding

ANSWERS = {
    "accepted": {},
    "429": {"code": None, "status": 429},
    "503": {"code": None, "status": 503},
    "1008": {"code": 1008},
}
"""What the services of ``tests.support.services`` say."""


@pytest.fixture
def sent_to(send, answer):
    """Send rows to a service that answers so; rows per second after the first 5 s, and the share refused since then."""

    def run(service, *, count: int = 1200):
        answers: list[tuple[float, str]] = []

        def script(fake, row):
            now = fake.loop.time()
            kind, latency = service(now)
            timeout = 5.0 if row not in fake.attempts else 10.0
            if latency > timeout:
                answers.append((now + timeout, "timeout"))
                return answer(failure=Failure.TIMEOUT, latency=timeout)
            answers.append((now + latency, kind))
            return answer(**ANSWERS[kind], latency=latency)

        sent = send(script, count=count)
        assert sent.error is None
        assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: count}
        kinds = Counter(kind for at, kind in answers if at > 5)
        return kinds["accepted"] / (sent.seconds - 5), 1 - kinds["accepted"] / kinds.total(), sent

    return run


@pytest.mark.parametrize("latency", [0.005, 0.2, 1.0])
def test_at_the_full_rate_nothing_is_refused(latency, sent_to):
    _, refused, sent = sent_to(Sliding(100, latency, jitter=0.3))
    first, last = sent.service.starts[3].at, sent.service.starts[-1].at
    assert (len(sent.service.starts) - 4) / (last - first) >= 98
    assert refused <= 1 / 1200
    assert sent.event_kinds == []


@pytest.mark.parametrize("refusal", ["429", "503"])
def test_a_limiter_without_a_burst(refusal, sent_to):
    rate, _, sent = sent_to(Gap(refusal))
    assert rate >= 65
    assert "outage-began" not in sent.event_kinds


@pytest.mark.parametrize("refusal", ["429", "503"])
def test_a_limit_on_connections(refusal, sent_to):
    rate, refused, sent = sent_to(Connections(refusal))
    assert rate >= 45
    assert refused <= 0.1
    assert "rate-lowered" in sent.event_kinds
    assert "outage-began" not in sent.event_kinds


@pytest.mark.slow
@pytest.mark.parametrize("latency", [0.05, 0.3, 1.0])
@pytest.mark.parametrize(("count_refused", "least"), [(False, 36), (True, 34)])
def test_a_smaller_grant_is_found_and_used(latency, count_refused, least, sent_to):
    rate, refused, sent = sent_to(Sliding(40, latency, count_refused, jitter=0.3), count=2000)
    assert rate >= least
    assert refused <= 0.1
    assert sent.event_kinds.count("rate-lowered") <= 5


def test_a_queue_is_not_filled(sent_to):
    rate, _, sent = sent_to(Queue())
    assert rate >= 22
    assert len(sent.service.starts) <= 1.03 * 1200
    assert "outage-began" not in sent.event_kinds


@pytest.mark.slow
def test_a_service_that_becomes_slower_is_not_throttled_for_long(sent_to):
    rate, _, _ = sent_to(lambda now: ("accepted", 0.05 if now < 8 else 1.0), count=4000)
    assert rate >= 80


def test_a_lone_refusal_does_not_lower_the_rate(send, answer):
    sent = send(lambda service, _row: answer(code=1008) if len(service.starts) == 30 else answer(), count=1500)
    assert sent.event_kinds == []
    assert sent.seconds <= 1500 / 98 + 2.5


def test_stray_faults_of_every_kind_cost_little(send, answer):
    faults = [
        (0.03, {"code": None, "status": 500}),
        (0.02, {"code": None, "status": 503}),
        (0.01, {"code": None, "status": 504}),
        (0.02, {"failure": Failure.DROPPED}),
        (0.02, {"code": None, "status": 200}),
        (0.01, {"code": None, "status": 429}),
        (0.01, {"failure": Failure.DROPPED}),
        (0.002, {"failure": Failure.TIMEOUT, "latency": 3.0}),
    ]
    draw = random.Random(7)

    def script(_service, _row):
        picked = draw.random()
        for share, fault in faults:
            if picked < share:
                return answer(**fault)
            picked -= share
        return answer()

    sent = send(script, count=1500)
    assert Counter(sent.ledger.states().values()) == {State.ACCEPTED: 1500}
    assert sent.seconds <= 30


@pytest.mark.slow
def test_at_a_low_rate_stray_signals_are_no_limit(send, answer):
    draw = random.Random(5)

    def script(service, _row):
        if 2 < service.loop.time() < 4:  # after the outage the rate is a tenth of the full one
            return answer(failure=Failure.DROPPED)
        return answer(code=None, status=429) if draw.random() < 0.04 else answer()

    sent = send(script, count=3000)
    assert len(sent.ledger.outcomes) == 3000
    assert sent.seconds <= 75


@pytest.mark.slow
def test_a_request_that_hangs_does_not_delay_the_others(send, answer):
    def script(service, row):
        if row == 700:
            return answer(failure=Failure.TIMEOUT, latency=60.0) if service.sent.count(row) == 1 else answer(code=1000)
        return answer(latency=0.05 if service.loop.time() < 8 else 0.15)

    sent = send(script, count=3000, timeout=60.0)
    times = [start.at for start in sent.service.starts if start.row not in {700, CHECK}]
    assert max(later - earlier for earlier, later in pairwise(times)) <= 3
