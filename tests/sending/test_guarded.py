"""Whatever is planned, run, undone and changed by another writer, a guarded row replaces only what it expects.

The other writer leaves an alias alone between a row's read and its write, since RongCloud has no compare-and-set.
"""

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from batch_alias.model import Failure, Row, State
from batch_alias.sending.comparison import Steps

ROWS = 6
numbers = st.integers(2, ROWS + 1)
aliases = st.sampled_from(["", "a", "b", "c"])
faults = st.lists(
    st.sampled_from(
        [
            {},
            {"code": 1000},
            {"code": 1008},
            {"code": 1005},
            {"failure": Failure.CONNECT},
            {"failure": Failure.DROPPED, "carried_out": True},
            {"failure": Failure.TIMEOUT, "latency": 3.0, "carried_out": False},
        ]
    ),
    max_size=12,
)
COMMANDS = {
    "plan": Steps(compare=True, write=False),
    "run": Steps(compare=True),
    "run --only-absent": Steps(compare=True, only_absent=True),
    "run --expect-column": Steps(compare=True),
    "undo": Steps(compare=True),
}
commands = st.fixed_dictionaries(
    {
        "name": st.sampled_from(sorted(COMMANDS)),
        "expected": aliases,
        "faults": faults,
        "changes": st.lists(st.tuples(numbers, aliases), max_size=8),
    }
)


@dataclass
class Job:
    """The rows of a job, and the aliases at the service."""

    rows: dict[int, Row]
    held: dict[int, str]
    accepted: set[int] = field(default_factory=set)

    def rows_of(self, name: str, expected: str) -> list[Row]:
        """The rows that a command is about."""
        if name == "undo":
            set_by_us = [row for row in self.rows.values() if row.number in self.accepted and row.before is not None]
            return [replace(row, remark=row.before, expected=row.remark, before=None) for row in set_by_us]
        rows = [row for row in self.rows.values() if row.number not in self.accepted]
        return [replace(row, expected=expected) for row in rows] if name == "run --expect-column" else rows

    def note(self, sent) -> None:
        """Keep what a run has recorded."""
        for number, row in self.rows.items():
            outcome = sent.ledger.outcomes.get(number)
            if outcome is not None and outcome.state is State.ACCEPTED:
                self.accepted.add(number)
            in_doubt = row.in_doubt if outcome is None else outcome.state is State.UNKNOWN
            self.rows[number] = replace(row, before=sent.ledger.before.get(number, row.before), in_doubt=in_doubt)


@given(
    wanted=st.lists(aliases, min_size=ROWS, max_size=ROWS),
    held=st.dictionaries(numbers, aliases),
    sequence=st.lists(commands, max_size=5),
)
def test_a_guarded_row_replaces_nothing_but_what_it_expects(wanted, held, sequence, send, answer, rows):
    job = Job({row.number: replace(row, remark=alias) for row, alias in zip(rows(ROWS), wanted, strict=True)}, held)

    def run(name, *, expected, faults, changes):
        steps, faults, changes = COMMANDS[name], iter(faults), iter(changes)
        sent_rows = {row.number: row for row in job.rows_of(name, expected)}
        read: dict[int, str] = {}  # aliases of rows that may be about to be sent

        def another_writer(service):
            number, alias = next(changes, (None, ""))
            if number is not None and number not in read:
                service.aliases[number] = alias

        def reading(service, number):
            another_writer(service)
            if number:
                read[number] = service.aliases.get(number, "")
            return answer(**next(faults, {}))

        def writing(service, number):
            row, replaced = sent_rows[number], service.aliases.get(number, "")
            if steps.is_guarded(row):
                assert read.pop(number) == replaced
                assert row.expected in {None, replaced}
                assert not (steps.only_absent and replaced)
            another_writer(service)
            return answer(**next(faults, {}))

        if not sent_rows:
            return
        sent = send(
            writing,
            rows=[*sent_rows.values()],
            steps=steps,
            aliases=job.held,
            reading=reading,
            attempts=3,
            max_failed=1.0,
            proven=True,
        )
        assert sent.error is None
        assert steps.write or not sent.service.starts
        job.held = dict(sent.service.aliases)
        if name != "undo":
            job.note(sent)

    for command in sequence:
        run(**command)
