"""Reading takes no lock; what relies on an edit being over waits for it."""

import threading
import time
from pathlib import Path

import pytest

from mailroster.base.findings import TryAgain
from mailroster.publish.live_tables import LiveTables
from mailroster.publish.reconcile import reconcile
from mailroster.roster.plan import Plan
from mailroster.store.config_folder import Store
from mailroster.store.journal import JOURNAL
from mailroster.store.reader import READS, FolderReader
from mailroster.system.files import Disk
from mailroster.system.folder_lock import FolderLock
from mailroster.system.stability import Settling
from tests.support.faulty import (
    ACCOUNTS,
    BEFORE,
    NOBODY,
    VIRTUAL,
    delete_with_all,
    fill,
    in_child,
    listing,
    public_folder,
    set_password,
    texts,
)
from tests.support.published_home import Home


def test_a_convergence_waits_for_the_edit_that_has_noted_what_it_removes(tmp_path: Path) -> None:
    """Else it would drop the note before the files have the removal, and then hold that back."""
    home = Home(tmp_path, 1 << 20)
    home.make()
    others: list[threading.Thread] = []

    def beside() -> None:
        home.within(
            Disk(), lambda store, tables: reconcile(store, tables, home.layout, Settling(3600))
        )

    def act(store: Store, tables: LiveTables) -> None:
        def announce(plan: Plan) -> None:
            tables.intents.record(plan.keys)
            others.append(threading.Thread(target=beside))
            others[-1].start()
            time.sleep(0.3)  # long enough for the other to be done, if it did not wait

        store.transact(delete_with_all, announce=announce)
        others[-1].join()
        assert tables.intents.keys() == {}

    home.within(Disk(), act)
    home.in_step()


def test_an_edit_of_several_files_is_read_before_it_or_behind_it(tmp_path: Path) -> None:
    """At each effect of the edit, from another thread's view."""
    folder = tmp_path / "config"
    folder.mkdir()
    fill(folder)
    before = texts(Store(str(folder)).read().roster)
    seen: list[list[bytes]] = []

    class Looking(Disk):
        def rename(self, old: str, new: str) -> None:
            super().rename(old, new)
            seen.append(texts(Store(str(folder), wait_s=0).read().roster))

        def remove(self, path: str) -> None:
            seen.append(texts(Store(str(folder), wait_s=0).read().roster))
            super().remove(path)

    Store(str(folder), Looking()).transact(delete_with_all)
    after = texts(Store(str(folder)).read().roster)
    assert after != before
    assert len(seen) > 2
    assert all(each == after for each in seen)


def test_a_folder_that_changes_all_along_is_read_under_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    store, reads = Store(str(tmp_path)), [0]
    store.transact(set_password)
    real = FolderReader.read_once

    def reading(self: FolderReader, *arguments: object) -> object:
        reads[0] += 1
        snapshot = real(self, *arguments)  # type: ignore[arg-type]
        (tmp_path / VIRTUAL).write_text(f"# {reads[0]}\n")
        return snapshot

    monkeypatch.setattr(FolderReader, "read_once", reading)
    assert store.read().roster.virtual.text == f"# {reads[0] - 1}\n"
    assert reads[0] <= READS + 1
    with FolderLock(str(tmp_path)), pytest.raises(TryAgain, match="locked by another command"):
        Store(str(tmp_path), wait_s=0).read()


def test_who_may_not_read_the_journal_of_another_user_is_told_to_wait() -> None:
    with public_folder() as folder:
        fill(folder)
        (folder / JOURNAL).write_bytes(b"")
        (folder / JOURNAL).chmod(0o600)
        before = listing(folder)
        said = in_child(lambda: Store(str(folder), wait_s=0).read(), uid=NOBODY)
        assert said.startswith("TryAgain: ") and "an edit of" in said and "was cut short" in said
        assert listing(folder) == before


def test_a_reader_that_may_write_nothing_reads(tmp_path: Path) -> None:
    with public_folder() as folder:
        fill(folder)
        Store(str(folder)).transact(set_password)
        with FolderLock(str(folder)):
            assert in_child(lambda: Store(str(folder), wait_s=0).read(), uid=NOBODY) == "done"
        assert (folder / ACCOUNTS).read_bytes() != BEFORE[ACCOUNTS].encode()
