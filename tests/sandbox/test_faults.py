"""The plan: repeatable, true to its shares, and honest about what was carried out."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.errors import UsageError
from batch_alias.rongcloud.codes import CODES
from batch_alias.sandbox.exchange import Request, refusal, success
from batch_alias.sandbox.faults import HOSTILE, Fate, Faults, Forced, Outage, Trouble, fate, mixed
from batch_alias.sandbox.outlet import AFTER, BEFORE, outlet

REQUEST = Request(method="POST", path="/group/remarks/set.json", headers={}, body=b"", now=0.0, at=0.0)
DRAWS = 4000


@given(seed=st.integers(), number=st.integers(0, 2**40), elapsed=st.floats(0, 1e6))
def test_the_same_request_of_the_same_seed_meets_the_same_fate(seed, number, elapsed):
    faults = mixed(latency=1, jitter=0.3, errors=0.2, drops=0.2, seed=seed)
    assert fate(faults, number, elapsed) == fate(faults, number, elapsed)


def test_another_seed_tells_another_story():
    one, other = ([fate(mixed(errors=0.5, seed=seed), n, 0).mishap for n in range(50)] for seed in (1, 2))
    assert one != other


@given(latency=st.floats(0, 60), jitter=st.floats(0, 1), number=st.integers(0, 10**6))
def test_latency_stays_within_its_jitter(latency, jitter, number):
    drawn = fate(Faults(latency=latency, jitter=jitter), number, 0).latency
    assert latency * (1 - jitter) - 1e-9 <= drawn <= latency * (1 + jitter) + 1e-9


def test_the_mean_latency_is_the_one_asked_for():
    drawn = [fate(Faults(latency=0.5, jitter=0.3), n, 0).latency for n in range(DRAWS)]
    assert sum(drawn) / DRAWS == pytest.approx(0.5, rel=0.02)
    assert max(drawn) - min(drawn) > 0.25


def test_each_trouble_comes_as_often_as_asked_for():
    faults = mixed(errors=0.2, drops=0.1, hangs=0.04, pages=0.06, refusals=0.1, hostile=0.18)
    counts = Counter(fate(faults, n, 0).mishap for n in range(DRAWS))
    for trouble, share in faults.shares.items():
        assert counts[trouble] == pytest.approx(share * DRAWS, rel=0.45), trouble
    assert counts[None] == pytest.approx(0.32 * DRAWS, rel=0.1)


@pytest.mark.parametrize("trouble", Trouble)
def test_a_share_of_one_is_every_request(trouble):
    assert {fate(Faults(shares={trouble: 1.0}), n, 0).mishap for n in range(100)} == {trouble}


def test_an_outage_has_a_beginning_and_an_end_and_comes_before_all_else():
    faults = Faults(
        outages=(Outage(start=10, end=20), Outage(start=15, end=30, trouble=Trouble.HANG_BEFORE)),
        forced=Forced(code=1006),
    )
    met = [fate(faults, 0, elapsed).mishap for elapsed in (9.9, 10, 19.9, 20, 29.9, 30)]
    down, hung, back = Trouble.UNAVAILABLE, Trouble.HANG_BEFORE, Forced(code=1006)
    assert met == [back, down, down, hung, hung, back]


def test_a_forced_code_can_be_for_some_requests_only():
    forced = Forced(code=1005, share=0.1)
    counts = Counter(fate(Faults(forced=forced), n, 0).mishap for n in range(DRAWS))
    assert counts[forced] == pytest.approx(0.1 * DRAWS, rel=0.2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"latency": -1.0},
        {"latency": float("inf")},
        {"latency": float("nan")},
        {"jitter": 1.1},
        {"jitter": float("nan")},
        {"shares": {Trouble.REFUSAL: -0.1}},
        {"shares": {Trouble.REFUSAL: 0.6, Trouble.REDIRECT: 0.6}},
        {"forced": Forced(code=1006, share=2)},
    ],
)
def test_impossible_faults_are_refused(wrong):
    with pytest.raises(UsageError):
        Faults(**wrong)


def test_all_requests_may_be_shared_out_among_the_troubles():
    assert fate(mixed(hostile=1.0), 7, 0).mishap in HOSTILE


def met(mishap: Trouble | Forced | None, answer) -> tuple[object, int]:
    """What leaves, and how many times RongCloud was asked."""
    asked = []

    def carry_out(request):
        asked.append(request)
        return answer

    return outlet(REQUEST, Fate(latency=0, mishap=mishap, coin=True), carry_out), len(asked)


def test_every_trouble_is_either_before_or_after_the_write():
    assert set(BEFORE) | set(AFTER) == set(Trouble)
    assert not set(BEFORE) & set(AFTER)


@pytest.mark.parametrize("trouble", Trouble)
def test_only_a_trouble_after_the_write_lets_the_request_through(trouble):
    _, asked = met(trouble, success(REQUEST))
    assert asked == (trouble in AFTER)


@pytest.mark.parametrize("trouble", AFTER)
def test_a_refusal_is_never_spoilt_into_something_that_says_200(trouble):
    refused = refusal(REQUEST, 1008)
    assert met(trouble, refused) == (refused, 1)


@pytest.mark.parametrize(
    ("forced", "status", "code"),
    [
        (Forced(code=1006), 401, 1006),
        (Forced(code=1009), 430, 1009),
        (Forced(code=20101), 400, 20101),
        (Forced(code=1015, status=200), 200, 1015),
        (Forced(code=404), 404, None),
    ],
)
def test_a_forced_code_answers_without_asking_rongcloud(forced, status, code):
    answer, asked = met(forced, success(REQUEST))
    assert (answer.status, answer.code, asked) == (status, code, 0)


@pytest.mark.parametrize("code", [code for code in CODES if code != 200])
def test_every_code_of_the_table_can_be_forced_and_comes_with_its_status(code):
    answer, _ = met(Forced(code=code), success(REQUEST))
    assert (answer.status, answer.code) == (CODES[code].http, code)
    assert json.loads(answer.body) == {"code": code, "errorMessage": CODES[code].meaning, "url": REQUEST.path}


def test_without_a_mishap_the_answer_leaves_as_it_is():
    answer = success(REQUEST)
    assert met(None, answer) == (answer, 1)
