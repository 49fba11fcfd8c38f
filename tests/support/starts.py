"""When requests start, in all processes of a test by the one monotonic clock of the machine, and what a limit says."""

import struct
from collections.abc import Callable, Sequence
from io import RawIOBase
from pathlib import Path

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
    """Let the shared limiters of this process write each start to a file, and each that has not happened after all.

    Returns the file, to be closed.
    """
    file = path.open("ab", buffering=0)  # a killed process has written all
    started, give_back = SharedLimiter.started, SharedLimiter.give_back

    def noted(limiter: SharedLimiter) -> float:
        at = started(limiter)
        file.write(struct.pack("d", at))
        return at

    def taken_back(limiter: SharedLimiter, slot: float, start: float) -> None:
        file.write(struct.pack("d", -start))
        give_back(limiter, slot, start)

    replace(SharedLimiter, "started", noted)
    replace(SharedLimiter, "give_back", taken_back)
    return file


def read_starts(path: Path) -> list[float]:
    """The starts that were noted, in order."""
    noted = [at for (at,) in struct.iter_unpack("d", path.read_bytes())]
    taken_back = {-at for at in noted if at < 0}
    return sorted(at for at in noted if at >= 0 and at not in taken_back)
