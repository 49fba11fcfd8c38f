"""What a limit per second says of the times at which requests start."""

from collections.abc import Sequence


def busiest(starts: Sequence[float]) -> int:
    """Most starts in any half-open second; they are in order."""
    most = first = 0
    for last, start in enumerate(starts):
        while start - starts[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most
