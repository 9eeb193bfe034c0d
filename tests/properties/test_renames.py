"""Laws of renames: there and back changes nothing, and mail goes where it went."""

import os
import re

import pytest

from mailroster.base.address import Address, split, split_extension
from mailroster.base.findings import ParseError, Refused
from mailroster.edits.rename import rename_account
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from tests.support.rosters import ORIGIN, sample

NEW = Address("somebody@new.test")
SEEDS = int(os.environ.get("LAWS", "100"))


def nothing(address: str) -> None:
    """No pattern captures anything."""


def followed(roster: Roster, address: str) -> set[str] | None:
    try:
        return {one.lower() for one in Router(roster, ORIGIN, nothing).expand(address)}
    except ParseError:
        return None


def moved(address: str, old: str) -> str:
    """Where an address is after the rename, extension and all."""
    user, domain = split(address)
    name, extension = split_extension(user)
    if f"{name}@{domain}" != old:
        return address
    new_user, new_domain = split(NEW)
    return f"{new_user}{extension}@{new_domain}"


@pytest.mark.parametrize("part", range(4))
def test_mail_goes_where_it_went(part: int) -> None:
    tried = 0
    for seed in range(part, SEEDS * 4, 4):
        made = sample(seed)
        roster = Roster(
            accounts=Document(ACCOUNTS, made.accounts), virtual=Document(VIRTUAL, made.virtual)
        )
        for old in list(roster.accounts.keys())[:2]:
            try:
                after = rename_account(roster, Address(old), NEW, ORIGIN)
            except Refused:
                continue
            for probe in {*made.probes, old}:
                if moved(probe.lower(), old) != probe.lower() and old in roster.virtual:
                    continue  # an alias on its own address, which went along
                was = followed(roster, probe)
                tried += was is not None
                assert was is None or followed(after, probe) == {moved(one, old) for one in was}, (
                    seed, old, probe,
                )  # fmt: skip
    assert tried > SEEDS


@pytest.mark.parametrize("part", range(2))
def test_there_and_back_is_where_it_was(part: int) -> None:
    tried = 0
    for seed in range(part, SEEDS * 2, 2):
        made = sample(seed)
        roster = Roster(
            accounts=Document(ACCOUNTS, made.accounts.lower().replace("{plain}", "{PLAIN}")),
            virtual=Document(VIRTUAL, made.virtual.lower()),
        )
        to_domains = re.search(r"[ \t,]@", roster.virtual.text)
        for old in map(Address, list(roster.accounts.keys())[:1]):
            if to_domains or f"{old}." in roster.virtual.text:
                continue  # what is written out stays so
            if split(old)[1] == ORIGIN:
                continue  # a bare name comes back as an address
            there = rename_account(roster, old, NEW, ORIGIN, alias=False)
            back = rename_account(there, NEW, old, ORIGIN, alias=False)
            assert (back.accounts.text, back.virtual.text) == (
                roster.accounts.text, roster.virtual.text,
            ), (seed, old)  # fmt: skip
            tried += 1
    assert tried > SEEDS // 5
