"""Private keys in a config folder: read, created, and never written through a link."""

import base64
import os
import stat
import subprocess
from pathlib import Path

import pytest

from mailroster.base import settings as base
from mailroster.base.findings import Refused
from mailroster.servers import dkim_keys, new_keys
from mailroster.servers.config import dkim
from mailroster.store.links import ConfigFolder


def pem(kind: str = dkim.ED25519) -> bytes:
    return dkim_keys.generate(kind, 1024)


def load(folder: Path, file: str) -> dkim.Key:
    return dkim_keys.load(ConfigFolder(str(folder)), dkim.KeyFile("x.com", "mail", file))


@pytest.mark.parametrize("kind", dkim.KINDS)
def test_a_new_key_is_read_with_its_record(tmp_path: Path, kind: str) -> None:
    raw = pem(kind)
    assert new_keys.write_key(str(tmp_path), "x.com", "mail", raw, "a record")
    (file,) = dkim_keys.key_files(ConfigFolder(str(tmp_path)))
    key = dkim_keys.load(ConfigFolder(str(tmp_path)), file)
    assert (key.domain, key.selector, key.kind, key.pem) == ("x.com", "mail", kind, raw)
    assert dkim_keys.public_part(key).text().startswith(f"v=DKIM1; h=sha256; k={kind}; p=")
    assert stat.S_IMODE((tmp_path / file.file).stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path / "opendkim/keys/x.com")) == ["mail.private", "mail.txt"]


def test_an_existing_key_is_never_replaced(tmp_path: Path) -> None:
    first = pem()
    assert new_keys.write_key(str(tmp_path), "x.com", "mail", first, "")
    assert not new_keys.write_key(str(tmp_path), "x.com", "mail", pem(), "")
    assert (tmp_path / "opendkim/keys/x.com/mail.private").read_bytes() == first


@pytest.mark.parametrize("place", ["opendkim", "opendkim/keys", "opendkim/keys/x.com"])
def test_no_key_is_written_through_a_link(tmp_path: Path, place: str) -> None:
    outside, config = tmp_path / "outside", tmp_path / "config"
    outside.mkdir()
    link = config / place
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(Refused, match="is a link or not a folder"):
        new_keys.write_key(str(config), "x.com", "mail", pem(), "")
    assert not os.listdir(outside)


def test_a_full_disk_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, fd: int, content: bytes) -> None:
        os.write(fd, content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mailroster.system.files.Disk.write", fail)
    with pytest.raises(Refused, match="No space left"):
        new_keys.write_key(str(tmp_path), "x.com", "mail", b"a key of some length", "")
    assert not os.listdir(tmp_path / "opendkim/keys/x.com")


def test_the_formats_of_rspamd_are_read(tmp_path: Path) -> None:
    """Base64 of the seed of an Ed25519 key, alone or with the public key behind it; DER of RSA."""
    raw = pem()
    der = base64.b64decode(b"".join(raw.split(b"\n")[1:-2]))
    expected = dkim_keys.public_part(dkim.Key("x.com", "mail", "", dkim.ED25519, raw, "")).text()
    for more in (b"", bytes(32)):
        (tmp_path / "key").write_bytes(base64.b64encode(der[-32:] + more) + b"\n")
        key = load(tmp_path, "key")
        assert (key.kind, dkim_keys.public_part(key).text()) == (dkim.ED25519, expected)
    argv = ["openssl", "pkey", "-outform", "DER"]
    rsa = subprocess.run(argv, input=pem(dkim.RSA), capture_output=True, check=True).stdout
    (tmp_path / "key").write_bytes(base64.b64encode(rsa))
    assert load(tmp_path, "key").kind == dkim.RSA


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\0", b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\n", base64.b64encode(bytes(40)), b"A" * 70_000,
    ],
)  # fmt: skip
def test_what_is_no_key_is_a_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(dkim_keys.KeyFault):
        load(tmp_path, "key")


def test_a_key_with_a_passphrase_and_one_of_another_algorithm_are_faults(tmp_path: Path) -> None:
    for argv in (
        ["openssl", "genpkey", "-algorithm", "ED25519", "-aes128", "-pass", "pass:x"],
        ["openssl", "genpkey", "-algorithm", "X25519"],
    ):
        (tmp_path / "key").write_bytes(subprocess.run(argv, capture_output=True, check=True).stdout)
        with pytest.raises(dkim_keys.KeyFault):
            load(tmp_path, "key")


def test_a_link_that_leads_out_of_the_folder_is_a_fault(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (tmp_path / "secret").write_bytes(pem())
    (config / "key").symlink_to(tmp_path / "secret")
    with pytest.raises(dkim_keys.KeyFault, match="outside of the config folder"):
        load(config, "key")


def put(folder: Path, file: str, content: str = "") -> None:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_the_files_of_keys_of_both_layouts_are_listed(tmp_path: Path) -> None:
    for file in (
        "opendkim/keys/x.com/mail.private", "opendkim/keys/x.com/mail.txt",
        "opendkim/keys/x.com/rotation", "opendkim/keys/not a domain/mail.private",
        "opendkim/keys/X.com/b.private", "rspamd/dkim/rsa-2048-mail-b-x.com.private.txt",
        "rspamd/dkim/ed25519-mail-y.com.private.txt", "rspamd/dkim/rsa-2048-mail-y.com.public.txt",
    ):  # fmt: skip
        put(tmp_path, file)
    put(tmp_path, "postfix-accounts.cf", "# c@no.x|x\n#@b-c.com|x\n\nJane@B-X.com|{PLAIN}x\n")
    put(tmp_path, "postfix-virtual.cf", "info@y.com a@x.com\n  b@no.x\n")
    found = dkim_keys.key_files(ConfigFolder(str(tmp_path)))
    assert [(file.domain, file.selector) for file in found] == [
        ("x.com", "b"), ("x.com", "mail"), ("y.com", "mail"), ("b-x.com", "mail"),
    ]  # fmt: skip
    (tmp_path / "postfix-accounts.cf").write_bytes(b"\xff\xfe@x.com|x\na@b-x.com|x\n")
    found = dkim_keys.key_files(ConfigFolder(str(tmp_path)))
    assert found[-1].domain == "b-x.com", "bytes that are not UTF-8 do no harm"


def test_comments_name_no_domain(tmp_path: Path) -> None:
    """Else the key would be that of a domain which is not served."""
    put(tmp_path, "rspamd/dkim/rsa-2048-mail-b-x.com.private.txt")
    put(tmp_path, "postfix-accounts.cf", "#old@x.com|x\na@b-x.com|x\n")
    (file,) = dkim_keys.key_files(ConfigFolder(str(tmp_path)))
    assert (file.domain, file.selector) == ("b-x.com", "mail")
    put(tmp_path, "postfix-accounts.cf", "#old@b-x.com|x\n# a@b-x.com|x\na@x.com|x\n")
    (file,) = dkim_keys.key_files(ConfigFolder(str(tmp_path)))
    assert (file.domain, file.selector) == ("x.com", "mail-b")


def test_rotations_are_read_by_domain_and_damaged_ones_left_out(tmp_path: Path) -> None:
    text = dkim.rotation_text(dkim.Rotation("b", "a", 7))
    for name, content in (
        ("x.com", text), ("Y.com", text), ("not a domain", text), ("z.com", "new b\n"),
        ("empty.com", ""),
    ):  # fmt: skip
        put(tmp_path, f"opendkim/keys/{name}/rotation", content)
    put(tmp_path, "opendkim/keys/none.com/mail.private")
    rotation = dkim.Rotation("b", "a", 7)
    folder = ConfigFolder(str(tmp_path))
    assert dkim_keys.rotations(folder) == {"x.com": rotation, "y.com": rotation}
    assert {file for _, file, _ in dkim_keys.rotation_files(folder)} == {
        "opendkim/keys/x.com/rotation", "opendkim/keys/Y.com/rotation",
    }  # fmt: skip


def test_every_file_that_matters_for_the_choice_of_keys_is_watched(tmp_path: Path) -> None:
    folder = ConfigFolder(str(tmp_path))
    seen = [dkim_keys.identities(folder)]
    for file in (
        "opendkim/SigningTable", "opendkim/keys/x.com/mail.private", "opendkim/keys/x.com/rotation",
        "rspamd/dkim/rsa-2048-mail-x.com.private.txt",
    ):  # fmt: skip
        put(tmp_path, file, "1")
        seen.append(dkim_keys.identities(folder))
        assert seen[-1] != seen[-2], file
        put(tmp_path, file, "22")
        seen.append(dkim_keys.identities(folder))
        assert seen[-1] != seen[-2], file
    assert dkim_keys.identities(folder) == seen[-1]


def test_without_a_signing_table_no_selector_is_preferred(tmp_path: Path) -> None:
    assert dkim_keys.preferred(ConfigFolder(str(tmp_path))) == {}
    put(tmp_path, "opendkim/SigningTable", "*@x.com a._domainkey.x.com\n")
    assert dkim_keys.preferred(ConfigFolder(str(tmp_path))) == {"x.com": {"a"}}


def test_keys_of_the_config_folder_and_of_the_source_of_an_overlay_count(tmp_path: Path) -> None:
    options = {"home": str(tmp_path), "config": str(tmp_path / "a")}
    settings = base.load(base.Sources(options, {}, lambda path: b"", lambda path: False))
    settings = settings._replace(source=str(tmp_path / "b"))
    assert [each.path for each in dkim_keys.folders(settings)] == [
        str(tmp_path / "a"), str(tmp_path / "b"),
    ]  # fmt: skip
    assert not dkim_keys.has_keys(settings)
    put(tmp_path, "b/opendkim/keys/x.com/mail.private")
    assert dkim_keys.has_keys(settings)
    assert len(dkim_keys.folders(settings._replace(source=""))) == 1


def test_a_key_of_rsa_in_base64_gets_the_label_of_its_form(tmp_path: Path) -> None:
    """OpenSSL 3.5 of Debian 13 reads it only with the right one."""
    for argv, label in (
        (["openssl", "rsa", "-outform", "DER", "-traditional"], b"RSA PRIVATE KEY"),
        (["openssl", "pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], b"PRIVATE KEY"),
    ):
        rsa = subprocess.run(argv, input=pem(dkim.RSA), capture_output=True, check=True).stdout
        (tmp_path / "key").write_bytes(base64.b64encode(rsa))
        key = load(tmp_path, "key")
        assert key.kind == dkim.RSA
        assert key.pem.startswith(b"-----BEGIN %b-----" % label)
