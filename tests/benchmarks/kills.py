"""A job killed again and again: ``python -m tests.benchmarks.kills [--kills 100] [--seed N]``.

SIGKILL at moments drawn from a seed, at any progress from the first request on; then the same command again. Prints
how many rows are accounted for in the end, and how many were sent twice: at most those in flight at the kills.
"""

import argparse
import random
import signal
import tempfile
from pathlib import Path

from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.model import State
from batch_alias.sandbox import Faults, Rules, Sandbox
from batch_alias.sandbox.server import serve
from tests.benchmarks.processes import make_rows, start_client, wait_for
from tests.support.processes import DEADLINE, environment_of

ROWS_PER_KILL = 60
IN_FLIGHT = 16


def accepted(folder: Path) -> dict[tuple[str, str], str]:
    with SqliteReader(folder) as ledger:
        return {(row.group_id, row.user_id): row.remark for row in ledger.rows(State.ACCEPTED)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    draw, rows = random.Random(given.seed), (given.kills + 2) * ROWS_PER_KILL
    sandbox = Sandbox(Rules(rate=100_000), Faults(latency=0.02, jitter=0.5))
    with tempfile.TemporaryDirectory() as name, serve(sandbox):
        folder = Path(name) / "job"
        source = make_rows(Path(name) / "rows.csv", rows)
        command = ("run", source, "--job", folder, "--rate", 1000, "--max-in-flight", IN_FLIGHT)
        environment = environment_of(sandbox)
        in_doubt = untrue = 0
        for kill in range(given.kills):
            moment = min(sandbox.stats().requests + draw.randint(1, 2 * ROWS_PER_KILL - 20), rows - 1)
            client = start_client(*command, environment=environment)
            wait_for(lambda moment=moment: sandbox.stats().requests >= moment)
            client.send_signal(signal.SIGKILL)
            client.wait()
            wait_for(lambda: not sandbox.stats().in_flight)
            known, held = accepted(folder), sandbox.aliases()
            in_doubt += len(held) - len(known)
            untrue += len(known.items() - held.items())
            if (kill + 1) % 10 == 0:
                print(f"{kill + 1:5} kills, {len(known):7,} of {rows:,} rows accepted", flush=True)
        code = start_client(*command, environment=environment).wait(DEADLINE)
        known, held, stats = accepted(folder), sandbox.aliases(), sandbox.stats()
        print(f"exit code of the last run        {code}")
        print(f"rows                             {rows:,}")
        print(f"accepted and held                {len(known.items() & held.items()):,}")
        print(f"reported accepted, but not held  {untrue + len(known.items() - held.items()):,}")
        print(f"sent twice                       {stats.sets - len(held):,}")
        print(f"at most in flight at the kills   {given.kills * IN_FLIGHT:,}")
        print(f"in doubt after the kills         {in_doubt:,} (written at the server, not yet in the ledger)")


if __name__ == "__main__":
    main()
