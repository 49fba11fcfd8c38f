"""What each fault costs: ``python -m tests.benchmarks.faults [--rows N] [--outage SECONDS]``.

Each line is a whole job through ``batch-alias run`` in a process of its own, against a sandbox that misbehaves in one
way. ``lost`` counts rows that are reported accepted but not held, or not accounted for at all. ``sent twice`` counts
accepted sets beyond one a row. The extra time is against the same job without any fault.
"""

import argparse
import csv
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from batch_alias.sandbox.app import Sandbox

from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.faults import Faults, Outage, Trouble, mixed
from batch_alias.sandbox.server import Running, serve
from batch_alias.settings.target import Secret
from tests.benchmarks.processes import make_rows, start_client

RATE = 200
TIMEOUT = 3
LATENCY = {"latency": 0.05, "jitter": 0.3}
UNLIMITED = Rules(rate=100_000)
LONGEST = 900.0


@dataclass
class Case:
    """A way to misbehave; ``meanwhile`` is called from a thread with the stack that keeps the server up."""

    name: str
    faults: Faults = field(default_factory=lambda: Faults(**LATENCY))
    rules: Rules = UNLIMITED
    backup: Faults | None = None
    kills: int = 0
    meanwhile: Callable[[ExitStack, Running], None] | None = None


def cases(outage: float) -> list[Case]:
    def down(trouble: Trouble, seconds: float = outage) -> Faults:
        return Faults(**LATENCY, outages=(Outage(start=2, end=2 + seconds, trouble=trouble),))

    def vanish(stack: ExitStack, running: Running) -> None:
        wait_for(lambda: running.stats().requests > 2 * RATE)
        stack.close()
        time.sleep(outage)
        stack.enter_context(serve(running.sandbox, port=urlsplit(running.url).port or 0))

    return [
        Case("none"),
        Case("5 % HTTP 5xx", mixed(**LATENCY, errors=0.05, seed=1)),
        Case("5 % dropped", mixed(**LATENCY, drops=0.05, seed=2)),
        Case("2 % never answered", mixed(**LATENCY, hangs=0.02, seed=3)),
        Case("5 % gateway pages", mixed(**LATENCY, pages=0.05, seed=4)),
        Case("1 % refused", mixed(**LATENCY, refusals=0.01, seed=5)),
        Case("10 % hostile answers", mixed(**LATENCY, hostile=0.1, seed=6)),
        Case("40 % of the quota", rules=Rules(rate=RATE * 2 // 5)),
        Case(f"outage {outage:.0f} s, 503", down(Trouble.UNAVAILABLE)),
        Case(f"outage {outage:.0f} s, dropped", down(Trouble.DROP_AFTER)),
        Case(f"outage {outage:.0f} s, hangs", down(Trouble.HANG_AFTER)),
        Case(f"server gone for {outage:.0f} s", meanwhile=vanish),
        Case("primary down, backup up", down(Trouble.UNAVAILABLE, 1e9), backup=Faults(**LATENCY)),
        Case("3 times SIGKILL", kills=3),
    ]


def wait_for(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + LONGEST
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError("the run did not get on")
        time.sleep(0.01)


def run(case: Case, rows: int, folder: Path) -> tuple[Counter, int, int, float]:
    """A job with a fault: states, lost, sent twice, seconds."""
    app = {"app_key": "the-key", "app_secret": Secret("the-secret")}
    with ExitStack() as stack, ExitStack() as replaced:
        primary = replaced.enter_context(serve(Sandbox(case.rules, case.faults, **app)))
        served = [primary]
        if case.backup is not None:
            served.append(stack.enter_context(serve(Sandbox(case.rules, case.backup, **app))))
        environment = {
            "RONGCLOUD_URL": ",".join(one.url for one in served),
            "RONGCLOUD_APP_KEY": primary.app_key,
            "RONGCLOUD_APP_SECRET": primary.app_secret.reveal(),
        }
        command = ("run", folder / "rows.csv", "--job", folder / "job", "--rate", RATE, "--timeout", TIMEOUT)
        helper = threading.Thread(target=case.meanwhile, args=(replaced, primary)) if case.meanwhile else None
        began = time.monotonic()
        client = start_client(*command, environment=environment)
        if helper:
            helper.start()
        for kill in range(case.kills):
            wait_for(lambda kill=kill: primary.stats().requests > rows * (kill + 1) // (case.kills + 1))
            client.send_signal(signal.SIGKILL)
            client.wait()
            client = start_client(*command, environment=environment)
        client.wait(LONGEST)
        took = time.monotonic() - began
        if helper:
            helper.join()
        held = {key: remark for one in served for key, remark in one.aliases().items()}
        sets = sum(one.stats().sets for one in served)
        return *accounts(folder / "job", held, rows), sets - len(held), took


def accounts(job: Path, held: dict[tuple[str, str], str], rows: int) -> tuple[Counter, int]:
    with (job / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    untrue = sum(
        row["state"] == "accepted" and held.get((row["groupId"], row["userId"])) != row["remark"] for row in table
    )
    return Counter(row["state"] for row in table), untrue + rows - len(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4000, help="rows for each fault")
    parser.add_argument("--outage", type=float, default=20, help="seconds of an outage")
    given = parser.parse_args()
    heads = ("rows", "failed", "unknown", "pending", "lost", "twice", "seconds", "extra")
    print(f"{'fault':28}" + "".join(f"{head:>9}" for head in heads), flush=True)
    ideal = 0.0
    for case in cases(given.outage):
        with tempfile.TemporaryDirectory() as folder:
            make_rows(Path(folder) / "rows.csv", given.rows)
            states, lost, twice, took = run(case, given.rows, Path(folder))
        ideal = ideal or took
        counts = (given.rows, states["failed"], states["unknown"], states["pending"], lost, twice)
        print(
            f"{case.name:28}" + "".join(f"{count:9,}" for count in counts) + f"{took:9.1f}{took - ideal:9.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
