"""What is read, sent and read back for a row, and in which order, on a driven clock."""

from collections import Counter
from dataclasses import replace

import pytest

from batch_alias.model import Failure, State
from batch_alias.sending.comparison import FOUND_WHEN_READ_BACK, Steps
from batch_alias.sending.row_steps import FRESH, VERIFY_AFTER
from tests.sending.conftest import states

COMPARE = Steps(compare=True)
ONLY_ABSENT = Steps(compare=True, only_absent=True)
VERIFY = Steps(verify=True)
PLAN = Steps(compare=True, write=False)
LOST = {"failure": Failure.TIMEOUT, "latency": 1.0}


def expecting(rows, count, expected):
    """Rows that are sent only where the alias is what is expected."""
    return [replace(row, expected=expected) for row in rows(count)]


def test_what_a_row_replaces_is_kept_before_it_is_sent(send, answer):
    def script(service, row):
        assert service.ledger.before[row] == f"old {row}"
        return answer()

    sent = send(script, count=300, steps=COMPARE, aliases={number: f"old {number}" for number in range(2, 302)})
    assert states(sent) == {State.ACCEPTED: 300}
    assert sent.ledger.before == {row.number: f"old {row.number}" for row in sent.ledger.rows}
    assert sent.service.aliases == {row.number: row.remark for row in sent.ledger.rows}


def test_what_a_row_replaced_first_stays_and_is_not_read_again(send, always, rows):
    compared = [replace(row, before="the first") for row in rows(20)]
    sent = send(always(), rows=compared, steps=COMPARE, aliases=dict.fromkeys(range(2, 22), "another"))
    assert states(sent) == {State.ACCEPTED: 20}
    assert not sent.service.reads
    sent = send(
        always(), rows=compared, doubted=range(2, 22), steps=COMPARE, aliases=dict.fromkeys(range(2, 22), "another")
    )
    assert len(sent.service.reads) == 20
    assert set(sent.ledger.before.values()) == {"the first"}


def test_a_row_in_doubt_keeps_what_it_is_about_to_replace_but_not_what_it_may_have_set(send, always):
    sent = send(always(), count=2, doubted=[2, 3], steps=COMPARE, aliases={2: "name 2", 3: "another"})
    assert sent.ledger.before == {3: "another"}
    assert sent.ledger.outcomes[2].message == FOUND_WHEN_READ_BACK
    assert sent.service.sent == [3]


@pytest.mark.slow
def test_rows_that_are_right_already_are_not_sent(send, always):
    right = {number: f"name {number}" for number in range(2, 5_002)}
    sent = send(always(), count=5_000, steps=COMPARE, aliases=right)
    assert states(sent) == {State.UNCHANGED: 5_000}
    assert sent.service.starts == []
    assert sent.seconds < 5_000 / 100 * 1.05
    assert sent.pipeline.progress().done == 5_000


def test_rows_of_which_it_is_known_that_they_are_right_cost_no_request(send, always, rows):
    known = [replace(row, before=row.remark) for row in rows(5_000)]
    sent = send(always(), rows=known, steps=COMPARE)
    assert states(sent) == {State.UNCHANGED: 5_000}
    assert not sent.service.starts
    assert not sent.service.reads


@pytest.mark.parametrize("reading", [{"code": 1005}, {"code": 1000}, LOST])
def test_a_read_that_fails_for_good_does_not_stop_its_write(reading, send, always, answer):
    sent = send(
        always(),
        count=400,
        steps=COMPARE,
        reading=lambda _service, row: answer(**reading) if row and row % 10 == 0 else answer(),
    )
    assert sent.error is None
    assert states(sent) == {State.ACCEPTED: 400}
    assert sent.ledger.before.keys() == {row.number for row in sent.ledger.rows if row.number % 10}


def test_a_guarded_row_that_cannot_be_read_is_not_sent(send, always, answer):
    sent = send(
        always(),
        count=400,
        steps=ONLY_ABSENT,
        reading=lambda _service, row: answer(code=1005, message="no") if row and row % 10 == 0 else answer(),
    )
    assert states(sent) == {State.ACCEPTED: 360, State.FAILED: 40}
    assert not any(number % 10 == 0 for number in sent.service.sent)
    assert sent.ledger.outcomes[10].message == "the alias could not be read before it was set: parameter too long: no"


def test_only_where_no_alias_is_set(send, always):
    sent = send(always(), count=4, steps=ONLY_ABSENT, aliases={2: "theirs", 3: "name 3"})
    assert sent.ledger.states() == {2: State.CONFLICT, 3: State.UNCHANGED, 4: State.ACCEPTED, 5: State.ACCEPTED}
    assert sent.service.aliases[2] == "theirs"
    assert sent.ledger.outcomes[2].message == "an alias is set: theirs"


def test_only_where_the_alias_is_the_expected_one(send, always, rows):
    sent = send(always(), rows=expecting(rows, 4, "old"), steps=COMPARE, aliases={2: "old", 3: "other", 5: "name 5"})
    assert sent.ledger.states() == {2: State.ACCEPTED, 3: State.CONFLICT, 4: State.CONFLICT, 5: State.UNCHANGED}


@pytest.mark.parametrize("latency", [0.05, 1.0])
def test_a_guarded_row_is_read_right_before_every_attempt(latency, send, answer):
    def script(service, row):
        last = max(read.at for read in service.reads if read.row == row)
        # It is looked at some turns of the loop, of a microsecond each, before it is sent.
        assert service.loop.time() - last - latency <= FRESH + 0.001
        assert all(start.at < last for start in service.starts if start.row == row)
        return answer(code=1008) if row % 3 == 0 and service.attempts[row] < 2 else answer()

    sent = send(script, count=300, latency=latency, steps=ONLY_ABSENT)
    assert sent.error is None
    assert states(sent) == {State.ACCEPTED: 300}


def test_a_guarded_row_that_had_to_wait_is_read_again(send, answer):
    def script(service, row):
        last = max(read.at for read in service.reads if read.row == row)
        assert service.loop.time() - last <= FRESH + 0.1
        # The first row takes a while, and no other one is sent meanwhile.
        return answer(latency=10.0) if not service.starts else answer()

    sent = send(script, count=50, steps=ONLY_ABSENT)
    assert states(sent) == {State.ACCEPTED: 50}
    assert len(sent.service.reads) >= 2 * 49


def test_a_guarded_row_is_not_sent_again_once_another_alias_is_there(send, answer):
    def script(service, row):
        if row == 5 and not service.attempts[5]:
            service.loop.call_later(0.5, service.aliases.__setitem__, 5, "theirs")
            return answer(**LOST)
        return answer()

    sent = send(script, count=10, steps=ONLY_ABSENT)
    assert sent.ledger.states()[5] == State.CONFLICT
    assert sent.service.attempts[5] == 1
    assert sent.service.aliases[5] == "theirs"


def test_a_guarded_row_that_was_carried_out_without_a_confirmation_is_accepted(send, answer):
    sent = send(lambda _s, row: answer(**LOST, carried_out=True) if row == 5 else answer(), steps=ONLY_ABSENT)
    assert states(sent) == {State.ACCEPTED: 20}
    five = sent.ledger.outcomes[5]
    assert (five.message, five.attempts, sent.service.attempts[5]) == (FOUND_WHEN_READ_BACK, 1, 1)


@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("lost", [{"failure": Failure.TIMEOUT}, {"failure": Failure.DROPPED}, {"code": 1050}])
def test_a_row_in_doubt_is_read_back_before_it_is_called_unknown(lost, carried_out, send, answer):
    sent = send(
        lambda _service, row: answer(**lost, carried_out=carried_out) if row == 5 else answer(),
        attempts=2,
        aliases={5: "old"},
    )
    five = sent.ledger.outcomes[5]
    assert sent.service.attempts[5] == 2
    assert [read.row for read in sent.service.reads] == [5]
    assert five.attempts == 2
    assert sent.ledger.found == {5: "name 5" if carried_out else "old"}
    if carried_out:
        assert (five.state, five.message, five.code) == (State.ACCEPTED, FOUND_WHEN_READ_BACK, 200)
    else:
        assert five.state is State.UNKNOWN
        assert five.message != FOUND_WHEN_READ_BACK


def test_a_row_in_doubt_that_cannot_be_read_back_is_unknown(send, always, answer):
    sent = send(
        lambda _service, row: answer(failure=Failure.DROPPED, carried_out=True) if row == 5 else answer(),
        attempts=1,
        reading=lambda _service, row: answer(code=1005) if row else answer(),
    )
    assert sent.ledger.states()[5] == State.UNKNOWN
    assert sent.ledger.found == {}


def test_a_row_in_doubt_from_an_earlier_run_is_sent_again_only_if_it_is_not_found(send, always):
    sent = send(always(), count=40, doubted=[5, 6, 7], aliases={5: "name 5", 6: "another"})
    assert states(sent) == {State.ACCEPTED: 40}
    assert {start.row for start in sent.service.reads} == {5, 6, 7}
    assert Counter(sent.service.sent)[5] == 0
    assert Counter(sent.service.sent)[6] == Counter(sent.service.sent)[7] == 1
    assert sent.ledger.outcomes[5].message == FOUND_WHEN_READ_BACK


def test_what_was_accepted_is_read_back_a_while_later(send, always):
    sent = send(always(), count=500, steps=VERIFY)
    assert states(sent) == {State.ACCEPTED: 500}
    assert sent.ledger.found == {row.number: row.remark for row in sent.ledger.rows}
    written = {start.row: start.at for start in sent.service.starts}
    assert all(read.at - written[read.row] >= VERIFY_AFTER for read in sent.service.reads)
    assert sent.seconds <= 500 / 98 + VERIFY_AFTER + 1


def test_what_another_writer_has_changed_meanwhile_is_found(send, answer):
    def script(service, row):
        if row == 5:
            service.loop.call_later(1.0, service.aliases.__setitem__, 5, "theirs")
        return answer()

    sent = send(script, steps=VERIFY)
    assert sent.ledger.found[5] == "theirs"
    assert sent.ledger.states()[5] == State.ACCEPTED


def test_only_what_was_accepted_is_read_back(send, answer):
    sent = send(lambda _service, row: answer(code=1005) if row % 2 else answer(), count=100, steps=VERIFY, max_failed=1)
    assert states(sent) == {State.ACCEPTED: 50, State.FAILED: 50}
    assert {read.row for read in sent.service.reads} == {row for row in range(2, 102) if not row % 2}


def test_a_plan_reads_every_row_and_sends_none(send, always, answer):
    sent = send(
        always(),
        count=300,
        steps=PLAN,
        aliases={3: "old"},
        reading=lambda _service, row: answer(code=1005, message="no") if row == 5 else answer(),
    )
    assert sent.error is None
    assert sent.service.starts == []
    assert sent.ledger.outcomes == {}
    assert sent.ledger.before == {row.number: "" for row in sent.ledger.rows if row.number != 5} | {3: "old"}
    assert sent.ledger.unreadable == {5: "parameter too long: no"}
    assert sent.pipeline.progress().done == 300


def test_verifying_a_job_reads_every_row_once_and_changes_nothing_else(send, always):
    aliases = {2: "name 2", 3: "another"}
    sent = send(always(), count=300, steps=Steps(write=False, verify=True), aliases=aliases)
    assert sent.ledger.found == dict.fromkeys(range(2, 302), "") | aliases
    assert Counter(read.row for read in sent.service.reads) == dict.fromkeys(range(2, 302), 1)
    assert (sent.ledger.before, sent.ledger.outcomes, sent.service.starts) == ({}, {}, [])


@pytest.mark.parametrize("steps", [COMPARE, ONLY_ABSENT, VERIFY, PLAN])
def test_a_limit_counts_the_rows_that_are_taken(steps, send, always):
    sent = send(always(), count=500, steps=steps, limit=120, aliases={2: "name 2"})
    assert len(sent.service.reads) == 120
