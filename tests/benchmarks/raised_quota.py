"""Where the quota is raised: ``python -m tests.benchmarks.raised_quota [--rows N] [--rates 1000,2000]``.

First the transports alone, side by side: how many of the requests that are due each second are answered, and CPU time
per request. ``ours`` is the transport, ``client`` the whole of an attempt: signing, decoding and classifying too. Then
whole jobs through ``batch-alias run``: rows per second at full pace, and the process's CPU time per row meanwhile.

The server is a process of its own that accepts every request after a latency and checks nothing.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx

from batch_alias.model import Call, Operation
from batch_alias.rongcloud.client import Client
from batch_alias.rongcloud.hosts import Resolver
from batch_alias.rongcloud.transport import Deadlines, StreamTransport
from batch_alias.settings.target import Secret, Target
from tests.benchmarks.processes import cpu_seconds, make_rows, start_client
from tests.benchmarks.server import server_process
from tests.support.http import FORM, SET
from tests.support.processes import DEADLINE

MODULE = "tests.benchmarks.raised_quota"
TRANSPORT_RATE = 1000
IN_FLIGHT = 2000
INTERVAL = 0.05
"""Seconds between two samples."""
BODY = b"userId=user1&groupId=group1&remark=R%26D"
HEADERS = MappingProxyType(
    {
        "App-Key": "the-key",
        "Nonce": "1" * 16,
        "Timestamp": "1700000000000",
        "Signature": "a" * 40,
        "X-Request-ID": "x" * 36,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": FORM,
    }
)

Send = Callable[[], Awaitable[bool]]
"""Makes one request on a connection of its own; whether it was accepted."""


@dataclass
class Accepting:
    """Accepts everything after a latency."""

    latency: float

    def __call__(self, _now: float) -> tuple[str, float]:
        return "accepted", self.latency


def through(transport: httpx.AsyncBaseTransport, url: str) -> Send:
    target = httpx.URL(url + SET)
    headers = {"Host": target.netloc.decode(), **HEADERS, "Content-Length": str(len(BODY))}

    async def send() -> bool:
        response = await transport.handle_async_request(
            httpx.Request("POST", target, headers=headers, stream=httpx.ByteStream(BODY))
        )
        body = b"".join([chunk async for chunk in response.stream])
        await response.stream.aclose()
        return b"200" in body

    return send


def senders(name: str, url: str) -> Callable[[], Send]:
    """Make connections by the name of the transport."""
    match name:
        case "client":
            client = Client(Target(url=url, app_key="the-key", app_secret=Secret("the-secret")), timeout=DEADLINE)
            operation = Operation(call=Call.SET, user_id="user1", group_id="group1", remark="R&D")

            def connect() -> Send:
                connection = client.connect()

                async def send() -> bool:
                    return (await connection.execute(operation)).code == 200

                return send

            return connect
        case "ours":
            tls, resolver, deadlines = ssl.create_default_context(), Resolver(), Deadlines()
            return lambda: through(StreamTransport(tls, resolver, deadlines, idle=DEADLINE), url)
        case "httpx":
            limits, tls = httpx.Limits(max_connections=1), ssl.create_default_context()
            return lambda: through(httpx.AsyncHTTPTransport(verify=tls, limits=limits), url)
        case _:
            return aiohttp_sender(url)


def aiohttp_sender(url: str) -> Callable[[], Send]:
    import aiohttp

    # One session with a pool of any size: aiohttp's own way.
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())

    async def send() -> bool:
        async with session.post(url + SET, data=BODY, headers=HEADERS) as response:
            return b"200" in await response.read()

    return lambda: send


async def measure(name: str, url: str, rows: int) -> dict[str, float]:
    """Start so many requests at an even pace, each on a connection that is not in use."""
    connect = senders(name, url)
    idle: list[Send] = []
    tasks: set[asyncio.Task] = set()

    async def one() -> None:
        send = idle.pop() if idle else connect()
        if not await send():
            raise RuntimeError("not accepted")
        idle.append(send)

    began, cpu = time.monotonic(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for number in range(rows):
            if (wait := began + number / TRANSPORT_RATE - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            while len(tasks) >= IN_FLIGHT:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            task = group.create_task(one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    return {"rate": rows / (time.monotonic() - began), "cpu": (time.process_time() - cpu) / rows}


def compare(latency: float, rows: int) -> None:
    print(
        f"transports: {TRANSPORT_RATE:,}/s asked for, latency {latency * 1000:,.0f} ms, {rows:,} requests", flush=True
    )
    for name in ("ours", "client", "aiohttp", "httpx"):
        if name == "aiohttp" and importlib.util.find_spec(name) is None:
            print("  aiohttp   is not installed: pip install batch-alias[bench]", flush=True)
            continue
        with server_process(Accepting(latency)) as server:
            command = [sys.executable, "-m", MODULE, "--measure", name, server.url, "--rows", str(rows)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        # The last request ends a latency after it was due.
        due = rows / (rows / TRANSPORT_RATE + latency)
        print(
            f"  {name:10}{found['rate']:7.0f}/s of {due:5.0f}   {found['cpu'] * 1000:5.2f} ms of CPU a request"
            f"   load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


def whole_run(latency: float, rate: int, rows: int) -> None:
    """Print rows per second and CPU time per row of a job, between two samples at full pace."""
    with tempfile.TemporaryDirectory() as folder, server_process(Accepting(latency)) as server:
        source = make_rows(Path(folder) / "rows.csv", rows)
        flags = ("--rate", rate, "--max-in-flight", IN_FLIGHT)
        client = start_client("run", source, "--job", Path(folder) / "job", *flags, environment=server.environment)
        samples: list[tuple[float, int, float]] = []
        deadline = time.monotonic() + DEADLINE + rows / 100
        while client.poll() is None and time.monotonic() < deadline:
            count = server.count()
            # The first second opens the connections.
            if rate * (1 + latency) <= count < rows:
                samples.append((time.monotonic(), count, cpu_seconds(client.pid)))
            time.sleep(INTERVAL)
        if client.poll() is None:
            client.kill()
        client.wait()
    seconds, sent, cpu = (b - a for a, b in zip(samples[0], samples[-1], strict=True))
    print(
        f"  --rate {rate:<5} latency {latency * 1000:5,.0f} ms {sent / seconds:7.0f}/s"
        f"   {1000 * cpu / max(1, sent):5.2f} ms of CPU a row, {cpu / seconds:4.0%} of a core"
        f"   exit code {client.returncode}   load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000, help="requests of a transport; a job has twice as many")
    parser.add_argument("--rates", default="1000,2000", help="rates of the jobs")
    parser.add_argument("--latencies", default="0.05,1", help="seconds")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(asyncio.run(measure(*given.measure, given.rows))))
        return
    latencies = [float(latency) for latency in given.latencies.split(",")]
    for latency in latencies:
        compare(latency, given.rows)
    print(f"batch-alias run, {2 * given.rows:,} rows, at full pace", flush=True)
    for rate in map(int, given.rates.split(",")):
        for latency in latencies:
            whole_run(latency, rate, 2 * given.rows)


if __name__ == "__main__":
    main()
