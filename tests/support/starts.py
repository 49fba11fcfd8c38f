"""When requests start, in all processes of a test by the one monotonic clock of the machine, and what a limit says."""

import struct
from collections.abc import Callable, Sequence
from io import RawIOBase
from pathlib import Path
from weakref import WeakSet

from batch_alias.model import RequestKind
from batch_alias.workers.shared_quota import SharedQuota
from batch_alias.workers.slots import SharedLimiter


def busiest(starts: Sequence[float]) -> int:
    """Most starts in any half-open second; they are in order."""
    most = first = 0
    for last, start in enumerate(starts):
        while start - starts[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def note_starts(path: Path, replace: Callable[[type, str, object], None] = setattr) -> RawIOBase:
    """Let this process write when requests that set aliases start to a file, and each start that was given back.

    Those that read have a quota of their own. Returns the file, to be closed.
    """
    file = path.open("ab", buffering=0)  # a killed process has written all
    limiter_of, started, give_back = SharedQuota.limiter, SharedLimiter.started, SharedLimiter.give_back
    writes: WeakSet[SharedLimiter] = WeakSet()

    def limiter(quota: SharedQuota, kind: RequestKind) -> SharedLimiter:
        found = limiter_of(quota, kind)
        if kind is RequestKind.WRITE:
            writes.add(found)
        return found

    def noted(limiter: SharedLimiter) -> float:
        at = started(limiter)
        if limiter in writes:
            file.write(struct.pack("d", at))
        return at

    def given_back(limiter: SharedLimiter, slot: float, start: float) -> None:
        if limiter in writes:
            file.write(struct.pack("d", -start))
        give_back(limiter, slot, start)

    replace(SharedQuota, "limiter", limiter)
    replace(SharedLimiter, "started", noted)
    replace(SharedLimiter, "give_back", given_back)
    return file


def read_starts(path: Path) -> list[float]:
    """The starts that were noted, in order."""
    noted = [at for (at,) in struct.iter_unpack("d", path.read_bytes())]
    given_back = {-at for at in noted if at < 0}
    return sorted(at for at in noted if at >= 0 and at not in given_back)
