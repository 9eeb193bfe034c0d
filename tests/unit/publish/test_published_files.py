"""The copies of what is served: how one is changed in place, and when its index counts."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from mailroster.publish.copy_patch import moves, shifted
from mailroster.publish.published_files import PublishedFiles
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.documents.splices import Splice
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.plan import plan
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import TransactionResult
from mailroster.system.files import ABSENT, Disk, identity
from tests.support.large_documents import indexed

FILE = VIRTUAL.file
BASE = b"a1 a@x\nb22 b@x\nc333 c@x\n"  # lines at 0, 7 and 15, the end at 24

Move = tuple[int, int, int]
#: Splices, and the parts that move for them (from, to, how many bytes), in their order.
MOVES: dict[str, tuple[list[Splice], list[Move] | None]] = {
    "a line at the end": ([Splice(24, 24, "d d@x\n")], []),
    "a line in front": ([Splice(0, 0, "d d@x\n")], [(0, 6, 24)]),
    "a line of the same length": ([Splice(7, 15, "B22 b@x\n")], []),
    "a longer line": ([Splice(7, 15, "b22 other@x\n")], [(15, 19, 9)]),
    "a shorter line": ([Splice(7, 15, "b b@x\n")], [(15, 13, 9)]),
    "without the first line": ([Splice(0, 7, "")], [(7, 0, 17)]),
    "without the last line": ([Splice(15, 24, "")], []),
    "without any line": ([Splice(0, 24, "")], []),
    "two lines more": (
        [Splice(0, 0, "d d@x\n"), Splice(7, 7, "e e@x\n")],
        [(7, 19, 17), (0, 6, 7)],
    ),
    "two lines less": ([Splice(0, 7, ""), Splice(15, 24, "")], [(7, 0, 8)]),
    "two shorter lines side by side": (
        [Splice(0, 7, "a\n"), Splice(7, 15, "b\n")],
        [(15, 4, 9)],
    ),
    "two parts that move to the front": (
        [Splice(0, 7, ""), Splice(15, 15, "d\n")],
        [(7, 0, 8), (15, 10, 9)],
    ),
    "one moves, one stays": ([Splice(0, 0, "1234567\n"), Splice(7, 15, "")], [(0, 8, 7)]),
    "both ways": ([Splice(0, 0, "d d@x\n"), Splice(7, 15, "")], None),
    "both ways, the other one first": (
        [Splice(0, 7, ""), Splice(15, 15, "d a-long-line@x\n")],
        None,
    ),
}


@pytest.mark.parametrize(("splices", "wanted"), MOVES.values(), ids=MOVES.keys())
def test_parts_move_in_an_order_in_which_none_overwrites_another(
    tmp_path: Path, splices: list[Splice], wanted: list[Move] | None
) -> None:
    document = LargeDocument(VIRTUAL, indexed(VIRTUAL, BASE).base, tuple(splices))
    parts = moves(document)
    assert parts == wanted
    if parts is None:
        return
    path = tmp_path / "copy"
    path.write_bytes(BASE)
    text = document.text.encode()
    writes = ((offset, splice.raw()) for offset, splice in shifted(document))
    Disk().patch(str(path), parts, writes, len(text))
    assert path.read_bytes() == text


class World:
    """A config folder with one file, and its copy."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / FILE
        self.config.write_bytes(BASE)
        (folder / "served").mkdir()
        self.copies = PublishedFiles(str(folder / "served"), index_from=1)
        self.copies.put("virtual", Document.from_bytes(VIRTUAL, BASE))
        self.copy = Path(self.copies.path(FILE))

    def served(self) -> Document[Any]:
        return self.copies.roster().virtual

    def agree(self) -> None:
        self.copies.record_match("virtual", str(self.config), identity(str(self.config)))

    def current(self) -> Any:
        return self.copies.current("virtual", str(self.config), identity(str(self.config)))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("splices", [case[0] for case in MOVES.values()], ids=MOVES.keys())
def test_a_copy_that_is_changed_holds_the_document(world: World, splices: list[Splice]) -> None:
    before = world.served()
    assert isinstance(before, LargeDocument)
    after = LargeDocument(VIRTUAL, before.base, tuple(splices))
    text = after.text
    world.copies.put("virtual", after)
    assert world.copy.read_bytes() == text.encode()
    now = world.served()
    assert isinstance(now, LargeDocument)
    assert now.text == text
    whole = Document(VIRTUAL, text)
    for key in ("a1", "b22", "c333", "d", "e"):
        assert (key in now) == (key in whole), key
        assert (now.get(key), now.size_hint()) == (whole.get(key), whole.size_hint())


def test_a_copy_of_another_size_than_its_note_is_read_as_a_whole(world: World) -> None:
    with world.copy.open("ab") as file:
        file.write(b"d d@x\n")
    document = world.served()
    assert not isinstance(document, LargeDocument)
    assert document.text == BASE.decode() + "d d@x\n"


def test_a_copy_that_nothing_is_known_of_is_read_as_a_whole(world: World) -> None:
    world.copies.drop_index()
    assert not isinstance(world.served(), LargeDocument)
    assert world.served().text == BASE.decode()


def test_a_file_that_is_the_same_as_its_copy_is_found_by_the_index(world: World) -> None:
    assert world.current() is None, "it is not known to be the same"
    world.agree()
    document, which = world.current()
    assert isinstance(document, LargeDocument)
    assert which == identity(str(world.config))
    assert bytes(document) == BASE
    assert document.get("b22") == Document(VIRTUAL, BASE.decode()).get("b22")
    world.config.write_bytes(BASE)
    assert world.current() is None, "it was written again"


def test_a_small_file_is_never_found_by_the_index(world: World) -> None:
    world.agree()
    which = identity(str(world.config))
    for index_from, is_found in ((len(BASE) + 1, False), (len(BASE), True)):
        world.copies.close()
        world.copies = PublishedFiles(str(world.copy.parent), index_from=index_from)
        assert (world.current() is not None) is is_found
        assert world.copies._is_copied("virtual", which) is is_found


@pytest.mark.parametrize("ahead_s", [0, 3600], ids=["whole seconds", "a clock that is ahead"])
def test_an_identity_that_two_writes_may_share_is_not_noted(world: World, ahead_s: int) -> None:
    ctime_ns = (int(time.time()) + ahead_s) * 10**9 + (1 if ahead_s else 0)
    shared = identity(str(world.config))._replace(ctime_ns=ctime_ns)
    world.copies.record_match("virtual", str(world.config), shared)
    assert world.copies.current("virtual", str(world.config), shared) is None
    assert not world.copies._is_copied("virtual", shared)


def test_a_file_that_is_written_while_it_is_noted_is_not_noted(world: World) -> None:
    before = identity(str(world.config))
    world.config.write_bytes(BASE + b"d d@x\n")
    world.copies.record_match("virtual", str(world.config), before)
    assert not world.copies._is_copied("virtual", before)
    assert world.current() is None


@pytest.mark.parametrize("is_copy", [True, False], ids=["of the copy", "of another base"])
def test_what_a_command_has_edited_is_known_only_if_it_stands_on_the_copy(
    world: World, is_copy: bool
) -> None:
    """Else the file is compared with the copy."""
    served = world.copies.roster()
    base = served.virtual.base if is_copy else indexed(VIRTUAL, b"x x@x\n" + BASE).base  # type: ignore[attr-defined]
    splice = Splice(base.size, base.size, "d d@x\n")
    after = Roster()._replace(virtual=LargeDocument(VIRTUAL, base, (splice,)))
    world.config.write_bytes(bytes(after.virtual))
    which = identity(str(world.config))
    edited = TransactionResult(plan(Roster(), Roster()), Roster(), after, {"virtual": which})
    find = world.copies.finder(served, edited)
    result = find("virtual", str(world.config), which)
    assert result is not None
    document, read_identity = result
    assert read_identity == which
    assert isinstance(document, LargeDocument)
    assert document.base is served.virtual.base  # type: ignore[attr-defined]
    assert bytes(document) == world.config.read_bytes()


def test_a_file_that_is_not_there_is_not_compared(world: World) -> None:
    find = world.copies.finder(world.copies.roster(), None)
    os.unlink(world.config)
    assert find("virtual", str(world.config), ABSENT) is None


def test_a_file_that_was_saved_behind_an_edit_is_compared(world: World) -> None:
    served = world.copies.roster()
    splice = Splice(24, 24, "d d@x\n")
    after = Roster()._replace(virtual=LargeDocument(VIRTUAL, served.virtual.base, (splice,)))  # type: ignore[attr-defined]
    world.config.write_bytes(bytes(after.virtual))
    written = identity(str(world.config))
    world.config.write_bytes(b"saved s@x\n" + BASE)
    which = identity(str(world.config))
    edited = TransactionResult(plan(Roster(), Roster()), Roster(), after, {"virtual": written})
    result = world.copies.finder(served, edited)("virtual", str(world.config), which)
    assert result is not None
    assert (bytes(result[0]), result[1]) == (b"saved s@x\n" + BASE, which)


@pytest.mark.parametrize(("splices", "wanted"), MOVES.values(), ids=MOVES.keys())
def test_a_copy_may_be_left_half_changed_only_where_parts_of_it_move(
    world: World, splices: list[Splice], wanted: list[Move] | None
) -> None:
    document = LargeDocument(VIRTUAL, indexed(VIRTUAL, BASE).base, tuple(splices))
    assert world.copies.may_tear(document) is bool(wanted)
    assert not world.copies.may_tear(Document(VIRTUAL, document.text))


def test_a_file_with_a_byte_order_mark_has_no_index(tmp_path: Path) -> None:
    """Whatever line is the first, the mark stays at the beginning."""
    text = "\ufeffa@x.com b@x.com\nc@x.com d@x.com\n"
    copies = PublishedFiles(str(tmp_path), index_from=1)
    copies.put("virtual", Document(VIRTUAL, text))
    served = copies.roster().virtual
    assert not isinstance(served, LargeDocument)
    assert bytes(served.edited({0: None})).decode() == "\ufeffc@x.com d@x.com\n"
    before = Document(VIRTUAL, text[1:])
    copies.put("virtual", before)
    assert isinstance(copies.roster().virtual, LargeDocument)
    base = copies.roster().virtual.base  # type: ignore[attr-defined]
    copies.put("virtual", LargeDocument(VIRTUAL, base, (Splice(0, 16, "\ufeffa@x.com b@x.com\n"),)))
    assert not isinstance(copies.roster().virtual, LargeDocument)
    assert bytes(copies.roster().virtual).decode() == text
