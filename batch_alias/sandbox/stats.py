"""What the sandbox counts."""

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class RequestStats:
    """Counts of requests that arrived whole."""

    requests: int = 0
    refusals: int = 0  # RongCloud's 1008 and the gateway's 429
    busiest_second: int = 0  # most requests in any sliding second


@dataclass(slots=True, kw_only=True)
class Stats(RequestStats):
    """Exact counts since the sandbox was created; what ``GET /sandbox/stats`` answers. A key is (group, user).

    The requests are those for all paths together, without those for the sandbox's own pages.
    """

    paths: dict[str, RequestStats] = field(default_factory=dict)  # by path, for those that RongCloud has
    # Of requests no longer in flight: RongCloud's code, "http-502" if there was none, "none" if no whole response.
    answers: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0
    most_in_flight: int = 0
    most_in_flight_for_one_key: int = 0
    aliases: int = 0  # held now
    sets: int = 0  # carried out, as the following
    clears: int = 0
    reads: int = 0
    foreign_writes: int = 0  # aliases changed by another writer than the client
    keys_set_again: int = 0  # while an alias was held for them
    connections_opened: int = 0
    connections_open: int = 0
    most_requests_on_a_connection: int = 0
    connections_over_79: int = 0  # RongCloud asks for less than 80 requests on one
    longest_idle: float = 0.0  # seconds that a connection waited for a request; RongCloud asks for less than 55
    long_nonces: int = 0  # longer than RongCloud documents
    reused_nonces: int = 0
    odd_timestamps: int = 0  # more than a day off
    longest_remark: int = 0  # characters, of those set
