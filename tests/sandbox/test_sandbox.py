"""The counts, compared with counting by hand, and the sandbox without a server."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.errors import UsageError
from batch_alias.sandbox import Contents, Draw, Faults, RequestStats, Rules, Sandbox
from batch_alias.sandbox.emulator import Request, Response, page, refusal, success
from batch_alias.sandbox.faults import BAD_GATEWAY, DROP_AFTER, DROP_BEFORE, UNAVAILABLE
from batch_alias.settings.target import Secret
from tests.support.faults import OnPath, Script
from tests.support.http import CLEAR, KEY, QUERY, READ, SECRET, SET


def request(at: float = 0.0, user: str = "", path: str = "/nothing") -> Request:
    form = {"groupId": "g", "userId": user}
    return Request(method="POST", path=path, headers={}, form=form, now=0.0, at=at)


@pytest.fixture
def sandbox():
    return Sandbox()


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.999, 1.0, 3.0]), max_size=50))
def test_the_busiest_second_is_exact(gaps):
    sandbox = Sandbox()
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    for at in times:
        sandbox.arrived(request(at))
    by_hand = max((sum(1 for other in times if 0 <= other - first < 1.0) for first in times), default=0)
    assert sandbox.stats().busiest_second == by_hand


def test_requests_refusals_and_the_busiest_second_are_counted_by_path_too(sandbox):
    arrivals = [(SET, 0.0), (SET, 0.5), (READ, 0.6), (SET, 1.4), (READ, 1.6), ("/nothing", 1.7)]
    for path, at in arrivals:
        sandbox.arrived(request(at, path=path))
    for path, _ in arrivals[2:]:
        sandbox.left(request(path=path), refusal(1008, path))
    stats = sandbox.stats()
    assert (stats.requests, stats.refusals, stats.busiest_second) == (6, 4, 3)
    none = RequestStats()
    assert stats.paths == {
        SET: RequestStats(requests=3, refusals=1, busiest_second=2),
        CLEAR: none,
        READ: RequestStats(requests=2, refusals=2, busiest_second=1),
        QUERY: none,
    }


def test_requests_in_flight_are_counted_together_and_by_key(sandbox):
    one, other, no_key = request(user="u"), request(user="v"), request()
    for arriving in (one, other, one, no_key, no_key, no_key):
        sandbox.arrived(arriving)
    for leaving in (one, one, no_key):
        sandbox.left(leaving, success())
    sandbox.arrived(one)
    stats = sandbox.stats()
    assert (stats.requests, stats.in_flight) == (7, 4)
    assert (stats.most_in_flight, stats.most_in_flight_for_one_key) == (6, 2)


def test_a_connection_is_overused_once_it_carries_80_requests(sandbox):
    for requests in (79, 80, 200):
        for uses in range(1, requests + 1):
            sandbox.arrived(request(), uses=uses)
    stats = sandbox.stats()
    assert (stats.connections_over_79, stats.most_requests_on_a_connection) == (2, 200)


def test_the_longest_idle_time_is_kept(sandbox):
    for idle in (0.0, 3.5, 2.0):
        sandbox.arrived(request(), idle=idle)
    assert sandbox.stats().longest_idle == 3.5


def test_answers_are_counted_by_code_or_status_and_refusals_are_those_over_the_limit(sandbox):
    over = refusal(1008, "/nothing")
    for response in (success(), over, page(429, "Too Many Requests"), over, Response(status=502), None):
        sandbox.left(request(), response)
    stats = sandbox.stats()
    assert stats.answers == {"200": 1, "1008": 2, "http-429": 1, "http-502": 1, "none": 1}
    assert stats.refusals == 3


def test_stats_are_a_copy(sandbox):
    before = sandbox.stats()
    sandbox.arrived(request(path=SET))
    sandbox.left(request(path=SET), success())
    assert (before.requests, before.answers, before.paths[SET]) == (0, {}, RequestStats())


def test_a_plan_starts_anew_when_it_is_set(sandbox):
    drawn = []

    class Recorded:
        def draw(self, number: int, elapsed: float, path: str) -> Draw:
            drawn.append((number, elapsed, path))
            return Draw()

    for times in ((5.0, 6.5), (8.0,)):
        sandbox.faults = Recorded()
        for at in times:
            sandbox.handle(request(at))
    assert drawn == [(0, 0.0, "/nothing"), (1, 1.5, "/nothing"), (0, 0.0, "/nothing")]


def test_the_latency_and_the_fault_of_a_request_are_those_of_its_draw():
    sandbox = Sandbox(faults=Script(lambda number: [BAD_GATEWAY, None][number], Faults(latency=3.0)))
    assert sandbox.handle(request()) == (3.0, BAD_GATEWAY.effect(request()))
    latency, response = sandbox.handle(request())
    assert (latency, response.status) == (3.0, 404)


def test_faults_can_be_read_back():
    plan = Script(lambda _: UNAVAILABLE)
    assert Sandbox(faults=plan).faults is plan
    assert Sandbox().faults == Faults()


def test_two_sandboxes_have_different_keys_and_do_not_show_their_secrets():
    one, other = Sandbox(), Sandbox()
    assert one.app_key != other.app_key
    assert one.app_secret != other.app_secret
    assert one.app_secret.reveal() not in repr(one.app_secret)


@pytest.fixture
def sandbox_of():
    """A sandbox of the app whose requests ``request_for`` signs."""
    return lambda *rules_and_faults, **more: Sandbox(*rules_and_faults, app_key=KEY, app_secret=Secret(SECRET), **more)


PAIR = b"groupId=g&userId=u"


def answer(handled: tuple[float, Response]) -> dict[str, object]:
    return json.loads(handled[1].body)


def test_it_starts_with_aliases_and_members(sandbox_of, request_for):
    held = {("g", "u"): " as it is ", ("g", "v"): ""}
    sandbox = sandbox_of(aliases=held, members={"g": {"u", "w"}})
    assert answer(sandbox.handle(request_for(PAIR, path=READ)))["remark"] == " as it is "
    assert answer(sandbox.handle(request_for(b"groupId=g", path=QUERY)))["users"] == [{"id": "u"}, {"id": "w"}]
    assert sandbox.aliases() == {("g", "u"): " as it is "}
    stats = sandbox.stats()
    assert (stats.aliases, stats.sets, stats.foreign_writes) == (1, 0, 0)


def test_another_writer_is_counted_apart_and_not_reported(sandbox_of, request_for):
    writes = []
    sandbox = sandbox_of(on_write=writes.append)
    sandbox.set_alias("g", "u", "theirs")
    assert answer(sandbox.handle(request_for(PAIR, path=READ)))["remark"] == "theirs"
    sandbox.set_alias("g", "u", None)
    assert (sandbox.aliases(), writes) == ({}, [])
    stats = sandbox.stats()
    assert (stats.aliases, stats.sets, stats.clears, stats.foreign_writes) == (0, 0, 0, 2)


def test_other_writers_may_be_in_other_threads(sandbox_of, request_for):
    sandbox = sandbox_of(Rules(rate=100_000))
    start = threading.Barrier(4)

    def write(group: int) -> None:
        start.wait()
        for user in range(500):
            sandbox.set_alias(f"g{group}", f"u{user}", "theirs")

    threads = [threading.Thread(target=write, args=(group,)) for group in range(3)]
    for thread in threads:
        thread.start()
    start.wait()
    for _ in range(100):
        sandbox.handle(request_for())
        assert answer(sandbox.handle(request_for(b"groupId=g1", path=QUERY)))["code"] == 200
        sandbox.aliases()
    for thread in threads:
        thread.join()
    assert (sandbox.stats().aliases, sandbox.stats().sets, sandbox.stats().foreign_writes) == (1501, 100, 1500)


def test_an_alias_can_be_changed_between_a_read_and_the_write_after_it(sandbox_of, request_for):
    seen = []

    def on_request(request: Request) -> None:
        seen.append((request.path, sandbox.aliases().get(request.key)))
        if request.path == CLEAR:
            sandbox.set_alias(*request.key, "theirs")

    sandbox = sandbox_of(aliases={("g", "u"): "before"}, on_request=on_request)
    assert answer(sandbox.handle(request_for(PAIR, path=READ)))["remark"] == "before"
    sandbox.handle(request_for())
    sandbox.handle(request_for(PAIR, path=CLEAR))
    assert seen == [(READ, "before"), (SET, "before"), (CLEAR, "r")]
    assert (sandbox.aliases(), sandbox.stats().foreign_writes) == ({}, 1)


def test_another_writer_changes_an_alias_once_it_has_been_read(sandbox_of, request_for):
    sandbox = sandbox_of(faults=Faults(other_writer=1.0), aliases={("g", "u"): "before"})
    read = request_for(PAIR, path=READ)
    found = [answer(sandbox.handle(read))["remark"] for _ in range(3)]
    assert found == ["before", "changed by another writer 1", "changed by another writer 2"]
    sandbox.handle(request_for())
    sandbox.handle(request_for(b"groupId=g", path=QUERY))
    assert sandbox.aliases() == {("g", "u"): "r"}
    assert sandbox.stats().foreign_writes == 3


def test_another_writer_changes_nothing_after_a_read_that_was_not_carried_out(sandbox_of, request_for):
    plan = Script([DROP_BEFORE, None, None, DROP_AFTER].__getitem__, Faults(other_writer=1.0))
    sandbox = sandbox_of(faults=plan)
    read = request_for(PAIR, path=READ)
    found = []
    for request in (read, request_for(path=READ, signature="wrong"), request_for(b"groupId=g", path=READ), read):
        sandbox.handle(request)
        found.append(sandbox.stats().foreign_writes)
    assert found == [0, 0, 0, 1]


def test_a_fault_can_be_for_one_path_only(sandbox_of, request_for):
    sandbox = sandbox_of(faults=OnPath(READ, Script(lambda _: UNAVAILABLE)))
    statuses = [sandbox.handle(request_for(PAIR, path=path))[1].status for path in (READ, CLEAR, QUERY)]
    assert statuses == [503, 200, 200]


@pytest.fixture
def file(tmp_path):
    def write(content: bytes):
        path = tmp_path / "file.csv"
        path.write_bytes(content)
        return path

    return write


ALIASES = 'groupId,note,remark,userId\ng 1,x,  老王 🐉 ,u\n\n=g,x,"a\nb","u,2"\r\ng,x,,v\ng,x,1,w\ng,x,2,w\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_aliases_are_read_as_they_are(encoding, file):
    found = Contents(aliases=file(ALIASES.encode(encoding))).read_aliases()
    assert found == {("g 1", "u"): "  老王 🐉 ", ("=g", "u,2"): "a\nb", ("g", "v"): "", ("g", "w"): "2"}


def test_members_are_read_by_group(file):
    members = Contents(members=file(b"userId,groupId\nu1,g\nu2,g\nu1,g\nu1,h\n")).read_members()
    assert members == {"g": {"u1", "u2"}, "h": {"u1"}}


def test_without_files_there_are_no_aliases_and_members_are_not_known():
    assert (Contents().read_aliases(), Contents().read_members()) == ({}, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column userId"),
        (b"userId,remark\nu,r\n", "no column groupId"),
        (b"userId,groupId\nu,g\n", "no column remark"),
        (b"userId,groupId, remark\nu,g,r\n", "no column remark"),
        (b"userId,groupId,remark\nu,g,r\n\nu,,r\n", "row 4: groupId is empty"),
        (b"groupId,remark,userId\ng,r\n", "row 2: userId is empty"),
        (b"userId,groupId,remark\nu,g,\xff\n", "not UTF-8"),
        (b'userId,groupId,remark\nu,g,r\nu,g,"r\n', "line 3: "),
    ],
)
def test_what_cannot_be_read_is_named(content, message, file):
    path = file(content)
    with pytest.raises(UsageError, match=message) as raised:
        Contents(aliases=path).read_aliases()
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("name", [".", "missing.csv"])
def test_a_file_that_cannot_be_opened_is_named(name, tmp_path):
    with pytest.raises(UsageError, match=r"cannot be read: \w+"):
        Contents(members=tmp_path / name).read_members()
