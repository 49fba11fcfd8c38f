"""A worker as a process, which takes others for dead after seconds: ``python -m tests.support.worker URL [SECONDS]``.

With SECONDS its clock is ahead by so many. The App Key and the secret are those of the environment.
"""

import asyncio
import os
import sys
import time

from batch_alias.settings.target import Secret
from batch_alias.workers import work_until
from tests.support.timing import QUICK


def main() -> None:
    url, ahead = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    if ahead:
        clock = time.time
        time.time = lambda: clock() + ahead
    key, secret = os.environ["RONGCLOUD_APP_KEY"], Secret(os.environ["RONGCLOUD_APP_SECRET"])
    say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    asyncio.run(work_until(url, key, secret, observer=lambda _event: None, say=say, timing=QUICK))


if __name__ == "__main__":
    main()
