"""The index of a large file: one state after the other, and who has which open."""

from pathlib import Path

import pytest

from mailroster.publish.index import CopyInfo, IndexEntry, IndexFile
from mailroster.system.files import ABSENT, Disk

INFO = CopyInfo(7, ABSENT, 100, 0, 0, 2, 0)
ENTRIES = [
    IndexEntry(0, "a@x.com", (("b", "x.com"),), False),
    IndexEntry(40, "info", (("", "y.org"), ("c", "y.org")), False),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


def made(path: Path) -> IndexFile:
    index = IndexFile(str(path), Disk())
    with index.update() as writer:
        writer.clear("virtual")
        writer.add("virtual", ENTRIES, INFO.serial)
        writer.put_info("virtual", INFO)
    return index


def test_what_was_learned_is_found_by_key_by_address_and_by_domain(path: Path) -> None:
    snapshot = made(path).snapshot()
    assert snapshot is not None
    assert snapshot.info("virtual") == INFO
    assert snapshot.info("accounts") is None
    assert snapshot.claiming("virtual", "a@x.com") == [0]
    assert snapshot.claiming("virtual", "info") == [40]
    assert snapshot.claiming("virtual", "nobody@x.com") == []
    assert snapshot.mentioning("virtual", "b", "x.com") == [0]
    assert snapshot.mentioning("virtual", "c", "y.org") == [40, 40], "itself, and its whole domain"
    assert snapshot.mentioning("virtual", "d", "y.org") == [40]
    assert snapshot.mentioning("virtual", "", "x.com") == [0]
    assert list(snapshot.keys_in("virtual", "x.com")) == ["a@x.com"]


def test_who_reads_sees_one_state_while_the_next_is_written(path: Path) -> None:
    index = made(path)
    before = index.snapshot()
    with index.update() as writer:
        writer.remove("virtual", ENTRIES[:1])
        writer.put_info("virtual", INFO._replace(serial=8))
    now = index.snapshot()
    assert before is not None and now is not None
    assert (before.info("virtual"), before.claiming("virtual", "a@x.com")) == (INFO, [0])
    assert now.claiming("virtual", "a@x.com") == []
    assert now.mentioning("virtual", "b", "x.com") == []


def test_two_lines_that_stood_at_one_place_are_two(path: Path) -> None:
    index = made(path)
    with index.update() as writer:
        writer.add("virtual", [IndexEntry(0, "z@x.com", (("b", "x.com"),), False)], 8)
        writer.remove("virtual", ENTRIES[:1])
    snapshot = index.snapshot()
    assert snapshot is not None
    assert snapshot.mentioning("virtual", "b", "x.com") == [0, 0]


def test_one_that_was_made_anew_by_somebody_else_is_opened_anew(path: Path) -> None:
    reader, other = made(path), IndexFile(str(path), Disk())
    path.unlink()
    path.with_name("index-lock").unlink()
    assert reader.snapshot() is None
    with other.update() as writer:
        writer.put_info("quotas", INFO)
    other.close()
    snapshot = reader.snapshot()
    assert snapshot is not None
    assert (snapshot.info("quotas"), snapshot.info("virtual")) == (INFO, None)


@pytest.mark.parametrize("content", [b"", b"garbage" * 9999, None], ids=["empty", "other", "cut"])
def test_a_damaged_one_is_none_and_is_made_anew_by_who_writes(
    path: Path, content: bytes | None
) -> None:
    made(path).close()
    path.write_bytes(path.read_bytes()[:4096] if content is None else content)
    index = IndexFile(str(path), Disk())
    assert index.snapshot() is None
    with index.update() as writer:
        writer.put_info("quotas", INFO)
    snapshot = index.snapshot()
    assert snapshot is not None
    assert snapshot.info("quotas") == INFO


def test_without_one_nothing_is_known(path: Path) -> None:
    index = IndexFile(str(path), Disk())
    assert index.snapshot() is None
    index.remove()
    assert not path.exists()


def test_a_state_that_nobody_reads_any_more_closes_nothing(path: Path) -> None:
    """The tables of an index that lives long, as that of `up` does."""
    made(path).close()
    index = IndexFile(str(path), Disk())
    for _ in range(3):
        snapshot = index.snapshot()
        assert snapshot is not None
        assert snapshot.claiming("virtual", "a@x.com") == [0]
        del snapshot
        with index.update() as writer:
            writer.remove("virtual", ENTRIES[:1])
            writer.add("virtual", ENTRIES[:1], 9)
