"""The Sieve scripts of a folder: their names, sievec's judgement, and what is put in force."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mailroster.base.findings import ERROR, WARNING
from mailroster.base.layout import Layout
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.sieve import scripts_among
from mailroster.servers import sieve
from mailroster.servers.sieve import SieveScripts, findings_in
from mailroster.servers.sievec import check_scripts, parse_faults
from mailroster.store.links import ConfigFolder
from mailroster.system.stability import Settling

GOOD = b'require "fileinto";\nfileinto "X";\n'
BAD = b'require "fileinto";\nfilinto "X";\n'


@pytest.mark.parametrize(
    ("file", "name", "code"),
    [
        ("a@x.com.dovecot.sieve", "a@x.com", ""),
        ("A@Bücher.de.dovecot.sieve", "a@xn--bcher-kva.de", ""),
        ("before.dovecot.sieve", "before", ""),
        ("after.dovecot.sieve", "after", ""),
        ("a@x.com.sieve", "", ""),
        ("postfix-virtual.cf", "", ""),
        ("during.dovecot.sieve", "", "sieve-of-nobody"),
        ("Before.dovecot.sieve", "", "sieve-of-nobody"),
        ("..@x.com.dovecot.sieve", "", "sieve-of-nobody"),
        ("a@..dovecot.sieve", "", "sieve-of-nobody"),
        ("a%u@x.com.dovecot.sieve", "", "sieve-of-nobody"),
        ("\udcff@x.com.dovecot.sieve", "", "sieve-of-nobody"),
        (".dovecot.sieve", "", "sieve-of-nobody"),
    ],
)
def test_the_name_of_a_file_says_whose_script_it_is(file: str, name: str, code: str) -> None:
    found = scripts_among([file])
    assert found.files == ({name: file} if name else {})
    assert [finding.code for finding in found.findings] == ([code] if code else [])
    assert all(str(finding).isprintable() for finding in found.findings)


def test_of_two_spellings_the_first_counts_and_the_other_is_told() -> None:
    found = scripts_among(["a@x.com.dovecot.sieve", "A@x.com.dovecot.sieve"])
    assert found.files == {"a@x.com": "A@x.com.dovecot.sieve"}
    assert [finding.code for finding in found.findings] == ["duplicate-sieve"]


def test_every_bad_script_among_many_is_told_by_its_line() -> None:
    texts = {f"u{n}@x.com": BAD if n % 7 == 0 else GOOD for n in range(30)}
    texts["before"] = b"\0\xff"
    files = {name: f"{name}.dovecot.sieve" for name in texts}
    found = check_scripts(texts, files, "/nonexistent/dovecot.conf")
    assert set(found) == {"before", *(f"u{n}@x.com" for n in range(0, 30, 7))}
    assert str(found["u7@x.com"][0]).startswith("u7@x.com.dovecot.sieve:2: error: unknown command")


def test_what_sievec_says_is_taken_apart() -> None:
    said = (
        "a@x.com: line 3: error: unknown command 'x'.\na@x.com: error: validation failed.\n"
        "b@x.com: line 1: warning: odd.\nc@x.com: error: can't.\nsievec: Fatal: no.\n"
        "d: line x: error: y\nunknown: line 1: error: z\n"
    )
    assert parse_faults(said, ["a@x.com", "b@x.com", "c@x.com", "d"]) == {
        "a@x.com": [(3, ERROR, "unknown command 'x'")],
        "b@x.com": [(1, WARNING, "odd")],
        "c@x.com": [(0, ERROR, "can't")],
    }


class Home(SimpleNamespace):
    """A config folder, and what is in force of its scripts."""

    config: Path
    layout: Layout
    scripts: SieveScripts
    clock: list[float]

    def write(self, name: str, text: bytes) -> None:
        (self.config / f"{name}.dovecot.sieve").write_bytes(text)

    def live(self, name: str) -> bytes:
        path = Path(self.scripts.live.path(name))
        binary = path.with_suffix(".svbin")
        assert path.exists() == binary.exists()
        if not path.exists():
            return b""
        assert binary.stat().st_mtime > path.stat().st_mtime
        assert (path.stat().st_mode & 0o777, binary.stat().st_mode & 0o777) == (0o640, 0o640)
        return path.read_bytes()

    def pass_s(self, seconds: float) -> None:
        self.clock[0] += seconds


@pytest.fixture
def home(tmp_path: Path) -> Home:
    config, state, clock = tmp_path / "config", tmp_path / "state", [0.0]
    layout = Layout(str(state))
    config.mkdir()
    os.makedirs(layout.sieve_accounts)
    (config / "postfix-accounts.cf").touch()
    scripts = SieveScripts(str(config), layout, 1.0, observer=True)
    for name, settle_s in (("_settle", 1.0), ("_quiet", sieve.QUIET_S)):
        settling = Settling(settle_s, monotonic=lambda: clock[0], observer=True)
        setattr(scripts, name, settling)
    return Home(config=config, layout=layout, scripts=scripts, clock=clock)


def test_a_new_script_is_in_force_when_it_was_quiet_for_a_moment(home: Home) -> None:
    home.write("A@x.com", GOOD)
    assert home.scripts.reconcile()[:3] == (0, (), True)
    assert home.live("a@x.com") == b""
    home.pass_s(sieve.QUIET_S)
    assert home.scripts.reconcile()[:3] == (1, (), False)
    assert home.live("a@x.com") == GOOD
    assert home.scripts.reconcile()[:3] == (0, (), False)
    assert home.scripts.waiting() == []


def test_a_bad_script_is_told_as_long_as_it_stands_and_the_old_one_stays(home: Home) -> None:
    home.write("a@x.com", GOOD)
    home.scripts.reconcile(accept=True)
    home.write("a@x.com", BAD)
    for _ in range(3):
        home.pass_s(1)
        outcome = home.scripts.reconcile()
    assert [str(f.where) for f in outcome.findings] == ["a@x.com.dovecot.sieve:2"]
    assert (outcome.changed, outcome.waits) == (0, False)
    assert home.live("a@x.com") == GOOD
    assert [f.code for f in home.scripts.waiting()] == ["bad-sieve", "held-back"]


def test_a_script_that_is_emptied_or_gone_goes_after_the_settle_time(home: Home) -> None:
    home.write("a@x.com", GOOD)
    home.write("before", GOOD)
    home.scripts.reconcile(accept=True)
    home.write("a@x.com", b"")
    (home.config / "before.dovecot.sieve").unlink()
    outcome = home.scripts.reconcile()
    home.pass_s(0.9)
    outcome = home.scripts.reconcile()
    assert ([f.code for f in outcome.findings], outcome.waits) == (["held-back"], True)
    assert (home.live("a@x.com"), home.live("before")) == (GOOD, GOOD)
    home.pass_s(0.1)
    outcome = home.scripts.reconcile()
    assert outcome[:3] == (2, (), False)
    assert outcome.described() == "changed: Sieve script a@x.com; removed: Sieve script before"
    assert (home.live("a@x.com"), home.live("before")) == (b"", b"")
    assert not os.path.exists(home.scripts.live.path("before"))


def test_a_folder_without_accounts_takes_no_script_away(home: Home) -> None:
    home.write("a@x.com", GOOD)
    home.scripts.reconcile(accept=True)
    for path in home.config.iterdir():
        path.unlink()
    home.scripts.reconcile()
    home.pass_s(100)
    outcome = home.scripts.reconcile()
    assert ([f.code for f in outcome.findings], outcome.waits) == (["held-back"], False)
    assert home.live("a@x.com") == GOOD
    assert home.scripts.reconcile(accept=True).changed == 1


def test_what_a_crash_has_left_without_a_binary_is_compiled_at_a_start(home: Home) -> None:
    names = [f"u{n}@x.com" for n in range(12)]
    for name in names:
        home.write(name, GOOD)
    outcome = home.scripts.reconcile(accept=True)
    assert outcome.changed == 12
    assert outcome.described() == ("changed: 12 Sieve scripts (u0@x.com, u10@x.com, u11@x.com, …)")
    os.unlink(home.scripts.live.path("u3@x.com").removesuffix("sieve") + "svbin")
    assert home.scripts.reconcile(recompile=True)[:3] == (0, (), False)
    assert [home.live(name) for name in names] == [GOOD] * 12


@pytest.mark.parametrize("ends", [("sieve",), ("svbin",), ("sieve", "svbin")], ids="+".join)
def test_a_script_in_force_that_is_lost_is_put_in_force_again(
    home: Home, ends: tuple[str, ...]
) -> None:
    home.write("a@x.com", GOOD)
    home.scripts.reconcile(accept=True)
    home.scripts.reconcile()
    for end in ends:
        os.unlink(home.scripts.live.path("a@x.com").removesuffix("sieve") + end)
    home.scripts.reconcile()
    home.pass_s(sieve.QUIET_S)
    home.scripts.reconcile()
    assert home.live("a@x.com") == GOOD


def test_a_file_that_can_not_be_read_is_told_and_the_old_script_stays(home: Home) -> None:
    home.write("a@x.com", GOOD)
    home.scripts.reconcile(accept=True)
    path = home.config / "a@x.com.dovecot.sieve"
    path.unlink()
    path.mkdir()
    home.pass_s(5)
    assert [f.code for f in home.scripts.reconcile().findings] == ["unreadable-file"]
    assert home.live("a@x.com") == GOOD


def test_check_names_every_fault(home: Home) -> None:
    home.write("a@x.com", GOOD)
    home.write("b@x.com", BAD)
    home.write("nobody", GOOD)
    accounts = Document(ACCOUNTS, "b@x.com|{A}x\n")
    found = findings_in(ConfigFolder(str(home.config)), home.layout.dovecot_conf, accounts)
    assert sorted((f.where.file, f.where.line, f.code) for f in found) == [
        ("a@x.com.dovecot.sieve", 0, "sieve-without-account"),
        ("b@x.com.dovecot.sieve", 2, "bad-sieve"),
        ("nobody.dovecot.sieve", 0, "sieve-of-nobody"),
    ]
