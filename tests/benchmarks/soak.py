"""A long run: ``python -m tests.benchmarks.soak [--minutes 30] [--rate 300]``.

Connections are dropped often enough for 10,000 reconnects. Prints memory and descriptors of the client each minute
while it sends; at the end what has changed since the first minute, rows per second and CPU time per row.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.benchmarks.processes import cpu_seconds, descriptors, make_rows, resident_mib, sandbox_process, start_client

RECONNECTS = 10_000
MINUTE = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=int, default=300, help="requests a second")
    given = parser.parse_args()
    requests = int(given.minutes * MINUTE * given.rate)
    drops = min(0.2, 1.1 * RECONNECTS / requests)
    faults = ("--latency", 0.1, "--jitter", "30%", "--drops", f"{drops:.2%}", "--refusals", "0.01%", "--errors", "1%")
    with tempfile.TemporaryDirectory() as folder, sandbox_process("--rate", 100_000, *faults) as service:
        # A dropped request is sent again: so many rows take so many requests.
        rows = int(requests * (1 - drops))
        source = make_rows(Path(folder) / "rows.csv", rows)
        flags = ("--rate", given.rate, "--attempts", 50, "--max-failed", "100%")
        client = start_client("run", source, "--job", Path(folder) / "job", *flags, environment=service.environment)
        samples: list[tuple[float, float, int, float]] = []
        began = None
        while client.poll() is None:
            stats, now = service.stats(), time.monotonic()
            if stats["requests"] and began is None:
                began = now
            # The reports come after the last request; what they need is not what sending needs.
            if began is not None and stats["aliases"] < rows:
                pid = client.pid
                samples.append((now - began, resident_mib(pid), descriptors(pid), cpu_seconds(pid)))
                if len(samples) == 1 or samples[-1][0] // MINUTE > samples[-2][0] // MINUTE:
                    print(
                        f"{samples[-1][0] / MINUTE:6.1f} min {samples[-1][1]:7.1f} MiB {samples[-1][2]:5} descriptors"
                        f" {stats['requests']:10,} requests {stats['connections_opened']:8,} connections",
                        flush=True,
                    )
            time.sleep(1)
        stats = service.stats()
    settled = [sample for sample in samples if sample[0] >= min(MINUTE, samples[-1][0] / 3)]
    first, last = settled[0], settled[-1]
    print(f"exit code {client.returncode}; {rows:,} rows, {stats['aliases']:,} held, {stats['requests']:,} requests")
    print(f"connections {stats['connections_opened']:,}; most requests on one {stats['most_requests_on_a_connection']}")
    print(f"rate {rows / last[0]:.1f} rows/s; busiest second {stats['busiest_second']}", end="; ")
    print(f"CPU {1000 * (last[3] - samples[0][3]) / rows:.2f} ms a row; load {os.getloadavg()[0]:.1f}")
    print(f"memory {first[1]:.1f} MiB after {first[0]:.0f} s, {last[1]:.1f} MiB at the end: {last[1] - first[1]:+.1f}")
    print(f"descriptors {first[2]} then, {last[2]} at the end, {max(sample[2] for sample in settled)} at most")


if __name__ == "__main__":
    main()
