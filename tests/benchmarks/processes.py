"""Shared by the benchmarks: rows, a sandbox and a client in processes of their own, and what a process uses."""

import csv
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.support.processes import DEADLINE

if TYPE_CHECKING:
    # Some benchmarks measure memory.
    import httpx


def make_rows(path: Path, rows: int) -> Path:
    """Write a source of so many rows, every one of another (group, user)."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["userId", "groupId", "remark"])
        writer.writerows((f"user{n:08d}", f"group{n % 500}", f"昵称 {n} R&D 50%+") for n in range(rows))
    return path


@dataclass(frozen=True)
class Service:
    """A sandbox in a process of its own."""

    environment: Mapping[str, str]
    _client: "httpx.Client"

    @property
    def url(self) -> str:
        return self.environment["RONGCLOUD_URL"]

    def stats(self) -> dict:
        """What it has counted."""
        return self._client.get(f"{self.url}/sandbox/stats").json()


@contextmanager
def sandbox_process(*flags: object) -> Iterator[Service]:
    """Serve a sandbox for the length of a block.

    It stands for another machine, so it has priority over the client where that is permitted.
    """
    import httpx

    command = [sys.executable, "-m", "batch_alias", "sandbox", *map(str, flags)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, -10)
    try:
        lines = [process.stdout.readline().strip() for _ in range(3)]
        with httpx.Client(timeout=DEADLINE, trust_env=False) as client:
            yield Service(dict(line.split("=", 1) for line in lines), client)
    finally:
        process.terminate()
        process.communicate()


def start_client(*arguments: object, environment: Mapping[str, str]) -> subprocess.Popen:
    """Start a command of ``batch-alias`` that sends; it prints problems only."""
    command = [sys.executable, "-m", "batch_alias", *map(str, arguments), "--quiet", "--yes"]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)


def wait_for(condition: Callable[[], object], seconds: float = DEADLINE) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It does not come true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("The run has made no progress.")
        time.sleep(0.001)


def verdict(reached: bool) -> str:
    """What is printed beside a target."""
    return "reached" if reached else "MISSED"


class Measured(NamedTuple):
    """What a call has returned and used; CPU time and memory with those of its child processes."""

    result: int
    seconds: float
    cpu: float  # seconds
    peak: float  # MiB

    @classmethod
    def of_process(cls, module: str, *arguments: object) -> Self:
        """Run a module that calls ``print_measured`` in a process of its own.

        The peak of a process is never below that of its parent, so the caller must be small itself.
        """
        command = [sys.executable, "-m", module, *map(str, arguments)]
        return cls(*json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))


def print_measured(call: Callable[[], int]) -> None:
    """Print what ``Measured.of_process`` reads."""
    began, (used, _) = time.perf_counter(), _used()
    result = call()
    seconds, (cpu, peak) = time.perf_counter() - began, _used()
    print(json.dumps((result, seconds, cpu - used, peak)))


def _used() -> tuple[float, float]:
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used), sum(one.ru_maxrss for one in used) / 1024


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_of_children(pid: int) -> float:
    """CPU time the child processes of a process have used, those that have ended included.

    Not a number if it runs on another machine.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return math.nan
    for child in children:
        with suppress(OSError):  # it has just ended
            used += cpu_seconds(int(child))
    return used


def peak_mib(pid: int) -> float:
    """The most memory a process has held; 0 if it has ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def resident_mib(pid: int) -> float:
    """Memory a process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors(pid: int) -> int:
    """Descriptors a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
