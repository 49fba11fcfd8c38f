"""Each rule, with clocks set by the test."""

import json
from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.errors import UsageError
from batch_alias.rongcloud.codes import CODES
from batch_alias.sandbox.emulator import Emulator, Request, Response, Rules, Write, in_last_second
from batch_alias.settings.target import Secret
from tests.sandbox.conftest import NOW
from tests.support.http import CLEAR, FORM, KEY, QUERY, READ, SECRET, SET


@pytest.fixture
def emulator():
    return Emulator(KEY, Secret(SECRET), Rules())


def content(response: Response) -> dict[str, object]:
    return json.loads(response.body)


def test_a_set_alias_is_held_and_read_back(emulator, request_for):
    response = emulator.handle(request_for())
    assert (response.status, content(response)) == (200, {"code": 200})
    assert emulator.aliases == {("g", "u"): "r"}
    assert content(emulator.handle(request_for(b"userId=u&groupId=g", path=READ))) == {"code": 200, "remark": "r"}


def test_setting_again_overwrites_and_is_counted_once_per_key(emulator, request_for):
    for remark in (b"1", b"2", b"3"):
        emulator.handle(request_for(b"userId=u&groupId=g&remark=" + remark))
    emulator.handle(request_for(b"userId=v&groupId=g&remark=x"))
    assert emulator.aliases == {("g", "u"): "3", ("g", "v"): "x"}
    assert (emulator.stats.sets, emulator.stats.keys_set_again) == (4, 1)


def test_a_cleared_alias_is_gone_and_clearing_nothing_is_accepted(emulator, request_for):
    emulator.handle(request_for())
    for _ in range(2):
        assert content(emulator.handle(request_for(b"userId=u&groupId=g", path=CLEAR))) == {"code": 200}
    assert content(emulator.handle(request_for(b"userId=u&groupId=g", path=READ))) == {"code": 200, "remark": ""}
    assert emulator.aliases == {}


def test_every_accepted_change_is_reported_in_order(request_for):
    writes = []
    emulator = Emulator(KEY, Secret(SECRET), Rules(), writes.append)
    emulator.handle(request_for())
    emulator.handle(request_for(b""))
    emulator.handle(request_for(b"userId=u&groupId=g", path=READ))
    emulator.handle(request_for(b"userId=u&groupId=g", path=CLEAR))
    cleared = Write(group_id="g", user_id="u", remark=None)
    assert writes == [replace(cleared, remark="r"), cleared]


def test_sets_clears_and_reads_are_counted_when_they_are_carried_out(request_for):
    emulator = Emulator(KEY, Secret(SECRET), Rules(rate=2))
    pair = b"userId=u&groupId=g"
    requests = [request_for(), request_for(pair, path=CLEAR), *(request_for(pair, path=READ) for _ in range(3))]
    requests += [request_for(b"groupId=g", path=CLEAR), request_for(pair, path=CLEAR, signature="wrong")]
    for request in requests:
        emulator.handle(request)
    assert (emulator.stats.sets, emulator.stats.clears, emulator.stats.reads) == (1, 1, 2)


@pytest.mark.parametrize(
    ("no_alias", "answer"), [("missing", {}), ("null", {"remark": None}), ("empty", {"remark": ""})]
)
def test_a_read_says_in_the_configured_way_that_no_alias_is_set(no_alias, answer, request_for):
    emulator = Emulator(KEY, Secret(SECRET), Rules(no_alias=no_alias))
    read = request_for(b"userId=u&groupId=g", path=READ)
    assert content(emulator.handle(read)) == {"code": 200, **answer}
    emulator.handle(request_for())
    assert content(emulator.handle(read)) == {"code": 200, "remark": "r"}


@pytest.mark.parametrize("none", [None, ""])
def test_a_change_without_a_request_is_read_but_neither_counted_nor_reported(none, request_for):
    writes = []
    emulator = Emulator(KEY, Secret(SECRET), Rules(), writes.append)
    before = replace(emulator.stats)
    emulator.change(("g", "u"), " r ")
    assert emulator.aliases == {("g", "u"): " r "}
    emulator.change(("g", "u"), none)
    emulator.change(("g", "never set"), none)
    assert (emulator.aliases, emulator.stats, writes) == ({}, before, [])
    assert content(emulator.handle(request_for(b"groupId=g", path=QUERY)))["users"] == [{"id": "u"}]


@pytest.fixture
def users_of(request_for):
    """The answer of an emulator to a query for the members of a group: their ids, or the code that refuses it."""

    def query(emulator: Emulator, group: str) -> list[str] | int:
        response = emulator.handle(request_for(f"groupId={group}".encode(), path=QUERY))
        return [user["id"] for user in content(response)["users"]] if response.code == 200 else response.code

    return query


@pytest.mark.parametrize(("unknown_group", "answer"), [("empty", []), ("error", 1002)])
def test_the_members_of_a_group_are_those_given(unknown_group, answer, request_for, users_of):
    members = {"g": {"u2", "u1"}, "nobody": ()}
    emulator = Emulator(KEY, Secret(SECRET), Rules(unknown_group=unknown_group), members=members)
    emulator.handle(request_for(b"userId=stranger&groupId=g&remark=r"))
    emulator.handle(request_for(b"userId=stranger&groupId=another&remark=r"))
    found = [users_of(emulator, group) for group in ("g", "nobody", "another")]
    assert found == [["u1", "u2"], [], answer]


@pytest.mark.parametrize(("unknown_group", "answer"), [("empty", []), ("error", 1002)])
def test_without_members_they_are_the_users_that_have_or_had_an_alias(unknown_group, answer, request_for, users_of):
    emulator = Emulator(KEY, Secret(SECRET), Rules(unknown_group=unknown_group))
    for user in (b"u2", b"u1", b"u2"):
        emulator.handle(request_for(b"groupId=g&remark=r&userId=" + user))
    emulator.handle(request_for(b"groupId=g&userId=u1", path=CLEAR))
    emulator.handle(request_for(b"groupId=another&userId=u1", path=CLEAR))
    assert [users_of(emulator, group) for group in ("g", "another")] == [["u1", "u2"], answer]


@pytest.mark.parametrize(
    ("body", "code"), [(b"", 1003), (b"userId=u", 1002), (b"groupId=" + b"g" * 65, 1005), (b"groupId=g", 200)]
)
def test_a_query_needs_a_group_only(body, code, emulator, request_for):
    assert emulator.handle(request_for(body, path=QUERY)).code == code


REFUSALS = {
    "no App Key": (1002, {"without": ("app-key",)}),
    "unknown App Key": (1002, {"app_key": "another-app-key"}),
    "no header at all": (1002, {"without": ("app-key", "nonce", "timestamp", "signature")}),
    "no nonce": (1004, {"without": ("nonce",)}),
    "no timestamp": (1004, {"without": ("timestamp",)}),
    "no signature": (1004, {"without": ("signature",)}),
    "wrong signature": (1004, {"signature": "0" * 40}),
    "signature that is not ASCII": (1004, {"signature": "é" * 40}),
    "timestamp that is no number": (1004, {"timestamp": "yesterday"}),
    "timestamp in another script's digits": (1004, {"timestamp": "²³"}),
    "mixed spellings": (1004, {"rc_nonce": "14314"}),
    "empty POST": (1003, {"body": b""}),
    "no user": (1002, {"body": b"groupId=g&remark=r"}),
    "no group": (1002, {"body": b"userId=u&remark=r"}),
    "no remark": (1002, {"body": b"userId=u&groupId=g"}),
    "empty remark": (1002, {"body": b"userId=u&groupId=g&remark="}),
    "not a form": (1002, {"content_type": "application/json"}),
    "percent-encoded bytes that are not UTF-8": (1002, {"body": b"userId=u&groupId=g&remark=%FF%FE"}),
    "bytes that are not UTF-8": (1002, {"body": b"userId=u&groupId=g&remark=\xff"}),
    "a stray percent sign": (1002, {"body": b"userId=u&groupId=g&remark=100%"}),
    "user of 65 bytes": (1005, {"body": b"userId=" + b"u" * 65 + b"&groupId=g&remark=r"}),
    "user of 22 characters and 66 bytes": (1005, {"body": b"userId=" + b"%E4%BD%A0" * 22 + b"&groupId=g&remark=r"}),
    "group of 65 characters": (1005, {"body": b"userId=u&groupId=" + b"g" * 65 + b"&remark=r"}),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_an_invalid_request_gets_its_code_and_changes_nothing(name, emulator, request_for):
    code, how = REFUSALS[name]
    response = emulator.handle(request_for(**how))
    assert (response.status, response.code) == (CODES[code].status, code)
    assert content(response).keys() == {"code", "errorMessage", "url"}
    assert (content(response)["code"], content(response)["url"]) == (code, SET)
    assert content(response)["errorMessage"]
    assert emulator.aliases == {}


@pytest.mark.parametrize(
    "body",
    [
        b"userId=" + b"u" * 64 + b"&groupId=g&remark=r",
        b"userId=u&groupId=" + b"%E4%BD%A0" * 64 + b"&remark=r",
        b"userId=u&groupId=g&remark=" + b"r" * 5000,
    ],
)
def test_fields_at_their_limit_are_accepted(body, emulator, request_for):
    assert emulator.handle(request_for(body)).code == 200


@pytest.mark.parametrize(("length", "code", "long"), [(18, 200, 0), (19, 200, 1), (64, 200, 1), (65, 1004, 1)])
def test_a_nonce_has_at_most_64_characters_and_a_long_one_is_counted(length, code, long, emulator, request_for, signed):
    headers = signed(nonce="n" * length, timestamp="1700000000000")
    assert emulator.handle(request_for(**headers)).code == code
    assert emulator.stats.long_nonces == long


def test_extreme_values_are_accepted_and_counted(emulator, request_for, signed):
    for nonce, timestamp in (("one", "1000000000000"), ("two", str(int(NOW))), ("two", str(int(NOW * 1000)))):
        assert emulator.handle(request_for(**signed(nonce=nonce, timestamp=timestamp))).code == 200
    assert emulator.handle(request_for(b"userId=u&groupId=g&remark=" + b"x" * 2**20, nonce="14314")).code == 200
    stats = emulator.stats
    assert (stats.odd_timestamps, stats.reused_nonces, stats.longest_remark) == (1, 1, 2**20)


def test_the_other_spelling_of_the_headers_is_accepted(emulator, request_for, signed):
    headers = {f"rc-{name}": value for name, value in signed().items()}
    assert emulator.handle(request_for(without=tuple(signed()), **headers)).code == 200


@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize(("behind", "code"), [(0, 200), (59, 200), (-59, 200), (61, 1004), (-61, 1004)])
def test_a_timestamp_in_seconds_or_milliseconds_is_compared_with_the_clock(unit, behind, code, request_for, signed):
    emulator = Emulator(KEY, Secret(SECRET), Rules(max_skew=60))
    headers = signed(timestamp=str(int((NOW - behind) * unit)))
    assert emulator.handle(request_for(**headers)).code == code


def test_a_timestamp_with_thousands_of_digits_is_refused(request_for, signed):
    emulator = Emulator(KEY, Secret(SECRET), Rules(max_skew=60))
    assert emulator.handle(request_for(**signed(timestamp="9" * 5000))).code == 1004


def test_the_timestamp_is_not_compared_by_default(emulator, request_for, signed):
    assert emulator.handle(request_for(**signed(timestamp="1"))).code == 200


@pytest.mark.parametrize(
    ("secret", "nonce", "timestamp", "signature"),
    [
        ("Y1W2MeFwwwRxa0", "14314", "1408710653000", "30be0bbca9c9b2e27578701e9fda2358a814c88f"),
        ("your-own-app-secret", "6JdWufDkiLqyeRU5", "1665601025006", "5c9891b71dbf07e37b69af7c17b4143ea5bb10d3"),
    ],
)
def test_the_signature_is_the_documented_one(secret, nonce, timestamp, signature, request_for):
    emulator = Emulator(KEY, Secret(secret), Rules())
    request = request_for(nonce=nonce, timestamp=timestamp, signature=signature)
    assert emulator.handle(request).code == 200


def test_another_path_gets_the_gateways_page(emulator, request_for):
    response = emulator.handle(request_for(path="/group/remarks/set"))
    assert (response.status, response.code) == (404, None)
    assert response.body.startswith(b"<html>")


def test_another_method_gets_the_gateways_page(emulator, request_for):
    response = emulator.handle(replace(request_for(), method="GET"))
    assert (response.status, response.code) == (405, None)


def test_the_limit_refuses_with_429_and_retry_after_only_if_configured(request_for):
    for retry_after, expected in ((None, None), (2, "2")):
        emulator = Emulator(KEY, Secret(SECRET), Rules(rate=1, retry_after=retry_after))
        assert "retry-after" not in dict(emulator.handle(request_for(at=5.0)).headers)
        refused = emulator.handle(request_for(at=5.5))
        assert (refused.status, refused.code) == (429, 1008)
        assert dict(refused.headers).get("retry-after") == expected


def test_the_limit_is_counted_per_path_and_for_authenticated_requests_only(request_for):
    emulator = Emulator(KEY, Secret(SECRET), Rules(rate=1))
    codes = [
        emulator.handle(request).code
        for request in (
            request_for(app_key="stranger"),
            request_for(signature="wrong"),
            request_for(),
            request_for(),
            request_for(b"userId=u&groupId=g", path=READ),
            request_for(b"userId=u&groupId=g", path=CLEAR),
            request_for(b"groupId=g", path=QUERY),
            request_for(b"groupId=g", path=QUERY),
        )
    ]
    assert codes == [1002, 1004, 200, 1008, 200, 200, 200, 1008]


def test_all_paths_can_share_one_limit(request_for):
    emulator = Emulator(KEY, Secret(SECRET), Rules(rate=2, shared_limit=True))
    pair = b"userId=u&groupId=g"
    requests = [request_for(), *(request_for(pair, path=path) for path in (READ, CLEAR, QUERY))]
    codes = [emulator.handle(request).code for request in [*requests, request_for(at=1.0)]]
    assert codes == [200, 200, 1008, 1008, 200]


def test_requests_with_wrong_fields_count_towards_the_limit(request_for):
    emulator = Emulator(KEY, Secret(SECRET), Rules(rate=1))
    assert [emulator.handle(request_for(body)).code for body in (b"", b"")] == [1003, 1008]


def naive(times: list[float], rate: int, *, count_refused: bool) -> list[int]:
    counted: list[float] = []
    codes = []
    for at in times:
        over = sum(1 for earlier in counted if at - earlier < 1.0) >= rate
        codes.append(1008 if over else 200)
        if count_refused or not over:
            counted.append(at)
    return codes


gaps = st.lists(st.sampled_from([0.0, 0.001, 0.1, 0.25, 0.5, 0.999, 1.0, 1.5]), max_size=60)


@given(gaps=gaps, rate=st.integers(1, 5), count_refused=st.booleans())
def test_the_limit_agrees_with_a_naive_count(signed, gaps, rate, count_refused):
    emulator = Emulator(KEY, Secret(SECRET), Rules(rate=rate, count_refused=count_refused))
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    headers = {**signed(), "content-type": FORM}
    form = {"userId": "u", "groupId": "g", "remark": "r"}
    requests = [Request(method="POST", path=SET, headers=headers, form=form, now=NOW, at=at) for at in times]
    codes = [emulator.handle(request).code for request in requests]
    assert codes == naive(times, rate, count_refused=count_refused)


def test_exactly_one_second_apart_is_not_the_same_second(request_for):
    emulator = Emulator(KEY, Secret(SECRET), Rules(rate=1))
    assert [emulator.handle(request_for(at=at)).code for at in (0.0, 1.0, 1.999)] == [200, 200, 1008]


@given(gaps)
def test_instants_of_the_last_second_are_counted_exactly(gaps):
    instants = deque()
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    for n, at in enumerate(times):
        assert in_last_second(instants, at) == sum(at - earlier < 1.0 for earlier in times[:n])
        instants.append(at)


@pytest.mark.parametrize(
    ("flag", "wrong"),
    [("--rate", {"rate": 0}), ("--no-alias", {"no_alias": "no"}), ("--unknown-group", {"unknown_group": "null"})],
)
def test_a_rule_out_of_its_range_is_refused(flag, wrong):
    with pytest.raises(UsageError, match=flag):
        Rules(**wrong)
