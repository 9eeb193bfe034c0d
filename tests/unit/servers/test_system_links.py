"""The servers' own places: links to ours, and what somebody else has put there is kept."""

from pathlib import Path

import pytest

from mailroster.base.findings import Refused
from mailroster.servers.system_links import check, claim, foreign
from tests.support.faulty import listing


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


def links(etc: Path) -> dict[str, str]:
    return {str(etc / "main.cf"): "/state/main.cf", str(etc / "dovecot/dovecot.conf"): "/state/d"}


def test_places_that_are_empty_become_links_that_lead_to_ours(etc: Path) -> None:
    told: list[str] = []
    check(links(etc), adopt=False)
    claim(links(etc), told.append)
    assert (etc / "main.cf").readlink() == Path("/state/main.cf")
    assert (etc / "dovecot/dovecot.conf").readlink() == Path("/state/d")
    assert told == []


def test_the_same_again_changes_nothing(etc: Path) -> None:
    claim(links(etc), print)
    before = listing(etc)["main.cf"]
    check(links(etc), adopt=False)
    claim(links(etc), print)
    assert listing(etc)["main.cf"] == before


@pytest.mark.parametrize("kind", ["a file", "a link elsewhere", "a folder"])
def test_what_is_not_ours_is_refused_by_its_name(etc: Path, kind: str) -> None:
    place = etc / "main.cf"
    if kind == "a file":
        place.write_text("myhostname = theirs\n")
    elif kind == "a link elsewhere":
        place.symlink_to("/elsewhere/main.cf")
    else:
        place.mkdir()
    assert foreign(links(etc)) == [str(place)]
    with pytest.raises(Refused, match=r"main\.cf; use --adopt to keep each"):
        check(links(etc), adopt=False)
    check(links(etc), adopt=True)


def test_what_is_adopted_is_kept_beside_its_place_and_told(etc: Path) -> None:
    place, told = etc / "main.cf", list[str]()
    place.write_text("myhostname = theirs\n")
    claim(links(etc), told.append)
    kept = etc / "main.cf.before-mailroster"
    assert kept.read_text() == "myhostname = theirs\n"
    assert place.readlink() == Path("/state/main.cf")
    assert told == [f"{place} is kept as {kept}"]
    place.unlink()
    place.write_text("and again\n")
    claim(links(etc), told.append)
    assert kept.read_text() == "myhostname = theirs\n"
    assert (etc / "main.cf.before-mailroster.2").read_text() == "and again\n"


def test_a_place_that_cannot_be_taken_is_refused_with_the_reason(etc: Path) -> None:
    (etc / "dovecot").write_text("no folder\n")
    with pytest.raises(Refused, match=r"dovecot\.conf can't be made a link: "):
        claim(links(etc), print)
