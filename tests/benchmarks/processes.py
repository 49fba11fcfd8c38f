"""What the benchmarks share: rows, a sandbox and a client in processes of their own, and what both of them cost."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

GIVE_UP = 120.0
"""Seconds a client may take beyond what was expected of it."""


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
    _looks: httpx.Client

    @property
    def url(self) -> str:
        return self.environment["RONGCLOUD_URL"]

    def stats(self) -> dict:
        """What it has seen."""
        return self._looks.get(f"{self.url}/sandbox/stats").json()


@contextmanager
def sandbox_process(*flags: object) -> Iterator[Service]:
    """Serve a sandbox for the length of a block."""
    command = [sys.executable, "-m", "batch_alias", "sandbox", *map(str, flags)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline().strip() for _ in range(3)]
        with httpx.Client(timeout=GIVE_UP, trust_env=False) as looks:
            yield Service(dict(line.split("=", 1) for line in lines), looks)
    finally:
        process.terminate()
        process.communicate()


def start_client(*arguments: object, environment: Mapping[str, str]) -> subprocess.Popen:
    """Start ``batch-alias`` without a word to people."""
    command = [sys.executable, "-m", "batch_alias", *map(str, arguments), "--quiet"]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Memory a process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors(pid: int) -> int:
    """Descriptors a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
