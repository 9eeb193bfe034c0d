"""`setup config dkim` and `setup dkim rotate` on a folder without servers."""

import json
import os

import pytest

from tests.support.folder import ACCOUNTS, Folder, H, folder

__all__ = ["folder"]  # the fixture

KEYS = "opendkim/keys"


@pytest.fixture
def on(folder: Folder) -> Folder:
    """A folder with two domains, and a DNS server that nobody can reach."""
    folder.write(ACCOUNTS, f"jane@x.com|{H}\njane@a.example|{H}\n")
    folder.write("mailroster.toml", 'dns_server = "127.0.0.1:1"\n')
    return folder


def files(on: Folder) -> list[str]:
    """The files of keys, relative to their folder."""
    top = on.config / KEYS
    return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())


def test_a_key_is_made_for_each_domain_once(on: Folder) -> None:
    first = on.setup("config", "dkim", "keysize", "1024")
    assert first.code == 0, first.err
    assert files(on) == [
        "a.example/mail.private", "a.example/mail.txt", "x.com/mail.private", "x.com/mail.txt",
    ]  # fmt: skip
    assert f"# x.com: created: {KEYS}/x.com/mail.private\n" in first.out
    assert 'mail._domainkey.x.com. IN TXT ( "v=DKIM1; h=sha256; k=rsa; p=' in first.out
    assert "# as one string: v=DKIM1; h=sha256; k=rsa; p=" in first.out
    again = on.setup("config", "dkim")
    assert f"# x.com: the key is {KEYS}/x.com/mail.private\n" in again.out
    assert [line for line in again.out.split("\n") if "_domainkey" in line] == (
        [line for line in first.out.split("\n") if "_domainkey" in line]
    )


def test_words_and_options_mean_the_same(on: Folder) -> None:
    words = on.setup("config", "dkim", "KEYTYPE", "ED25519", "selector", "a", "domain", "X.com")
    assert words.code == 0, words.err
    options = ("--keytype", "ed25519", "--selector", "b", "--domain", "a.example,new.example")
    assert on.setup("config", "dkim", *options).code == 0
    made = [name for name in files(on) if name.endswith(".private")]
    assert made == ["a.example/b.private", "new.example/b.private", "x.com/a.private"]
    for name in made:
        assert os.stat(on.config / KEYS / name).st_mode & 0o777 == 0o600


def test_json_has_a_record_for_each_key(on: Folder) -> None:
    out = on.setup("config", "dkim", "--keysize", "1024", "--domain", "x.com", "--json").out
    (record,) = json.loads(out)
    assert (record["domain"], record["selector"], record["keytype"]) == ("x.com", "mail", "rsa")
    assert (record["created"], record["signs"]) == (True, True)
    assert record["name"] == "mail._domainkey.x.com"
    assert record["value"] in record["zone"].replace('" "', "")
    (record,) = json.loads(on.setup("config", "dkim", "domain", "x.com", "--json").out)
    assert record["created"] is False


def test_a_second_type_of_key_gets_another_selector(on: Folder) -> None:
    assert on.setup("config", "dkim", "keysize", "1024", "domain", "x.com").code == 0
    assert on.setup("config", "dkim", "keytype", "ed25519", "domain", "x.com").code == 0
    made = [name for name in files(on) if name.endswith(".private")]
    assert made == ["x.com/mail-ed25519.private", "x.com/mail.private"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("keysize", "2049"), 2, "keysize '2049' is not one of 1024, 2048, 4096"),
        (("keysize", "512"), 2, "is not one of"),
        (("keysize",), 2, "keysize needs a value"),
        (("keylength", "1024"), 2, "'keylength' is unknown here"),
        (("keysize", "1024", "keysize", "2048"), 2, "keysize is given twice"),
        (("--keysize", "1024", "keysize", "2048"), 2, "keysize is given twice"),
        (("keytype", "dsa"), 2, "keytype 'dsa' is not one of rsa, ed25519"),
        (("keytype", "ed25519", "keysize", "2048"), 2, "has no keysize"),
        (("selector", "a b"), 2, "'a b' is not a selector"),
        (("selector", "-a"), 2, "is not a selector"),
        (("domain", "a..b"), 1, "a..b"),
    ],
)  # fmt: skip
def test_wrong_words_are_refused_and_make_no_key(
    on: Folder, words: tuple[str, ...], code: int, said: str
) -> None:
    ran = on.setup("config", "dkim", *words)
    assert said in ran.err
    assert ran.code == code
    assert not (on.config / KEYS).exists()


@pytest.mark.parametrize("size", ["1024", "2048", "4096"])
def test_every_size_that_is_named_can_be_made(on: Folder, size: str) -> None:
    out = on.setup("config", "dkim", "keysize", size, "domain", "x.com", "--json").out
    (record,) = json.loads(out)
    # base64 of the SubjectPublicKeyInfo
    assert len(record["value"].partition("p=")[2]) == {"1024": 216, "2048": 392, "4096": 736}[size]


def test_without_a_domain_there_is_nothing_to_do(folder: Folder) -> None:
    ran = folder.setup("config", "dkim")
    assert ran.code == 1
    assert "there is no domain yet" in ran.err


def test_another_selector_for_a_domain_with_a_key_is_a_rotation(on: Folder) -> None:
    assert on.setup("config", "dkim", "keysize", "1024", "domain", "x.com").code == 0
    ran = on.setup("config", "dkim", "selector", "new", "domain", "x.com")
    assert ran.code == 1
    assert "setup dkim rotate x.com --selector new" in ran.err
    assert "x.com/new.private" not in files(on)


def test_a_rotation_waits_for_the_dns_and_begins_once(on: Folder) -> None:
    assert on.setup("config", "dkim", "keysize", "1024", "domain", "x.com").code == 0
    first = on.setup("dkim", "rotate", "x.com", "--selector", "new", "--keysize", "1024")
    assert first.code == 0, first.err
    assert "mail signs until DNS has this record of the new key:" in first.out
    assert "new._domainkey.x.com. IN TXT" in first.out
    assert "note: " in first.err, "why it waits"
    assert (
        (on.config / KEYS / "x.com/rotation").read_text().endswith("new new\nold mail\nsince 0\n")
    )
    key = (on.config / KEYS / "x.com/new.private").read_bytes()
    again = on.setup("dkim", "rotate", "x.com")
    assert (again.code, again.out) == (0, first.out)
    assert (on.config / KEYS / "x.com/new.private").read_bytes() == key
    state = json.loads(on.setup("dkim", "rotate", "x.com", "--json").out)
    assert (state["old"], state["new"], state["since"], state["until"]) == ("mail", "new", 0, 0)
    assert state["record"]["signs"] is False
    assert state["reason"]
    other = on.setup("dkim", "rotate", "x.com", "--selector", "third")
    assert other.code == 1
    assert "'new' is under way" in other.err


def test_a_rotation_needs_a_key_and_a_new_selector(on: Folder) -> None:
    ran = on.setup("dkim", "rotate", "x.com")
    assert (ran.code, "x.com has no DKIM key" in ran.err) == (1, True)
    assert on.setup("config", "dkim", "keysize", "1024", "domain", "x.com").code == 0
    ran = on.setup("dkim", "rotate", "x.com", "--selector", "mail")
    assert (ran.code, "selector 'mail' already" in ran.err) == (1, True)
    assert "x.com/rotation" not in files(on)


def test_a_file_that_is_no_key_is_named(on: Folder) -> None:
    (on.config / KEYS / "x.com").mkdir(parents=True)
    on.write(f"{KEYS}/x.com/mail.private", "secret, but no key\n")
    for words in (("config", "dkim"), ("dkim", "rotate", "x.com")):
        ran = on.setup(*words)
        assert ran.code == 1
        assert f"{KEYS}/x.com/mail.private" in ran.err
        assert "secret" not in ran.err + ran.out
