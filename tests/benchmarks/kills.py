"""A job killed again and again: ``python -m tests.benchmarks.kills [--kills 100] [--seed N]``.

SIGKILL at moments drawn from a seed, at any progress from the first request on; then the same command again. In the
end every row must be accounted for once and no more rows sent twice than were under way at the kills.
"""

import argparse
import random
import signal
import tempfile
import time
from pathlib import Path

from batch_alias.sandbox.app import Sandbox

from batch_alias.ledger import LedgerReader
from batch_alias.model import State
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.faults import Faults
from batch_alias.sandbox.server import Running, serve
from tests.benchmarks.processes import GIVE_UP, make_rows, start_client

ROWS_A_KILL = 60
WIDTH = 16


def wait_for(running: Running, requests: int) -> None:
    give_up = time.monotonic() + GIVE_UP
    while running.stats().requests < requests:
        if time.monotonic() > give_up:
            raise TimeoutError("the run did not get on")
        time.sleep(0.001)


def settled(folder: Path) -> dict[tuple[str, str], str]:
    with LedgerReader(folder) as ledger:
        return {(entry.group_id, entry.user_id): entry.remark for entry in ledger.entries(State.ACCEPTED)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    draw, rows = random.Random(given.seed), (given.kills + 2) * ROWS_A_KILL
    sandbox = Sandbox(Rules(rate=100_000), Faults(latency=0.02, jitter=0.5))
    with tempfile.TemporaryDirectory() as name, serve(sandbox) as running:
        folder = Path(name) / "job"
        source = make_rows(Path(name) / "rows.csv", rows)
        environment = {
            "RONGCLOUD_URL": running.url,
            "RONGCLOUD_APP_KEY": running.app_key,
            "RONGCLOUD_APP_SECRET": running.app_secret.reveal(),
        }
        command = ("run", source, "--job", folder, "--rate", 1000, "--max-in-flight", WIDTH)
        in_doubt = untrue = 0
        for kill in range(given.kills):
            moment = running.stats().requests + draw.randint(1, 2 * ROWS_A_KILL - 20)
            client = start_client(*command, environment=environment)
            wait_for(running, min(moment, rows - 1))
            client.send_signal(signal.SIGKILL)
            client.wait()
            while running.stats().in_flight:
                time.sleep(0.001)
            known, held = settled(folder), running.aliases()
            in_doubt += len(held) - len(known)
            untrue += len(known.items() - held.items())
            if (kill + 1) % 10 == 0:
                print(f"{kill + 1:5} kills, {len(known):7,} of {rows:,} rows settled", flush=True)
        code = start_client(*command, environment=environment).wait(GIVE_UP)
        known, held, seen = settled(folder), running.aliases(), running.stats()
        print(f"exit code of the last run        {code}")
        print(f"rows                             {rows:,}")
        print(f"accepted and held                {len(known.items() & held.items()):,}")
        print(f"reported accepted, but not held  {untrue + len(known.items() - held.items()):,}")
        print(f"sent twice                       {seen.sets - len(held):,}")
        print(f"at most in flight at the kills   {given.kills * WIDTH:,}")
        print(f"in doubt after the kills         {in_doubt:,} (written at the server, not yet in the ledger)")


if __name__ == "__main__":
    main()
