"""`setup explain` and `setup map` on a config folder alone: words, files, exit statuses."""

import json
from xml.etree import ElementTree

import pytest

from tests.support.folder import ACCOUNTS, QUOTAS, VIRTUAL, Folder, H, folder

__all__ = ["folder"]  # the fixture

REGEXP = "postfix-regexp.cf"


def filled(folder: Folder) -> Folder:
    folder.write(ACCOUNTS, f"box@a.x|{H}\n")
    folder.write(QUOTAS, "box@a.x:5G\n")
    folder.write(VIRTUAL, "info@a.x box@a.x, far@off.x\nloop@a.x loop@a.x.\n")
    folder.write(REGEXP, "# c\nif /@a/\n/^t(.)@/ box+$1@a.x\nendif\n")
    return folder


def test_the_way_is_told_with_lines_and_what_was_tried(folder: Folder) -> None:
    done = filled(folder).setup("explain", "T7@A.x")
    assert done.code == 0
    misses = "box+7@a.x in postfix-virtual.cf, postfix-regexp.cf, postfix-accounts.cf"
    assert done.out.splitlines()[:9] == [
        "T7@a.x",
        "  accepted with 250, for 1 recipient",
        "Route",
        "  T7@a.x becomes box+7@a.x",
        "    by postfix-regexp.cf:3: /^t(.)@/",
        "    no match before: t7@a.x in postfix-virtual.cf",
        "  box+7@a.x is delivered here",
        "    by postfix-accounts.cf:1: box@a.x, its extension left out",
        f"    no match before: {misses}; box@a.x in postfix-virtual.cf",
    ]
    assert "may hold 5G by dovecot-quotas.cf:1" in done.out


def test_as_json_it_says_the_same(folder: Folder) -> None:
    found = json.loads(filled(folder).setup("explain", "info+x@a.x", "--json").out)
    assert [end["kind"] for end in found["recipients"]] == ["mailbox", "elsewhere"]
    assert found["hops"][0]["form"] == "without extension"
    assert (found["servers"], found["disagreements"]) == ([], [])
    assert H not in json.dumps(found)


def test_nothing_is_written_and_no_hash_is_shown(folder: Folder) -> None:
    before = filled(folder).state()
    assert "$6$" not in folder.setup("explain", "box@a.x").out
    assert folder.state() == before
    assert [path.name for path in folder.home.iterdir()] == ["config"]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("@a.x", 2), ("", 1), ("a b@x", 1), ("a\n@x", 1), ("a@", 1), ("a@b@c", 1), ("-a@x", 1),
        ("é@x", 1), ("a@é.x", 0), ("<script>@x", 1), ("$(id)@x", 1), ("a'b@x", 0),
    ],
)  # fmt: skip
def test_what_is_no_address_is_not_explained(folder: Folder, address: str, code: int) -> None:
    for command in (["explain"], ["regexp", "test"]):
        done = filled(folder).setup(*command, "--", address)
        assert done.code == (code or (command[0] == "regexp"))
        assert "Traceback" not in done.err


def test_many_steps_are_told_in_part(folder: Folder) -> None:
    folder.write(VIRTUAL, "all@a.x " + ",".join(f"u{n}@off.x" for n in range(600)) + "\n")
    done = folder.setup("explain", "all@a.x")
    assert "and 581 more steps" in done.out
    assert "and 580 more recipients" in done.out
    assert len(json.loads(folder.setup("explain", "all@a.x", "--json").out)["hops"]) == 601


def test_pictures_go_to_a_file_or_to_standard_output(folder: Folder) -> None:
    path = filled(folder).home / "way.svg"
    assert "accepted" in folder.setup("explain", "info@a.x", "--svg", str(path)).out
    assert "info@a.x" in "".join(ElementTree.parse(path).getroot().itertext())
    assert folder.setup("map", "--svg", str(path)).out == ""
    assert "/^t(.)@/" in "".join(ElementTree.parse(path).getroot().itertext())
    assert folder.setup("map", "A.X", "--dot").out.startswith('digraph "a.x" {')
    dot = folder.setup("explain", "info@a.x", "--dot").out
    assert dot.startswith('digraph "info@a.x (250)" {')
    assert "accepted" not in dot


def test_a_map_says_what_it_wants(folder: Folder) -> None:
    filled(folder)
    assert folder.setup("map").code == 2
    assert folder.setup("map", "b.x", "--dot").code == 1
    assert folder.setup("map", "a..x", "--dot").code == 1
    assert folder.setup("map", "--svg", "/nowhere/x.svg").code != 0


def test_without_postmap_the_rules_are_left_out_and_that_is_told(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailroster.servers.patterns.program", lambda name: None)
    done = filled(folder).setup("explain", "t7@a.x")
    assert (done.code, "rules of postfix-regexp.cf are left out" in done.err) == (0, True)
    assert "550" in done.out
