"""From a source to a ledger: what a failure leaves, and a source that is edited meanwhile."""

import io
import os
from pathlib import Path

import pytest

from batch_alias.errors import ExitCode, LedgerError, SourceError
from batch_alias.ledger import LEDGER, Place
from batch_alias.settings import Reading
from batch_alias.staging import PROGRESS, staged


class Edited(type(Path())):
    """A source that is edited as soon as it was hashed."""

    opened = 0

    def open(self, *arguments, **more):
        self.opened += 1
        return ReadOnce(self) if self.opened == 2 else super().open(*arguments, **more)


class ReadOnce(io.FileIO):
    def close(self) -> None:
        super().close()
        path = Path(self.name)
        path.write_bytes(path.read_bytes().replace(b"alias 1 ", b"ALIAS 1 "))
        os.utime(path, (1, 1))


def test_a_source_that_is_edited_between_hash_and_reading_is_refused(write_csv, tmp_path):
    source = Edited(write_csv(20))
    with (
        pytest.raises(SourceError, match="changed while it was read"),
        staged(source, Reading(), Place(tmp_path / "job")),
    ):
        pass
    assert not (tmp_path / "job").exists()


def test_a_source_that_is_deleted_while_it_is_read_is_refused(write_csv, tmp_path):
    source = write_csv(20)

    def delete(done: int, _total: int) -> None:
        if done:
            source.unlink(missing_ok=True)

    with pytest.raises(SourceError, match="changed"), staged(source, Reading(), Place(tmp_path / "job"), delete):
        pass
    assert not (tmp_path / "job").exists()


def test_what_a_source_is_can_be_said_in_another_language_later(write_csv, tmp_path):
    with staged(write_csv(1), Reading(user_column="userId"), Place(tmp_path / "job")) as ledger:
        info = ledger.info()
    assert (info.description, info.description.values["rest"]) == ("CSV, UTF-8, comma", "comma")
    assert [why.template for why in info.why] == ["named by {flag}", *["its header is a known name for {role}"] * 2]


@pytest.mark.parametrize("start", [b"", b"userId,groupId,remark\n"])
def test_a_file_that_is_no_table_is_refused_before_it_is_hashed(start, tmp_path):
    source = tmp_path / "rows.csv"
    source.write_bytes(start)
    os.truncate(source, 2**40)  # sparse: to hash it would take an hour
    with pytest.raises(SourceError, match="is not text"), staged(source, Reading(), Place(tmp_path / "job")):
        pass
    assert not (tmp_path / "job").exists()


def test_as_long_as_no_row_has_an_outcome_the_source_may_be_corrected(write_csv, tmp_path):
    folder = tmp_path / "job"
    with staged(write_csv(20), Reading(), Place(folder)) as ledger:
        ledger.begin_run("run", target="there", version="0", settings={})
        ledger.end_run(exit_code=ExitCode.STOPPED, host_switches=0)
    with staged(write_csv(6), Reading(), Place(folder)) as ledger:
        assert ledger.counts().pending == 6
        ledger.begin_run("run", target="there", version="0", settings={})  # and is killed
    with pytest.raises(LedgerError, match="has changed since"), staged(write_csv(7), Reading(), Place(folder)):
        pass


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_staging_that_fails_leaves_the_folder_as_it_was(error, write_csv, tmp_path):
    def fail(_done: int, _total: int) -> None:
        raise error

    for folder, begun in ((tmp_path / "new", False), (tmp_path / "old", True)):
        if begun:
            with staged(write_csv(5), Reading(), Place(folder)):
                pass
        before = {path.name: path.read_bytes() for path in folder.glob("*")}
        with pytest.raises(error), staged(write_csv(6), Reading(), Place(folder), fail):
            pass
        assert {path.name: path.read_bytes() for path in folder.glob("*")} == before
        assert folder.exists() is begun
        assert (LEDGER in before) is begun


@pytest.mark.parametrize("name", [PROGRESS, "reading.new"])
def test_a_source_is_read_also_where_it_cannot_be_noted_how_far(name, write_csv, tmp_path):
    folder = tmp_path / "job"
    with staged(write_csv(3), Reading(), Place(folder)):
        pass
    blocked = []

    def block(_done: int, _total: int) -> None:
        if not blocked:
            blocked.append(folder / name)
            blocked[0].mkdir()

    with staged(write_csv(20), Reading(), Place(folder), block) as ledger:
        assert ledger.counts().pending == 20
    assert blocked[0].is_dir()
