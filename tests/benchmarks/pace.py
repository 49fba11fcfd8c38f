"""The pace at several latencies, beside one shared httpx client: ``python -m tests.benchmarks.pace [--rows N]``.

The sandbox runs in a process of its own, grants 100 requests in any sliding second and counts what arrives. Printed for
each client: accepted rows per second and CPU time, of a row and as a share of a core, between two samples at full pace;
the busiest second, the share of refused requests, and the connections opened. The ratio is of this one run.
"""

import argparse
import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.benchmarks.processes import Service, cpu_seconds, make_rows, sandbox_process, start_client
from tests.support.processes import DEADLINE

LATENCIES = (0.005, 0.05, 0.5, 2.0)
JITTER = "30%"
RATE = 100
OPENING = 10
"""Rows after which the pace is the full one."""
WORKERS = 200
INTERVAL = 0.05
"""Seconds between two samples."""


def observe(service: Service, client: subprocess.Popen, rows: int) -> dict[str, float]:
    """Take samples until a client has ended."""
    first = last = None
    deadline = time.monotonic() + DEADLINE + rows / RATE
    while client.poll() is None and time.monotonic() < deadline:
        stats, now = service.stats(), time.monotonic()
        if OPENING <= stats["sets"] < rows:
            last = (now, stats["sets"], cpu_seconds(client.pid))
            first = first or last
        time.sleep(INTERVAL)
    if client.poll() is None:
        client.kill()
    client.wait()
    stats = service.stats()
    seconds, accepted, cpu = (b - a for a, b in zip(first, last, strict=True))
    return {
        "rate": accepted / seconds,
        "busiest": stats["busiest_second"],
        "refused": stats["refusals"] / stats["requests"],
        "share": cpu / seconds,
        "cpu": 1000 * cpu / accepted,
        "connections": stats["connections_opened"],
    }


def batch_alias(latency: float, rows: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, sandbox_process("--latency", latency, "--jitter", JITTER) as service:
        source = make_rows(Path(folder) / "rows.csv", rows)
        client = start_client("run", source, "--job", Path(folder) / "job", environment=service.environment)
        return observe(service, client, rows)


def shared_client(latency: float, seconds: float) -> dict[str, float]:
    with sandbox_process("--latency", latency, "--jitter", JITTER) as service:
        target = [service.environment[name] for name in ("RONGCLOUD_URL", "RONGCLOUD_APP_KEY", "RONGCLOUD_APP_SECRET")]
        command = [sys.executable, "-m", "tests.benchmarks.pace", "--shared", *target, str(seconds)]
        client = subprocess.Popen(command)
        return observe(service, client, int(seconds * RATE * 10))


async def send_shared(url: str, key: str, secret: str, seconds: float) -> None:
    """The usual script: one client, ``AsyncLimiter(100, 1)``, 200 workers, nothing retried."""
    import httpx
    from aiolimiter import AsyncLimiter

    limiter, numbers = AsyncLimiter(RATE, 1), iter(range(10**9))

    async def work(client: httpx.AsyncClient) -> None:
        while True:
            async with limiter:
                now = str(time.time_ns() // 10**6)
                signature = hashlib.sha1(f"{secret}1{now}".encode(), usedforsecurity=False).hexdigest()
                headers = {"App-Key": key, "Nonce": "1", "Timestamp": now, "Signature": signature}
                form = {"userId": f"u{next(numbers)}", "groupId": "g", "remark": "r"}
                with suppress(httpx.HTTPError):
                    await client.post(f"{url}/group/remarks/set.json", data=form, headers=headers)

    limits = httpx.Limits(max_connections=WORKERS, max_keepalive_connections=WORKERS)
    async with httpx.AsyncClient(limits=limits, timeout=10, trust_env=False) as client:
        tasks = [asyncio.create_task(work(client)) for _ in range(WORKERS)]
        await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def print_result(name: str, found: dict[str, float]) -> None:
    print(
        f"  {name:14}{found['rate']:7.1f}/s   busiest second {found['busiest']:4}   refused {found['refused']:7.2%}"
        f"   CPU {found['cpu']:5.2f} ms a row, {found['share']:5.1%} of a core   connections {found['connections']}"
        f"   load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000, help="rows for each latency")
    parser.add_argument("--seconds", type=float, default=15, help="seconds for the shared client")
    parser.add_argument("--shared", nargs=4, metavar=("URL", "KEY", "SECRET", "SECONDS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.shared:
        asyncio.run(send_shared(*given.shared[:3], float(given.shared[3])))
        return
    for latency in LATENCIES:
        print(f"latency {latency * 1000:,.0f} ms ± {JITTER}, {given.rows:,} rows", flush=True)
        ours = batch_alias(latency, given.rows)
        print_result("batch-alias", ours)
        shared = shared_client(latency, given.seconds)
        print_result("shared client", shared)
        print(f"    batch-alias : shared client = {ours['rate'] / max(shared['rate'], 0.1):.2f}", flush=True)


if __name__ == "__main__":
    main()
