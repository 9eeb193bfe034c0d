"""Moves of mail folders that follow each other before the first one is over."""

import os
from pathlib import Path

import pytest

from mailroster.address import Address
from mailroster.document import Document
from mailroster.formats.accounts import ACCOUNTS
from mailroster.instance.layout import Layout
from mailroster.moving import BEGUN, COUNTS, Move, Mover, Record, settle
from mailroster.roster import Roster

A, B, C = Address("a@x.com"), Address("b@x.com"), Address("c@y.org")


def of(address: str) -> Roster:
    return Roster(accounts=Document(ACCOUNTS, f"{address}|{{PLAIN}}x\n"))


@pytest.mark.parametrize("word", [BEGUN, COUNTS], ids=["killed at the edit", "killed behind it"])
@pytest.mark.parametrize("live", [False, True], ids=["not live", "live"])
def test_a_rename_of_what_was_renamed_ends_both(tmp_path: Path, word: str, live: bool) -> None:
    config, mail = tmp_path / "config", tmp_path / "mail"
    config.mkdir()
    (mail / "x.com/a/cur").mkdir(parents=True)
    mover = Mover(str(config), str(mail), Layout(str(tmp_path / "state")))
    with Record(str(config)) as record:
        mover.begin(record, Move(A, B))
        if word == COUNTS:
            record.note(COUNTS, Move(A, B))
        # The command was killed: the next one begins before the tables say what the files say.
        assert settle(record, mover, lambda: of(B), lambda: of(B if live else A)) == live
        mover.begin(record, Move(B, C))
        record.note(COUNTS, Move(B, C))
        assert not settle(record, mover, lambda: of(C), lambda: of(B if live else A))
        assert settle(record, mover, lambda: of(C), lambda: of(C))
        assert record.moves() == {}
    assert sorted(os.listdir(mail / "x.com")) == []
    assert (mail / "y.org/c/cur").is_dir()
    assert os.listdir(config) == []
