"""What the sandbox saw: requests, connections, and how many of them at once."""

from collections import Counter
from dataclasses import dataclass

from batch_alias.sandbox.emulator import Emulator, Window
from batch_alias.sandbox.exchange import Key

USES_ALLOWED = 79
"""RongCloud asks for under 80 requests on one connection."""

NO_ANSWER = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts since the sandbox was made, exact; what ``GET /sandbox/stats`` answers.

    Attributes:
        requests: Requests that arrived whole; those for the sandbox's own pages do not count.
        refusals: Answers over the limit: RongCloud's 1008 and the gateway's 429.
        answers: Answers by RongCloud's code, ``http-502`` and the like where there is none, and ``none`` for requests
            that got no whole answer.
        busiest_second: Most requests that arrived in any sliding second, all paths together.
        in_flight: Requests that arrived and have neither been answered nor lost their connection.
        most_in_flight: The greatest that ``in_flight`` was.
        most_in_flight_for_one_key: The same, for one (group, user).
        aliases: Aliases held.
        sets: Sets accepted.
        keys_set_again: Keys set again while an alias was held for them.
        connections_opened: Connections accepted.
        connections_open: Connections open now.
        most_requests_on_a_connection: Requests on the connection that carried most.
        connections_over_79: Connections that carried 80 requests or more; RongCloud asks for under 80.
        longest_idle: Longest time in seconds from an answer to the next request of its connection; RongCloud asks for
            under 55.
    """

    requests: int
    refusals: int
    answers: dict[str, int]
    busiest_second: int
    in_flight: int
    most_in_flight: int
    most_in_flight_for_one_key: int
    aliases: int
    sets: int
    keys_set_again: int
    connections_opened: int
    connections_open: int
    most_requests_on_a_connection: int
    connections_over_79: int
    longest_idle: float


class Traffic:
    """Counts what passes. Read the counts as ``Stats``; a connection or a request reports itself here."""

    def __init__(self) -> None:
        self._requests = 0
        self._answers: Counter[str] = Counter()
        self._arrivals = Window()
        self._busiest_second = 0
        self._in_flight = 0
        self._most_in_flight = 0
        self._in_flight_by_key: Counter[Key] = Counter()
        self._most_for_one_key = 0
        self._opened = 0
        self._open = 0
        self._most_uses = 0
        self._overused = 0
        self._longest_idle = 0.0

    def connected(self) -> None:
        """A connection was accepted."""
        self._opened += 1
        self._open += 1

    def disconnected(self) -> None:
        """A connection ended."""
        self._open -= 1

    def used(self, times: int, idle: float) -> None:
        """A connection carries one more request.

        Args:
            times: How many it has carried, this one included.
            idle: Seconds since its last answer; 0 for its first request.
        """
        self._most_uses = max(self._most_uses, times)
        self._longest_idle = max(self._longest_idle, idle)
        if times == USES_ALLOWED + 1:
            self._overused += 1

    def arrived(self, at: float, key: Key | None) -> None:
        """A request arrived and is under way.

        Args:
            at: A monotonic reading in seconds; it never decreases from one request to the next.
            key: The (group, user) it speaks of; ``None`` if it names none.
        """
        self._requests += 1
        self._arrivals.add(at)
        self._busiest_second = max(self._busiest_second, self._arrivals.count(at))
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        if key is not None:
            self._in_flight_by_key[key] += 1
            self._most_for_one_key = max(self._most_for_one_key, self._in_flight_by_key[key])

    def left(self, key: Key | None) -> None:
        """A request is no longer under way."""
        self._in_flight -= 1
        if key is not None:
            self._in_flight_by_key[key] -= 1
            if not self._in_flight_by_key[key]:
                del self._in_flight_by_key[key]

    def answered(self, answer: str) -> None:
        """A request got its answer, named as ``Stats.answers`` names it."""
        self._answers[answer] += 1

    def stats(self, emulator: Emulator) -> Stats:
        """The counts as they stand, with those of the emulator."""
        answers = dict(self._answers)
        return Stats(
            requests=self._requests,
            refusals=answers.get("1008", 0) + answers.get("http-429", 0),
            answers=answers,
            busiest_second=self._busiest_second,
            in_flight=self._in_flight,
            most_in_flight=self._most_in_flight,
            most_in_flight_for_one_key=self._most_for_one_key,
            aliases=len(emulator.aliases),
            sets=emulator.sets,
            keys_set_again=len(emulator.repeats),
            connections_opened=self._opened,
            connections_open=self._open,
            most_requests_on_a_connection=self._most_uses,
            connections_over_79=self._overused,
            longest_idle=self._longest_idle,
        )
