"""A worker as a process: ``python -m tests.support.worker URL AHEAD FENCED SERVICE STARTS``.

It takes others for dead after seconds. Its clock is AHEAD by so many seconds. If FENCED is 0, it does not notice that
its blocks were given to others. SERVICE is the URL at which it reaches the service. STARTS is a file for the times at
which requests start. The App Key and the secret are those of the environment.
"""

import asyncio
import os
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from batch_alias import workers
from batch_alias.settings.target import Secret
from batch_alias.workers import session, work_until
from tests.support.starts import note_starts
from tests.support.timing import QUICK


def main() -> None:
    url, ahead, fenced, service = sys.argv[1], float(sys.argv[2]), sys.argv[3] != "0", sys.argv[4]
    note_starts(Path(sys.argv[5]))
    read = workers.assignment
    workers.assignment = lambda *given, **more: replace(read(*given, **more), address={"url": service})
    clock = time.time
    time.time = lambda: clock() + ahead
    if not fenced:
        session.SharedQuota = partial(without_fence, session.SharedQuota)
    key, secret = os.environ["RONGCLOUD_APP_KEY"], Secret(os.environ["RONGCLOUD_APP_SECRET"])
    asyncio.run(work_until(url, key, secret, observer=print, say=partial(print, flush=True), timing=QUICK))


def without_fence(quota: type, *arguments: object, fence: object, **more: object) -> object:
    return quota(*arguments, fence=lambda: None, **more)


if __name__ == "__main__":
    main()
