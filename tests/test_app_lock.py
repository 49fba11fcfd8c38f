"""The lock of an App Key, on a driven clock."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_alias.errors import LedgerError
from batch_alias.model import EventKind
from batch_alias.quota import STATE_DIR, AppLock
from batch_alias.sending import ignore
from batch_alias.sending.limiter import WINDOW
from batch_alias.settings import Sending, Settings


@pytest.fixture
def lock(target, tmp_path, monkeypatch) -> Callable[..., AppLock]:
    """The lock for a job in a folder of that name, in a state folder of this test."""
    monkeypatch.setenv(STATE_DIR, str(tmp_path / "state"))

    def make(job: str, *, no_wait: bool = False) -> AppLock:
        return AppLock(Settings(job=Path(job), target=target(), sending=Sending(no_wait=no_wait)))

    return make


def test_it_is_waited_for_with_whoever_holds_it_named(driven, lock):
    events, held_at = [], []

    async def wait(loop):
        async with lock("waiting").held("run", events.append):
            held_at.append(loop.time())

    async def main(loop):
        async with lock("one").held("run", ignore):
            waiting = asyncio.create_task(wait(loop))
            await asyncio.sleep(10)
        async with lock("other").held("plan", ignore):
            await asyncio.sleep(10)
        await waiting

    driven(main)
    assert [event.kind for event in events] == [EventKind.WAITING] * 2
    assert [event.values for event in events] == [
        {"job": str(Path(job).absolute()), "pid": os.getpid()} for job in ("one", "other")
    ]
    assert held_at[0] >= 20 + WINDOW


def test_within_a_block_that_holds_it_it_is_held_already_and_free_after_that(driven, lock):
    async def main(loop):
        held = lock("one", no_wait=True)
        async with held.held("run", ignore):
            async with held.held("plan", ignore):
                pass
            with pytest.raises(LedgerError, match="one is sending"):
                async with lock("other", no_wait=True).held("run", ignore):
                    pass
        async with lock("other", no_wait=True).held("run", ignore):
            return loop.time()

    assert driven(main) < WINDOW, "nothing was waited for"


@pytest.mark.parametrize("note", [None, "", "[]", "{}", '{"job": "one", "pid": "?"}'])
def test_a_job_that_is_not_known_is_waited_for_too(note, driven, lock, tmp_path):
    async def main(_loop):
        async with lock("one").held("run", ignore):
            (file,) = (tmp_path / "state").glob("*.json")
            file.unlink() if note is None else file.write_text(note, encoding="utf-8")
            async with lock("other", no_wait=True).held("run", ignore):
                pass

    with pytest.raises(LedgerError, match=r"The job \? is sending for this App Key \(pid \?\)"):
        driven(main)


def test_who_cancels_the_waiting_gets_no_lock_and_leaves_none(driven, lock):
    async def main(_loop):
        async def wait():
            async with lock("other").held("run", ignore):
                raise AssertionError("it was held")

        async with lock("one").held("run", ignore):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(1)
        await asyncio.sleep(WINDOW / 2)  # it has been taken, and the last requests of the other job are waited for
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with lock("third", no_wait=True).held("run", ignore):
            pass

    driven(main)


def test_the_key_is_in_no_name_and_in_no_file(driven, lock, target, tmp_path):
    async def main(_loop):
        async with lock("one").held("run", ignore):
            pass

    driven(main)
    files = list((tmp_path / "state").iterdir())
    assert {file.suffix for file in files} >= {".json"}
    for file in files:
        assert target().app_key not in file.name + file.read_text(encoding="utf-8")
