"""Where the quota is raised: ``python -m tests.benchmarks.raised_quota [--rows N] [--rates 1000,2000]``.

First the transports alone, side by side: CPU time of a request, and how many of the requests that are due each second
get their responses. ``client`` is ours with all that an attempt takes: signing, decoding, classifying. Then whole jobs
through ``batch-alias run``: rows a second at full pace, and the process's CPU time for each row meanwhile.

The server is a process of its own that answers every POST after a latency and looks at nothing.
"""

import argparse
import asyncio
import importlib.util
import json
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import httpx

from batch_alias.model import Call, Operation
from batch_alias.rongcloud.client import Client
from batch_alias.rongcloud.transport import Resolver, StreamTransport
from batch_alias.settings.target import Secret, Target
from tests.benchmarks.processes import GIVE_UP, cpu_seconds, make_rows, start_client

MODULE = "tests.benchmarks.raised_quota"
KEY, SECRET = "the-key", "the-secret"
TRANSPORT_RATE = 1000
IN_FLIGHT = 2000
LOOK = 0.05
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n"
    b'Date: Mon, 23 Nov 2026 10:00:00 GMT\r\n\r\n{"code":200}'
)
PATH = "/group/remarks/set.json"
FORM = b"userId=user1&groupId=group1&remark=R%26D"
HEADERS = MappingProxyType(
    {
        "App-Key": KEY,
        "Nonce": "1" * 16,
        "Timestamp": "1700000000000",
        "Signature": "a" * 40,
        "X-Request-ID": "x" * 36,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/x-www-form-urlencoded",
    }
)

Send = Callable[[], Awaitable[bool]]
"""Makes one request on a connection of its own; whether it was accepted."""


class Answering(asyncio.Protocol):
    """A connection on which every POST is answered after a latency; a GET gets the number of them."""

    latency = 0.0
    posts = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport, self.received = transport, b""

    def data_received(self, data: bytes) -> None:
        head, _, body = (self.received + data).partition(b"\r\n\r\n")
        if head.startswith(b"GET"):
            posts = b"%d" % Answering.posts
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(posts), posts))
            return
        length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        if length and len(body) >= int(length):
            self.received = b""
            asyncio.get_running_loop().call_later(self.latency, self.respond)
        else:
            self.received += data

    def respond(self) -> None:
        Answering.posts += 1
        self.transport.write(ANSWER)


async def serve(latency: float) -> None:
    Answering.latency = latency
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def server_process(latency: float) -> Iterator[str]:
    """Serve in a process of its own for the length of a block; its URL."""
    command = [sys.executable, "-m", MODULE, "--serve", str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def through(transport: httpx.AsyncBaseTransport, url: str) -> Send:
    target = httpx.URL(url + PATH)
    headers = {"Host": target.netloc.decode(), **HEADERS, "Content-Length": str(len(FORM))}

    async def send() -> bool:
        response = await transport.handle_async_request(
            httpx.Request("POST", target, headers=headers, stream=httpx.ByteStream(FORM))
        )
        body = b"".join([chunk async for chunk in response.stream])
        await response.stream.aclose()
        return b"200" in body

    return send


def senders(name: str, url: str) -> Callable[[], Send]:
    """Make connections by the name of the transport."""
    match name:
        case "client":
            client = Client(Target(url=url, app_key=KEY, app_secret=Secret(SECRET)), timeout=GIVE_UP)
            operation = Operation(call=Call.SET, user_id="user1", group_id="group1", remark="R&D")

            def connect() -> Send:
                connection = client.connect()

                async def send() -> bool:
                    return (await connection.execute(operation)).code == 200

                return send

            return connect
        case "ours":
            tls, resolver = ssl.create_default_context(), Resolver()
            return lambda: through(StreamTransport(tls, resolver, idle=GIVE_UP), url)
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
        async with session.post(url + PATH, data=FORM, headers=HEADERS) as response:
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
        with server_process(latency) as url:
            command = [sys.executable, "-m", MODULE, "--measure", name, url, "--rows", str(rows)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        # The last request ends a latency after it was due.
        due = rows / (rows / TRANSPORT_RATE + latency)
        print(
            f"  {name:10}{found['rate']:7.0f}/s of {due:5.0f}   {found['cpu'] * 1000:5.2f} ms of CPU a request",
            flush=True,
        )


def whole_run(latency: float, rate: int, rows: int) -> None:
    """A job: rows a second between two looks at full pace, and CPU time of a row meanwhile."""
    with tempfile.TemporaryDirectory() as folder, server_process(latency) as url:
        source = make_rows(Path(folder) / "rows.csv", rows)
        environment = {"RONGCLOUD_URL": url, "RONGCLOUD_APP_KEY": KEY, "RONGCLOUD_APP_SECRET": SECRET}
        flags = ("--rate", rate, "--max-in-flight", IN_FLIGHT, "--yes")
        client = start_client("run", source, "--job", Path(folder) / "job", *flags, environment=environment)
        looks: list[tuple[float, int, float]] = []
        with httpx.Client(timeout=GIVE_UP, trust_env=False) as looker:
            give_up = time.monotonic() + GIVE_UP + rows / 100
            while client.poll() is None and time.monotonic() < give_up:
                posts = int(looker.get(url).text)
                # The first second opens the connections.
                if rate * (1 + latency) <= posts < rows:
                    looks.append((time.monotonic(), posts, cpu_seconds(client.pid)))
                time.sleep(LOOK)
        if client.poll() is None:
            client.kill()
        client.wait()
        (began, first, used), (ended, last, used_then) = looks[0], looks[-1]
    pace, cpu = (last - first) / (ended - began), (used_then - used) / max(1, last - first)
    print(
        f"  --rate {rate:<5} latency {latency * 1000:5,.0f} ms {pace:7.0f}/s   {cpu * 1000:5.2f} ms of CPU a row"
        f"   exit code {client.returncode}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000, help="requests of a transport; a job has twice as many")
    parser.add_argument("--rates", default="1000,2000", help="rates of the jobs")
    parser.add_argument("--latencies", default="0.05,1", help="seconds")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serve(given.serve))
        return
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
