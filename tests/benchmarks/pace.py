"""The pace at several latencies, beside one shared httpx client: ``python -m tests.benchmarks.pace [--rows N]``.

The sandbox runs in a process of its own, grants 100 requests in any sliding second and counts what arrives. The rate
is that of accepted rows between two looks at its statistics, both at full pace. The ratios are of this one run.
"""

import argparse
import asyncio
import hashlib
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.benchmarks.processes import GIVE_UP, Service, cpu_seconds, make_rows, sandbox_process, start_client

LATENCIES = (0.005, 0.05, 0.5, 2.0)
JITTER = "30%"
RATE = 100
OPENING = 10
"""Rows after which the pace is the full one."""
WORKERS = 200
LOOK = 0.05


def watched(service: Service, client: subprocess.Popen, rows: int) -> dict:
    """Look on until a client has ended: accepted rows a second, and its CPU time meanwhile."""
    first = last = None
    give_up = time.monotonic() + GIVE_UP + rows / RATE
    while client.poll() is None and time.monotonic() < give_up:
        seen, now = service.stats(), time.monotonic()
        if OPENING <= seen["sets"] < rows:
            last = (now, seen["sets"], cpu_seconds(client.pid))
            first = first or last
        time.sleep(LOOK)
    if client.poll() is None:
        client.kill()
    client.wait()
    seen = service.stats()
    seconds, accepted, cpu = (b - a for a, b in zip(first, last, strict=True))
    return {
        "rate": accepted / seconds,
        "busiest": seen["busiest_second"],
        "refused": seen["refusals"] / seen["requests"],
        "cpu": cpu / seconds,
        "connections": seen["connections_opened"],
    }


def ours(latency: float, rows: int) -> dict:
    with tempfile.TemporaryDirectory() as folder, sandbox_process("--latency", latency, "--jitter", JITTER) as service:
        source = make_rows(Path(folder) / "rows.csv", rows)
        client = start_client("run", source, "--job", Path(folder) / "job", environment=service.environment)
        return watched(service, client, rows)


def shared(latency: float, rows: int, seconds: float) -> dict:
    with sandbox_process("--latency", latency, "--jitter", JITTER) as service:
        words = [service.environment[name] for name in ("RONGCLOUD_URL", "RONGCLOUD_APP_KEY", "RONGCLOUD_APP_SECRET")]
        command = [sys.executable, "-m", "tests.benchmarks.pace", "--shared", *words, str(seconds)]
        return watched(service, subprocess.Popen(command), rows)


async def send_shared(url: str, key: str, secret: str, seconds: float) -> None:
    """The twenty-line script: one client, ``AsyncLimiter(100, 1)``, 200 workers, nothing retried."""
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


def tell(name: str, found: dict) -> None:
    print(
        f"  {name:14}{found['rate']:7.1f}/s   busiest second {found['busiest']:4}   refused {found['refused']:7.2%}"
        f"   CPU {found['cpu']:5.1%} of a core   connections {found['connections']}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000, help="rows for each latency")
    parser.add_argument("--seconds", type=float, default=15, help="seconds for the shared client")
    parser.add_argument("--shared", nargs=4, metavar=("URL", "KEY", "SECRET", "SECONDS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.shared:
        asyncio.run(send_shared(*given.shared[:3], float(given.shared[3])))
        return
    for latency in LATENCIES:
        print(f"latency {latency * 1000:,.0f} ms ± {JITTER}, {given.rows:,} rows", flush=True)
        mine = ours(latency, given.rows)
        tell("batch-alias", mine)
        theirs = shared(latency, 10**9, given.seconds)
        tell("shared client", theirs)
        print(f"    batch-alias : shared client = {mine['rate'] / max(theirs['rate'], 0.1):.2f}", flush=True)


if __name__ == "__main__":
    main()
